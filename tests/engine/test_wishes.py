"""A person's own wishes narrow contacts: so often at most, and not in these hours."""

import pytest

from engine.wishes import at_most, is_unwanted


@pytest.mark.parametrize(
    ("said", "hours"),
    [
        ("21:00-08:00", {21, 22, 23, *range(8)}),
        ("12:00-14:00", {12, 13}),
        ("12:30-14:30", {12, 13, 14}),
        ("00:00-24:00", set(range(24))),
        ("", set()),
        ("often", set()),
    ],
)
def test_quiet_hours(said: str, hours: set[int]) -> None:
    assert {hour for hour in range(24) if is_unwanted({"quiet_hours": said}, hour)} == hours


@pytest.mark.parametrize(
    ("said", "limit"), [("2/7d", (2, "7d")), ("0/30d", (0, "30d")), ("", None), ("2/9d", None), ("x/7d", None)]
)
def test_frequency(said: str, limit: tuple[int, str] | None) -> None:
    assert at_most({"frequency": said}) == limit
    assert at_most({}) is None
