"""What promised approaches count against, and what a contact placement may still show."""

import msgspec

from engine.catalog import Catalogue
from engine.profile import Contact
from engine.reservation import (
    ACTION,
    ALL,
    CHANNEL,
    GROUP,
    HOUR,
    Cap,
    Reserved,
    claim,
    lasting,
    limited,
    made_of,
    most_shown,
    once_per_group,
    open_of,
)
from engine.signals import DAY
from tests.models.world import action, catalogue

NOW = 100 * DAY
EMAIL = {"id": "email", "channel": "email", "limit": 3, "contact": True, "unique_groups": False}
WEB = {"id": "web", "channel": "web", "limit": 3}


def made(policy: dict[str, object], **changes: object) -> Catalogue:
    one = action("a", placements=["email", "web"], group="g", **changes)
    found = catalogue([one], [EMAIL, WEB])
    documents = msgspec.to_builtins(found.documents)
    return Catalogue(msgspec.convert({**documents, "contact_policy": policy}, type(found.documents)))


def contact(number: int, ago: int = 0, **changes: object) -> Contact:
    return msgspec.structs.replace(Contact(NOW - ago, f"d{number}:a:presented", "email", "a", "g"), **changes)


def promise(number: int, ago: int = 0) -> Contact:
    return contact(number, ago, message_id=f"d{number}:a")


def test_a_promise_that_was_kept_counts_once() -> None:
    reserved = Reserved((promise(1), promise(2)), (promise(3),))
    contacts = (contact(2), contact(3))
    assert open_of(reserved, contacts) == (promise(1),)
    assert set(made_of(reserved, contacts)) == {"d2:a", "d3:a"}


def test_only_contact_placements_with_caps_need_promises() -> None:
    capped = made({"caps": {"7d": 1}})
    assert limited(capped.placements["email"], capped, ())
    assert not limited(capped.placements["web"], capped, ())
    assert not limited(made({}).placements["email"], made({}), ())
    for found in (
        made({}, cap={"1d": 1}),
        made({"group_caps": {"g": {"1d": 1}}}),
        made({"channel_caps": {"email": {"1d": 1}}}),
    ):
        assert limited(found.placements["email"], found, ())
    other = made({"group_caps": {"h": {"1d": 1}}, "channel_caps": {"sms": {"1d": 1}}})
    assert not limited(other.placements["email"], other, ())


def test_whoever_set_a_limit_is_promised_contacts_where_nothing_is_capped() -> None:
    free, said = made({}), ({"language": "de"}, {"frequency": "2/7d"})
    assert limited(free.placements["email"], free, said)
    assert not limited(free.placements["email"], free, said[:1])
    assert not limited(free.placements["web"], free, said)


def test_every_cap_says_how_much_room_the_contacts_leave() -> None:
    policy = {"caps": {"7d": 5}, "channel_caps": {"email": {"1d": 3}}, "group_caps": {"g": {"30d": 9}}}
    found = made(policy, cap={"1d": 2})
    counted = (contact(1), contact(2, ago=2 * DAY), contact(3, ago=8 * DAY, action_id="b"), contact(4, channel="voice"))
    got = claim(promise(9), (found.actions["a"], found.placements["email"]), found.policy, {}, counted)
    assert set(got.caps) == {
        Cap(ALL, 7 * DAY, 2),
        Cap(CHANNEL, DAY, 2),
        Cap(ACTION, DAY, 0),
        Cap(GROUP, 30 * DAY, 5),
    }


def test_what_the_person_set_is_a_cap_over_everything() -> None:
    found, said = made({"caps": {"7d": 5}}), {"frequency": "1/7d,4/30d"}
    counted = (contact(1, ago=8 * DAY, channel="voice"),)
    got = claim(promise(9), (found.actions["a"], found.placements["email"]), found.policy, said, counted)
    assert set(got.caps) == {Cap(ALL, 7 * DAY, 5), Cap(ALL, 7 * DAY, 1), Cap(ALL, 30 * DAY, 3)}


def test_a_slate_is_no_longer_than_what_is_left() -> None:
    found = made({"caps": {"7d": 3}, "channel_caps": {"email": {"1d": 2}}})
    email = found.placements["email"]
    assert most_shown(email, found.policy, (), NOW) == 2
    assert most_shown(email, found.policy, (contact(1, channel="voice"), contact(2, channel="voice")), NOW) == 1
    assert most_shown(email, found.policy, (contact(1, ago=2 * DAY),), NOW) == 2
    assert most_shown(found.placements["web"], found.policy, (), NOW) is None
    assert most_shown(email, made({}).policy, (), NOW) is None


def test_what_was_shown_elsewhere_counts_against_its_own_cap_alone() -> None:
    found = made(
        {"caps": {"7d": 1}, "channel_caps": {"email": {"7d": 1}}, "group_caps": {"g": {"7d": 1}}}, cap={"7d": 1}
    )
    email, elsewhere = found.placements["email"], (contact(1, approach=False),)
    got = claim(promise(9), (found.actions["a"], email), found.policy, {"frequency": "1/7d"}, elsewhere)
    assert {cap.kind: cap.room for cap in got.caps} == {ALL: 1, CHANNEL: 1, GROUP: 1, ACTION: 0}
    assert most_shown(email, found.policy, elsewhere, NOW) == 1
    assert made_of(Reserved((promise(1),)), elsewhere) == ("d1:a",)


def test_a_capped_group_is_shown_once_in_a_slate() -> None:
    found = made({"group_caps": {"g": {"7d": 1}}})
    assert once_per_group(found.placements["email"], found.policy).unique_groups
    assert once_per_group(found.placements["web"], found.policy) is found.placements["web"]
    assert not once_per_group(found.placements["email"], made({}).policy).unique_groups


def test_a_promise_lasts_as_long_as_the_policy_says() -> None:
    assert lasting(made({}).policy) == DAY
    assert lasting(made({"reservation_hours": 2.5}).policy) == int(2.5 * HOUR)
