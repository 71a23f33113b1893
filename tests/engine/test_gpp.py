"""GPP strings: the vectors, what is malformed, and that nothing but our own error ever comes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bits import LONGEST, ids
from engine.errors import Rejected
from engine.gpp import Choices, decode

EVERY_US = (1, 1, 1)
SEVERAL = "DBADMMY~CQuIxQAQuIxQAAAAAAENAAFgALAAAAAAAAAAAGAAQAAAAAAA.IAGAAQAA.YAAAAAAAAAAA~CEAQAAAAAACA.YA~BEQAAIA.QA"
VECTORS: dict[str, tuple[str, dict[int, Choices]]] = {
    "national-1-all-out": ("DBABLA~BVQVAAAAAgA.YA", {7: Choices(*EVERY_US, gpc=True)}),
    "national-2-not-out": ("DBABLA~CFQqAAAAAACA.QA", {7: Choices(2, 2, 2, gpc=False)}),
    "california-out": ("DBABBg~BUUAAACA.YA", {8: Choices(1, 1, None, gpc=True)}),
    "us-privacy-out": ("DBABTA~1YYN", {6: Choices(1)}),
    "several": (SEVERAL, {7: Choices(1, 0, 0, gpc=True)}),
    "none": ("DBAA", {}),
}
OUT = {"national-1-all-out", "california-out", "us-privacy-out", "several"}


@pytest.mark.parametrize("case", VECTORS)
def test_the_vectors_read_as_published(case: str) -> None:
    text, choices = VECTORS[case]
    found = decode(text)
    assert found.choices == choices
    assert any(said.opted_out for said in found.choices.values()) is (case in OUT)


def test_section_2_is_a_tc_string_and_others_are_kept_as_they_are() -> None:
    found = decode(SEVERAL)
    assert found.eu is not None
    assert (found.eu.purposes, found.eu.vendors) == (ids([1, 3, 4]), ids([12]))
    assert list(found.raw) == [2, 7, 10]
    assert found.raw[10] == "BEQAAIA.QA"


@pytest.mark.parametrize(
    ("choices", "out"),
    [
        (Choices(), False),
        (Choices(0, 0, 0), False),
        (Choices(2, 2, 2, gpc=False), False),
        (Choices(2, 2, 2, gpc=True), True),
        (Choices(sharing=1), True),
        (Choices(targeted_advertising=1), True),
    ],
)
def test_any_opt_out_and_the_browsers_signal_count(choices: Choices, out: bool) -> None:
    assert choices.opted_out is out


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DBABLA",
        "DBABLA~",
        "DBABLA~ ",
        "DBABLA~!!!",
        "XXXX~BVQVAAAAAgA.YA",
        "DBABLA~BVQVAAAAAgA.YA~BVQVAAAAAgA.YA",
        "DBABLA~BVQVAAAAAgA.YA.YA",
        "DBABLA~BVQVAAAAAgA.AA",
        "DBABLA~BVQVAAAAAgA.YAAB",
        "DBABLA~BVQVAAAAA",
        "DBABLA~CVQVAAAAAgA",
        "DBABLA~DVQVAAAAAgAA",
        "DBABLA~B_QVAAAAAgA",
        "DBABTA~1YYX",
        "DBABTA~2YYN",
        "DBABTA~1yyn",
        "DBABTA~1YYN.A",
        "DCABLA~BVQVAAAAAgA.YA",
        "CQdZmkAQdZmkAAKACBENCWFoALIAAECAAAYgF5wAgAGALzAvOACAvMAA",
        "DBP______~A",
        "~",
        "D" * (LONGEST + 1),
    ],
)
def test_a_malformed_string_is_rejected_whole(text: str) -> None:
    with pytest.raises(Rejected):
        decode(text)


CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"


@given(st.text() | st.text(CHARACTERS).map("DB".__add__) | st.text(CHARACTERS).map("DBABLA~B".__add__))
def test_no_text_raises_anything_but_our_error(text: str) -> None:
    try:
        decode(text)
    except Rejected as error:
        assert error.code in ("invalid_gpp_string", "invalid_tc_string")  # noqa: PT017 reason: reading it is allowed, too


def test_a_header_of_nothing_but_zeros_is_refused_before_its_end() -> None:
    """Each zero would make the next step of the code larger: what can only be too large is not read on."""
    with pytest.raises(Rejected, match="too large"):
        decode("DBAB" + "A" * (LONGEST - 4))
