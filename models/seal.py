"""What makes a decision replayable beside its inputs: which rules it was made under, by content, and a sum of every
input, so that an altered one can be named. Finds damage and editing by hand; keeps out no forger, and signs nothing."""

import struct
import zlib
from array import array
from collections.abc import Callable
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec

from engine.catalog import Catalogue, digest_of
from engine.consent import Purposes
from engine.profile import Contact
from engine.records import DecisionRecord
from models.gate import Person

CATALOGUE, PURPOSES = "catalogue_digest", "purposes_digest"
INPUTS: tuple[str, ...] = (
    *("decision_id", "at", "profile_id", "profile_version", "placement", "context", "limit", "visible", "spec_hash"),
    *("cross", "consent", "allowed", "settings", "positions", "model", "catalogue", "versions"),
    *("arms", "reserved"),
)
_SIZE = 4
_FORMAT = f">{len(INPUTS)}I"
_VALUES = attrgetter(*INPUTS)
# counts may come as whole numbers, and come back from their bytes as floats
_CROSS, _RESERVED = INPUTS.index("cross"), INPUTS.index("reserved")
_bytes_of: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
_PURPOSES: dict[int, tuple[Purposes, str]] = {}
_VERSIONS: dict[tuple[str, str], dict[str, str]] = {}
_KEPT = 8


def purposes_digest(policy: Purposes) -> str:
    """`digest_of` the purposes, worked out once for each of the latest few."""
    found = _PURPOSES.get(id(policy))
    if found is None:
        if len(_PURPOSES) >= _KEPT:
            _PURPOSES.clear()
        # the value is kept beside its id, so that the id stays its own
        found = _PURPOSES[id(policy)] = (policy, digest_of(policy))
    return found[1]


def _versions(base: dict[str, str], catalogue: str, purposes: str) -> dict[str, str]:
    """One mapping for all decisions under the same rules."""
    key = (catalogue, purposes)
    found = _VERSIONS.get(key)
    if found is None:
        if len(_VERSIONS) >= _KEPT:
            _VERSIONS.clear()
        found = _VERSIONS[key] = {**base, CATALOGUE: catalogue, PURPOSES: purposes}
    return found


def sealed(record: DecisionRecord, person: Person, catalogue: Catalogue) -> DecisionRecord:
    """The record with the rules it was made under and the sums of its inputs."""
    consent = person.consent
    whole = msgspec.structs.replace(
        record,
        allowed=tuple(sorted(name for name, answer in consent.answers.items() if answer.allowed)),
        settings=dict(consent.settings),
        versions=_versions(record.versions, catalogue.digest, purposes_digest(person.policy)),
    )
    return msgspec.structs.replace(whole, sums=sums_of(whole))


def _summed(contact: Contact) -> tuple[Any, ...]:
    """A promise as it was before it could say that it is no approach: sums made then must still fit."""
    *said, approach = msgspec.structs.astuple(contact)
    return tuple(said) if approach else (*said, approach)


def sums_of(record: DecisionRecord) -> bytes:
    """Four bytes per input, in the order of `INPUTS`."""
    values = list(map(_bytes_of, _VALUES(record)))
    values[_CROSS] = array("d", chain.from_iterable(record.cross)).tobytes()
    if record.reserved:
        values[_RESERVED] = _bytes_of(tuple(map(_summed, record.reserved)))
    return struct.pack(_FORMAT, *map(zlib.crc32, values))


def altered(record: DecisionRecord) -> tuple[str, ...]:
    """The inputs that are not what they were when the decision was made."""
    now = sums_of(record)
    return tuple(
        name
        for place, name in enumerate(INPUTS)
        if now[place * _SIZE : (place + 1) * _SIZE] != record.sums[place * _SIZE : (place + 1) * _SIZE]
    )
