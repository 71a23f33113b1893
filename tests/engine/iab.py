"""The IAB's own libraries as a reference: models to encode, strings to spoil, and one Node.js process that answers a
whole list of questions. Every list is the same on every run."""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).parents[1] / "node"
SEED = 20_260_131
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
DAY = 86_400_000
FIRST_DAY = 19_000 * DAY
SEGMENTS = ("vendorsDisclosed", "publisherTC", "vendorsAllowed")
# a Fibonacci number this long is one of a hundred thousand; the reference fills memory with ranges of larger ones
LONGEST_NUMBER = 24


def asked(script: str, operation: str, values: Sequence[Any]) -> list[Any]:
    """What the reference says to each value: None where it raises."""
    node = shutil.which("node")
    if node is None or not (HOME / "node_modules" / "@iabgpp").exists():
        give_up = pytest.fail if os.environ.get("RAPPORT_REQUIRE_SERVERS") == "1" else pytest.skip
        give_up("Node.js or the packages of tests/node are missing: run npm ci there")
    lines = "\n".join(json.dumps({"op": operation, "value": value}) for value in values)
    ran = subprocess.run(
        [str(node), HOME / script], input=lines, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def _some(draw: random.Random, highest: int, most: int) -> list[int]:
    if draw.random() < 0.2:
        start = draw.randint(1, highest)
        return list(range(start, min(start + draw.randint(0, 60), highest) + 1))
    return sorted(draw.sample(range(1, highest + 1), draw.randint(0, most)))


def _restrictions(draw: random.Random) -> list[Any]:
    kinds = {(draw.randint(1, 11), draw.randint(0, 2)) for _ in range(draw.choice((0, 0, 1, 3)))}
    return [[*kind, _some(draw, 1000, 8) or [1]] for kind in sorted(kinds)]


def tcf_model(draw: random.Random) -> dict[str, Any]:
    """Everything a TC string can say, vendors sparse or dense; strings of both sides of TCF 2.3."""
    custom = draw.choice((0, 0, 3, 20))
    created = FIRST_DAY + draw.randint(0, 2500) * DAY
    optional = [s for s in SEGMENTS[1:] if draw.random() < 0.5]
    return {
        "cmpId": draw.randint(2, 4095),
        "cmpVersion": draw.randint(0, 4095),
        "consentScreen": draw.randint(0, 63),
        "isServiceSpecific": draw.random() < 0.5,
        "useNonStandardTexts": draw.random() < 0.5,
        "purposeOneTreatment": draw.random() < 0.5,
        "publisherCountryCode": draw.choice(("DE", "US", "FR", "ZW")),
        "created": created,
        "lastUpdated": created + draw.randint(0, 300) * DAY,
        "numCustomPurposes": custom,
        "specialFeatureOptins": _some(draw, 2, 2),
        "purposeConsents": _some(draw, 11, 11),
        "purposeLegitimateInterests": [p for p in _some(draw, 11, 11) if p not in (1, 3, 4, 5, 6)],
        "vendorConsents": _some(draw, 1000, draw.choice((4, 300))),
        "vendorLegitimateInterests": _some(draw, 1000, 20),
        "vendorsDisclosed": _some(draw, 1000, draw.choice((4, 300))),
        "vendorsAllowed": _some(draw, 1000, 20),
        "publisherConsents": _some(draw, 11, 11),
        "publisherLegitimateInterests": _some(draw, 11, 11),
        "publisherCustomConsents": _some(draw, custom, 3) if custom else [],
        "publisherCustomLegitimateInterests": _some(draw, custom, 3) if custom else [],
        "restrictions": _restrictions(draw),
        "segments": ["core", SEGMENTS[0], *optional],
    }


def _bits(draw: random.Random, count: int) -> list[bool]:
    return [draw.random() < 0.5 for _ in range(count)]


def _eu(draw: random.Random) -> dict[str, Any]:
    return {
        "PurposeConsents": _bits(draw, 24),
        "PurposeLegitimateInterests": _bits(draw, 24),
        "VendorConsents": _some(draw, 1000, 40),
        "VendorLegitimateInterests": _some(draw, 1000, 20),
        "VendorsDisclosed": _some(draw, 1000, 40),
        "PublisherConsents": _bits(draw, 24),
        "Created": FIRST_DAY + draw.randint(0, 2500) * DAY,
    }


def _opt_outs(draw: random.Random, *names: str) -> dict[str, Any]:
    said: dict[str, Any] = {name: draw.randint(0, 2) for name in names}
    gpc = draw.choice((None, False, True))
    return {**said, "GpcSegmentIncluded": False} if gpc is None else {**said, "Gpc": gpc}


def _national(draw: random.Random) -> dict[str, Any]:
    known = "SaleOptOut", "SharingOptOut", "TargetedAdvertisingOptOut", "SharingNotice", "PersonalDataConsents"
    return {"Version": draw.randint(1, 2), **_opt_outs(draw, *known)}


def gpp_model(draw: random.Random) -> dict[str, Any]:
    """Some of the sections we read, among others that we do not."""
    sections: dict[str, Callable[[], dict[str, Any]]] = {
        "tcfeuv2": lambda: _eu(draw),
        "uspv1": lambda: {name: draw.choice("YN-") for name in ("Notice", "OptOutSale", "LspaCovered")},
        "usnat": lambda: _national(draw),
        "usca": lambda: _opt_outs(draw, "SaleOptOut", "SharingOptOut", "SaleOptOutNotice"),
        "usva": lambda: {"SaleOptOut": draw.randint(0, 2)},
        "usco": lambda: _opt_outs(draw, "SaleOptOut"),
        "ustx": lambda: _opt_outs(draw, "SaleOptOut"),
    }
    names = [name for name in sections if draw.random() < 0.4] or ["usnat"]
    return {name: sections[name]() for name in names}


def encoded(script: str, model: Callable[[random.Random], dict[str, Any]], count: int) -> list[tuple[Any, str]]:
    """Models and the strings the reference makes of them."""
    draw = random.Random(SEED)
    models = [model(draw) for _ in range(count)]
    strings = asked(script, "encode", models)
    assert None not in strings
    return list(zip(models, strings, strict=True))


def _spoiled(draw: random.Random, text: str) -> str:
    at = draw.randrange(len(text))
    character = draw.choice(CHARACTERS)
    ways: tuple[Callable[[], str], ...] = (
        lambda: text[:at] + character + text[at + 1 :],
        lambda: text[:at] + text[at + 1 :],
        lambda: text[:at] + character + text[at:],
        lambda: text[:at],
        lambda: text[:at] + draw.choice(".~ =+/\u00e9") + text[at:],
        lambda: text + draw.choice((".", "~", character, "A", f".{character}AAA")),
        lambda: text[at:] + text[:at],
        lambda: ".".join(draw.sample(text.split("."), len(text.split(".")))),
    )
    return draw.choice(ways[:3] if draw.random() < 0.6 else ways)()


def _harmless(text: str) -> bool:
    """Whether no range in the header of a GPP string is so large that the reference would fill memory with it."""
    if not text.startswith("DB"):
        return True
    header = text.partition("~")[0].partition(".")[0]
    bits = "".join(f"{CHARACTERS.index(c):06b}" for c in header if c in CHARACTERS)[24:]
    return all(len(number) <= LONGEST_NUMBER for number in bits.split("11"))


def spoiled(strings: Sequence[str], count: int) -> Iterator[str]:
    """`count` strings with one to three faults each."""
    draw = random.Random(SEED + 1)
    while count:
        text = draw.choice(strings)
        for _ in range(draw.choice((1, 1, 2, 3))):
            text = _spoiled(draw, text) or "A"
        if _harmless(text):
            count -= 1
            yield text
