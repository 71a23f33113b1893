"""The rules that decide and the arithmetic that promises agree: what is decided with the newest promises is granted."""

import asyncio
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalog import Catalogue
from engine.ports import PersonView, Stored
from engine.profile import Contact, Fragment, State
from engine.records import Position
from engine.reservation import ACTION, GROUP, alike
from engine.signals import DAY
from infra.memory_reservations import MemoryReservations
from models.reserving import promises, taking
from models.serving import decide
from tests.models.world import ID, NOW, action, ask, catalogue, held, setting

ACTIONS = [action(f"a{n}", placements=["email"], group=f"g{n % 3}" if n % 4 else "") for n in range(8)]
EMAIL = {"id": "email", "channel": "email", "limit": 4, "contact": True, "unique_groups": False}
WINDOWS = st.sampled_from(["1d", "7d", "30d"])
CAPS = st.dictionaries(WINDOWS, st.integers(0, 4), max_size=2)
CONTACTS = st.lists(
    st.tuples(st.integers(0, 31), st.sampled_from(["email", "voice"]), st.integers(0, 7)), max_size=6, unique=True
)
WISHES = st.dictionaries(WINDOWS, st.integers(0, 4), max_size=2)
POLICIES = st.fixed_dictionaries(
    {
        "caps": CAPS,
        "channel_caps": st.dictionaries(st.sampled_from(["email", "voice"]), CAPS, max_size=2),
        "group_caps": st.dictionaries(st.sampled_from(["g0", "g1", "g2"]), CAPS, max_size=2),
        "quiet_channels": st.just([]),
    }
)


def made(policy: dict[str, Any], own: dict[str, int]) -> Catalogue:
    actions = [{**one, "cap": own} if n % 2 else one for n, one in enumerate(ACTIONS)]
    found = catalogue(actions, [EMAIL])
    document = {**msgspec.to_builtins(found.documents), "contact_policy": policy}
    return Catalogue(msgspec.convert(document, type(found.documents)))


def person(contacts: list[tuple[int, str, int]], wish: str = "") -> PersonView:
    made_to = tuple(
        sorted(
            Contact(NOW - days * DAY, f"old{n}:presented", channel, f"a{number}", str(ACTIONS[number]["group"]))
            for n, (days, channel, number) in enumerate(contacts)
        )
    )
    fragment = Fragment(ID, State(count=1, first=NOW, last=NOW, contacts=made_to))
    return PersonView(ID, (ID,), 0, (Stored(Position(1, 0, 0), NOW, fragment),), held(frequency=wish))


async def promised_in_turn(view: PersonView, rules: Catalogue) -> list[Contact]:
    """Decide again and again until nothing is left; every single one must be granted at once."""
    reservations = MemoryReservations()
    granted: list[Contact] = []
    for number in range(40):
        [reserved] = await reservations.promised([view], NOW)
        asked = ask(view, number, "email", reserved=promises(view, reserved))
        record = decide(asked, setting(own=rules))
        if not record.slate:
            return granted
        wanted = taking(record, view, reserved, rules)
        assert await reservations.take([wanted]) == [True]
        granted += [claim.contact for claim in wanted.claims]
    return granted


@settings(max_examples=60, deadline=None)
@given(POLICIES, CAPS, CONTACTS, WISHES)
def test_what_is_decided_with_the_newest_promises_is_granted_and_no_cap_is_exceeded(
    policy: dict[str, Any], own: dict[str, int], contacts: list[tuple[int, str, int]], wish: dict[str, int]
) -> None:
    said = ",".join(f"{most}/{window}" for window, most in wish.items())
    rules, view = made(policy, own), person(contacts, said)
    granted = asyncio.run(promised_in_turn(view, rules))
    counted = (*view.contacts, *granted)
    for one in granted:
        for kind, caps in (
            ("all", policy["caps"]),
            ("all", wish),
            ("channel", policy["channel_caps"].get("email", {})),
            (ACTION, rules.actions[one.action_id].cap),
            (GROUP, policy["group_caps"].get(one.group, {})),
        ):
            for window, most in caps.items():
                since = NOW - int(window[:-1]) * DAY
                assert sum(1 for c in counted if c.at > since and alike(kind, c, one)) <= most


@given(CONTACTS)
def test_a_capped_group_is_in_a_slate_once(contacts: list[tuple[int, str, int]]) -> None:
    rules = made({"group_caps": {"g1": {"30d": 9}}, "quiet_channels": []}, {})
    record = decide(ask(person(contacts), 1, "email"), setting(own=rules))
    groups = [record.candidates[candidate].group for candidate, _, _ in record.slate]
    assert len([g for g in groups if g]) == len({g for g in groups if g})
