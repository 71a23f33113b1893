"""Our decoders against the IAB's own libraries: what they encode we read alike, and what is spoiled we read alike or
reject."""

from functools import cache
from typing import Any

import pytest

from engine import gpp, tcf
from engine.bits import Ids
from engine.errors import Rejected
from tests.engine.iab import asked, encoded, gpp_model, spoiled, tcf_model

ENCODED, SPOILED = 1000, 10_000
pytestmark = pytest.mark.node
# of the spoiled strings that the reference accepts, we must still read a good part: rejecting all would be no decoder
STILL_READ = 0.5


@cache
def tc_strings() -> list[tuple[Any, str]]:
    return encoded("tcf.mjs", tcf_model, ENCODED)


@cache
def gpp_strings() -> list[tuple[Any, str]]:
    return encoded("gpp.mjs", gpp_model, ENCODED)


def listed(found: Ids | None) -> list[int]:
    return list(found or Ids())


def tcf_view(found: tcf.TcString) -> dict[str, Any]:
    """Our value in the reference's words."""
    own = found.publisher or tcf.Publisher(Ids(), Ids(), Ids(), Ids())
    return {
        "cmpId": found.cmp_id,
        "cmpVersion": found.cmp_version,
        "consentScreen": found.consent_screen,
        "isServiceSpecific": found.service_specific,
        "useNonStandardTexts": found.non_standard_texts,
        "purposeOneTreatment": found.one_treatment,
        "publisherCountryCode": found.country,
        "specialFeatureOptins": listed(found.special_features),
        "purposeConsents": listed(found.purposes),
        "purposeLegitimateInterests": listed(found.interests),
        "vendorConsents": listed(found.vendors),
        "vendorLegitimateInterests": listed(found.vendor_interests),
        "vendorsDisclosed": listed(found.disclosed),
        "vendorsAllowed": listed(found.allowed),
        "publisherConsents": listed(own.consents),
        "publisherLegitimateInterests": listed(own.interests),
        "publisherCustomConsents": listed(own.custom_consents),
        "publisherCustomLegitimateInterests": listed(own.custom_interests),
        "created": found.created,
        "lastUpdated": found.last_updated,
        "language": found.language,
        "vendorList": found.vendor_list,
        "policy": found.policy,
        "version": 2,
        "restrictions": [[one.purpose, one.type, list(one.vendors)] for one in found.restrictions if one.vendors.mask],
    }


def ordered(view: dict[str, Any]) -> dict[str, Any]:
    return {**view, "restrictions": sorted(view["restrictions"])}


def gpp_view(found: gpp.GppString) -> dict[str, Any]:
    """What both read: opt-outs and TCF purposes and vendors, by the reference's section names."""
    view: dict[str, Any] = {}
    for section, choices in found.choices.items():
        view[str(section)] = (choices.sale, choices.sharing, choices.targeted_advertising, choices.gpc is True)
    if found.eu is not None:
        eu = found.eu
        publisher = eu.publisher.consents if eu.publisher else None
        view["2"] = [listed(v) for v in (eu.purposes, eu.interests, eu.vendors, eu.vendor_interests)]
        view["2"] += [listed(eu.disclosed), listed(eu.allowed), listed(publisher), eu.created]
    return view


def _flags(bits: list[bool]) -> list[int]:
    return [number for number, bit in enumerate(bits, 1) if bit]


def reference_view(found: dict[str, Any]) -> dict[str, Any]:
    """The reference's answer in the same form."""
    view: dict[str, Any] = {}
    if "tcfeuv2" in found:
        eu = found["tcfeuv2"]
        # where ranges overlap the reference lists a vendor twice
        vendors = [sorted(set(eu[name])) for name in ("vendors", "vendorInterests", "disclosed", "allowed")]
        view["2"] = [_flags(eu["purposes"]), _flags(eu["interests"]), *vendors, _flags(eu["publisher"]), eu["created"]]
    if "uspv1" in found:
        view["6"] = ({"Y": 1, "N": 2, "-": 0}[found["uspv1"]["OptOutSale"]], None, None, False)
    for section, name in (("7", "usnat"), ("8", "usca")):
        if name in found:
            said = found[name]
            targeted = said.get("TargetedAdvertisingOptOut")
            view[section] = (said["SaleOptOut"], said["SharingOptOut"], targeted, said["Gpc"] is True)
    return view


def test_every_encoded_tc_string_reads_as_it_was_meant() -> None:
    references = asked("tcf.mjs", "decode", [string for _, string in tc_strings()])
    for (model, string), reference in zip(tc_strings(), references, strict=True):
        view = tcf_view(tcf.decode(string))
        assert ordered(view) == ordered(reference), string
        for name in ("purposeConsents", "vendorConsents", "vendorsDisclosed", "created", "lastUpdated"):
            assert view[name] == model[name]


def test_every_encoded_gpp_string_reads_as_it_was_meant() -> None:
    references = asked("gpp.mjs", "decode", [string for _, string in gpp_strings()])
    for (model, string), reference in zip(gpp_strings(), references, strict=True):
        found = gpp.decode(string)
        assert gpp_view(found) == reference_view(reference), string
        assert sorted(found.raw) == sorted(reference["ids"])
        if "usnat" in model:
            said = model["usnat"]
            opted_out = 1 in (said["SaleOptOut"], said["SharingOptOut"], said["TargetedAdvertisingOptOut"])
            assert found.choices[7].opted_out == (opted_out or said.get("Gpc") is True)


def test_a_spoiled_tc_string_reads_as_the_reference_reads_it_or_is_rejected() -> None:
    strings = list(spoiled([string for _, string in tc_strings()], SPOILED))
    references = asked("tcf.mjs", "decode", strings)
    read = 0
    for string, reference in zip(strings, references, strict=True):
        try:
            view = tcf_view(tcf.decode(string))
        except Rejected:
            continue
        assert reference is not None, string
        assert ordered(view) == ordered(reference), string
        read += 1
    assert read >= STILL_READ * sum(reference is not None for reference in references)


def test_a_spoiled_gpp_string_reads_as_the_reference_reads_it_or_is_rejected() -> None:
    strings = list(spoiled([string for _, string in gpp_strings()], SPOILED))
    references = asked("gpp.mjs", "decode", strings)
    read = 0
    for string, reference in zip(strings, references, strict=True):
        try:
            view = gpp_view(gpp.decode(string))
        except Rejected:
            continue
        assert reference is not None, string
        assert view == reference_view(reference), string
        read += 1
    assert read >= STILL_READ * sum(reference is not None for reference in references)
