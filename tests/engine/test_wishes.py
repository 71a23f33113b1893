"""A person's own wishes narrow contacts: so often at most, and not in these hours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.limits import at_most, loosened, quiet_hours, together


@pytest.mark.parametrize(
    ("said", "hours"),
    [
        ("21:00-08:00", {21, 22, 23, *range(8)}),
        ("12:00-14:00", {12, 13}),
        ("12:30-14:30", {12, 13, 14}),
        ("00:00-24:00", set(range(24))),
        ("22:30-22:00", set(range(24))),
        ("08:30-08:15", set(range(24))),
        ("12:00-14:00\n", {12, 13}),
        ("", set()),
        ("often", set()),
        ("21:00-08:00,12:00-14:00", {21, 22, 23, *range(8), 12, 13}),
    ],
)
def test_quiet_hours(said: str, hours: set[int]) -> None:
    assert quiet_hours({"quiet_hours": said}) == hours


@pytest.mark.parametrize(
    ("said", "limits"),
    [
        ("2/7d", ((2, "7d"),)),
        ("0/30d", ((0, "30d"),)),
        ("2/7d\n", ((2, "7d"),)),
        ("", ()),
        ("2/9d", ()),
        ("x/7d", ()),
        ("1/1d,3/30d", ((1, "1d"), (3, "30d"))),
    ],
)
def test_frequency(said: str, limits: tuple[tuple[int, str], ...]) -> None:
    assert at_most({"frequency": said}) == limits
    assert at_most({}) == ()


LIMITS = st.sampled_from(["", "1/1d", "3/7d", "2/30d", "1/1d,3/30d"])
HOURS = st.sampled_from(["", "21:00-08:00", "12:00-14:00", "12:00-13:30"])
WISHES = st.fixed_dictionaries({"frequency": LIMITS, "quiet_hours": HOURS})


@given(WISHES, WISHES)
def test_wishes_of_two_ids_loosen_neither(one: dict[str, str], other: dict[str, str]) -> None:
    both = {name: together([one[name], other[name]]) for name in one}
    assert not loosened(one, both)
    assert not loosened(other, both)


@pytest.mark.parametrize(
    ("before", "after", "lifts"),
    [
        ({"frequency": "2/7d"}, {}, True),
        ({"frequency": "2/7d"}, {"frequency": "3/7d"}, True),
        ({"frequency": "2/7d"}, {"frequency": "2/30d"}, False),
        ({"frequency": "2/7d"}, {"frequency": "2/1d"}, True),
        ({"quiet_hours": "21:00-08:00"}, {"quiet_hours": "22:00-08:00"}, True),
        ({"quiet_hours": "21:00-08:00"}, {"quiet_hours": "20:00-08:00"}, False),
        ({}, {"frequency": "2/7d", "quiet_hours": "20:00-08:00"}, False),
    ],
)
def test_a_wish_that_is_lifted_allows_more(before: dict[str, str], after: dict[str, str], lifts: bool) -> None:
    assert loosened(before, after) is lifts
