"""TC strings: the vectors, the rule of TCF 2.3, and that nothing but our own error ever comes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bits import LONGEST, Bits, Ids, ids
from engine.errors import Rejected
from engine.tcf import DISCLOSURE_SINCE, Publisher, Restriction, TcString, decode, decode_section

CORE = "CQdZmkAQdZmkAAKACBENCWFoALIAAECAAAYgF5wAgAGALzAvOACAvMAA"
DISCLOSED, PUBLISHER = "IF5wAgAGALzA", "cAAAAAAAAAAA"
VECTOR = f"{CORE}.{DISCLOSED}.{PUBLISHER}"
JANUARY_2 = 1_767_312_000_000
# the characters of "Created": two of them moved make it 2026-02-28 and the day before
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_the_vector_reads_as_published() -> None:
    vendors = ids([12, 755])
    assert decode(VECTOR) == TcString(
        created=JANUARY_2,
        last_updated=JANUARY_2,
        cmp_id=10,
        cmp_version=2,
        consent_screen=1,
        language="EN",
        vendor_list=150,
        policy=5,
        service_specific=True,
        non_standard_texts=False,
        special_features=ids([1]),
        purposes=ids([1, 3, 4, 7]),
        interests=ids([2, 9]),
        one_treatment=False,
        country="DE",
        vendors=vendors,
        vendor_interests=ids([755]),
        restrictions=(),
        disclosed=vendors,
        publisher=Publisher(ids([1]), Ids(), Ids(), Ids()),
    )


def created(moment: int) -> str:
    """The vector's core, created at another moment (ms)."""
    bits = "".join(f"{CHARACTERS.index(c):06b}" for c in CORE)
    bits = bits[:6] + f"{moment // 100:036b}" + bits[42:]
    return "".join(CHARACTERS[int(bits[n : n + 6], 2)] for n in range(0, len(bits), 6))


def test_a_string_of_2_2_stays_valid() -> None:
    found = decode(f"{CORE}.{PUBLISHER}")
    assert found.disclosed is None
    assert decode(created(DISCLOSURE_SINCE - 100)).created == DISCLOSURE_SINCE - 100


def test_from_2026_02_28_on_the_disclosed_vendors_must_be_named() -> None:
    late = created(DISCLOSURE_SINCE)
    with pytest.raises(Rejected, match="disclosed vendors"):
        decode(late)
    assert decode(f"{late}.{DISCLOSED}").created == DISCLOSURE_SINCE


def test_restrictions_and_every_segment_are_read() -> None:
    found = decode("CQdZmkAQdZmkAAKACBENCWFoAKAAAEAAAAYgPoQAwABgAJA-gAAAAEJACgAKAA4ACQAA.IACjgAAA.cAAAAAAAASAA.QAAo")
    assert found.restrictions == (Restriction(2, 1, ids([5, 6, 7, 9])),)
    assert (found.disclosed, found.allowed) == (ids([3, 4, 5]), ids([1]))
    assert found.publisher == Publisher(ids([1]), Ids(), ids([2]), Ids())


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        CORE[:-6],
        f"{CORE}.",
        f".{CORE}",
        f"{DISCLOSED}.{CORE}",
        f"{VECTOR}.{DISCLOSED}",
        f"{CORE}.{CORE}",
        f"B{CORE[1:]}",
        f"{CORE}_",
        f"{CORE}.gAAA",
        f"{CORE}\n",
        CORE.replace("A", "á", 1),
        "C" * (LONGEST + 1),
        f"{CORE}.{'A' * LONGEST}",
    ],
)
def test_a_malformed_string_is_rejected_whole(text: str) -> None:
    with pytest.raises(Rejected) as caught:
        decode(text)
    assert caught.value.code == "invalid_tc_string"


def test_nobodys_platform_is_rejected_except_in_a_gpp_section() -> None:
    nobody = CORE.replace("KAC", "AAC", 1)
    with pytest.raises(Rejected, match="platform"):
        decode(nobody)
    assert decode_section(nobody).cmp_id == 0


@given(st.text() | st.text(CHARACTERS + ".") | st.text(CHARACTERS).map(lambda tail: CORE[:30] + tail))
def test_no_text_raises_anything_but_our_error(text: str) -> None:
    try:
        decode(text)
    except Rejected as error:
        assert error.code == "invalid_tc_string"  # noqa: PT017 reason: reading it is allowed, too


@given(st.sets(st.integers(1, 70_000)))
def test_ids_are_a_set_of_numbers(numbers: set[int]) -> None:
    found = ids(numbers)
    assert list(found) == sorted(numbers)
    assert all(number in found for number in numbers)
    assert 0 not in found
    assert "1" not in found


@given(st.integers(1, 4095))
def test_fibonacci_numbers_are_read_as_they_are_written(number: int) -> None:
    terms = [1, 2]
    while terms[-1] <= number:
        terms.append(terms[-1] + terms[-2])
    rest, code = number, ""
    for term in reversed(terms):
        code = ("1" if rest >= term else "0") + code
        rest -= term if rest >= term else 0
    text = f"{code.rstrip('0')}1".ljust(30, "0")
    encoded = "".join(CHARACTERS[int(text[n : n + 6], 2)] for n in range(0, 30, 6))
    assert Bits(encoded, "x").fibonacci(4095) == number
    with pytest.raises(Rejected):
        Bits(encoded, "x").fibonacci(number - 1)
