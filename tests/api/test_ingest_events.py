"""What becomes of the events in a request: accepted or rejected one by one, times corrected, collection refused,
outcomes tied to their decisions."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from engine.collection import Source
from engine.consent import DENIED, Statement
from engine.events import CONSENT_CHANGED, Event
from engine.identifiers import identifier_id
from engine.ports import ConsentChange
from tests.api.decisions import recorded_decision
from tests.api.seed import grant
from tests.api.world import ADMIN, NOW, SECRET, WRITE, Clock, Rig

SKEW = sorted((Path(__file__).parents[1] / "golden" / "skew").glob("*.json"))


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


async def send(rig: Rig, items: list[Any], **root: Any) -> dict[str, Any]:
    async with rig.client(WRITE) as client:
        answer = await client.post("/v1/batch", json={"batch": items, **root})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("path", SKEW, ids=lambda p: p.stem)
async def test_skew(path: Path) -> None:
    case = json.loads(path.read_text())
    rig = Rig(clock=Clock(ms(case["received"])))
    root = {"sentAt": case["sentAt"]} if "sentAt" in case else {}
    answer = await send(rig, [{"type": "track", "event": "Ping", "userId": "u-1", **case["event"]}], **root)
    assert [r["code"] for r in answer["rejected"]] == ([case["code"]] if "code" in case else [])
    assert [e.at for e in rig.events()] == ([ms(case["at"])] if "at" in case else [])


REJECTED: dict[str, tuple[Any, str]] = {
    "no type": ({"userId": "u-1"}, "unknown_type"),
    "unknown type": ({"type": "sing", "userId": "u-1"}, "unknown_type"),
    "nobody": ({"type": "track", "event": "Ping"}, "missing_identity"),
    "null ids": ({"type": "track", "event": "Ping", "userId": None, "anonymousId": None}, "missing_identity"),
    "blocked id": ({"type": "track", "event": "Ping", "userId": "null"}, "missing_identity"),
    "track without event": ({"type": "track", "userId": "u-1"}, "missing_event"),
    "group without id": ({"type": "group", "userId": "u-1"}, "missing_group"),
    "alias without previous": ({"type": "alias", "userId": "u-1"}, "invalid_alias"),
    "alias with null previous": ({"type": "alias", "userId": "u-1", "previousId": None}, "invalid_alias"),
    "merge of one": ({"type": "merge", "mergeProperties": [{"type": "user_id", "value": "u"}]}, "invalid_merge"),
    "id is an object": ({"type": "track", "event": "Ping", "userId": {"a": 1}}, "invalid_field"),
    "traits are a list": ({"type": "identify", "userId": "u-1", "traits": []}, "invalid_field"),
    "time is no time": ({"type": "track", "event": "P", "userId": "u", "timestamp": "soon"}, "invalid_timestamp"),
    "too deep": (
        {"type": "track", "event": "P", "userId": "u", "properties": json.loads('{"a":' * 20 + "1" + "}" * 20)},
        "not_plain",
    ),
    "deeper than can be written": (
        {"type": "track", "event": "P", "userId": "u", "properties": json.loads('{"a":' * 300 + "1" + "}" * 300)},
        "not_plain",
    ),
    "a number": (3, "not_an_object"),
}


@pytest.mark.parametrize("name", REJECTED)
async def test_one_bad_event_costs_none_of_its_neighbours(name: str) -> None:
    item, code = REJECTED[name]
    rig = Rig()
    good = {"type": "track", "event": "Ping", "userId": "u-9"}
    bad = {**item, "messageId": "m-bad"} if isinstance(item, dict) else item
    answer = await send(rig, [good, bad, good])
    (rejection,) = answer["rejected"]
    assert (answer["success"], answer["accepted"]) == (True, 2)
    assert (rejection["index"], rejection["code"]) == (1, code)
    assert rejection["messageId"] == ("m-bad" if isinstance(item, dict) else "")
    assert rejection["message"]
    assert len(list(rig.events())) == 2


async def test_strict_mode_turns_rejections_into_a_400_and_accepts_nothing() -> None:
    rig = Rig()
    items = [{"type": "track", "event": "Ping", "userId": "u-1"}, {"type": "track", "event": "Ping"}]
    async with rig.client(WRITE) as client:
        answer = await client.post("/v1/batch", json={"batch": items}, headers={"X-Strict-Mode": "1"})
    assert (answer.status_code, answer.json()["code"]) == (400, "rejected_events")
    assert [(e["index"], e["code"]) for e in answer.json()["errors"]] == [(1, "missing_identity")]
    assert not list(rig.events())


async def test_an_empty_batch_is_taken() -> None:
    assert await send(Rig(), []) == {"success": True, "accepted": 0, "rejected": []}


async def test_the_roots_context_stands_under_each_items_own() -> None:
    rig = Rig()
    items = [
        {"type": "page", "anonymousId": "a-1"},
        {"type": "page", "anonymousId": "a-1", "context": {"locale": "de-DE"}},
        {"type": "page", "anonymousId": "a-1", "context": None},
    ]
    await send(rig, items, context={"locale": "en-US", "timezone": "Europe/Berlin"})
    assert [e.context["locale"] for e in rig.events()] == ["en-US", "de-DE", "en-US"]
    assert {e.context["timezone"] for e in rig.events()} == {"Europe/Berlin"}


async def test_a_missing_message_id_is_made() -> None:
    rig = Rig()
    event = {"type": "track", "event": "Ping", "userId": "u-1"}
    await send(rig, [event, {**event, "messageId": None}, {**event, "messageId": "m-1"}])
    made = [e.message_id for e in rig.events()]
    assert made[2] == "m-1"
    assert len(set(made)) == 3
    assert all(made)


async def test_a_retry_that_grew_changes_a_profile_once() -> None:
    rig = Rig()
    events = [{"type": "track", "event": "Ping", "userId": "u-1", "messageId": f"m-{n}"} for n in range(5)]
    await send(rig, events[:3], sentAt="2026-01-31T12:00:00Z")
    await send(rig, events, sentAt="2026-01-31T12:00:09Z")
    assert rig.state.view(rig.id_of("user_id:u-1")).profile.state.signals["events"].total == 5


async def test_traits_come_from_the_event_or_its_context() -> None:
    rig = Rig()
    await send(rig, [{"type": "identify", "userId": "u-1", "context": {"traits": {"email": "Ann@Example.org"}}}])
    (event,) = rig.events()
    assert event.traits == {"email": "Ann@Example.org"}
    assert [(i.type, i.value) for i in event.identifiers] == [("user_id", "u-1"), ("email", "ann@example.org")]


ASKING = {"drop": Source(on_refusal="drop", collection_purpose="analytics", categories={"perf": "analytics"})}
ASKING["pseudonymise"] = Source(on_refusal="pseudonymise", collection_purpose="analytics")


async def refusing(source: Source) -> Rig:
    rig = Rig(sources={"shop": source})
    said = Statement(DENIED, NOW - 1000, "preferences")
    await rig.world.consents.write({rig.id_of("user_id:u-1"): ConsentChange({"analytics": said})})
    return rig


PAGE = {"type": "page", "userId": "u-1", "name": "Home", "messageId": "m-1", "properties": {"search": "shoes"}}


async def test_a_refused_collection_drops_the_event_and_accepts_the_call() -> None:
    rig = await refusing(ASKING["drop"])
    answer = await send(rig, [PAGE, {**PAGE, "userId": "u-2"}])
    assert answer["accepted"] == 2
    assert [e.home for e in rig.events()] == [rig.id_of("user_id:u-2")]


async def test_a_refused_collection_may_keep_the_event_without_its_person() -> None:
    rig = await refusing(ASKING["pseudonymise"])
    await send(rig, [PAGE])
    (event,) = rig.events()
    home = identifier_id(SECRET, "pseudonym", rig.id_of("user_id:u-1"))
    assert (event.home, event.name, event.traits, event.properties) == (home, "", {}, {})
    assert [(i.type, i.value) for i in event.identifiers] == [("pseudonym", home)]


async def test_a_cookie_that_refused_is_not_collected_under_a_name_it_gets() -> None:
    rig = Rig(sources={"shop": ASKING["drop"]})
    said = Statement(DENIED, NOW - 1000, "preferences")
    await rig.world.consents.write({rig.id_of("anonymous_id:a-1"): ConsentChange({"analytics": said})})
    named = {"type": "identify", "userId": "u-1", "anonymousId": "a-1", "traits": {"hobby": "chess"}}
    assert (await send(rig, [named]))["accepted"] == 1
    assert list(rig.events()) == []


async def test_a_yes_of_the_person_opens_collection_for_the_cookie_too() -> None:
    rig = Rig(sources={"shop": ASKING["drop"]})
    await send(rig, [{"type": "identify", "userId": "u-1", "anonymousId": "a-1"}])
    refused = {"consent": {"categoryPreferences": {"perf": False}}}
    await send(rig, [{"type": "page", "anonymousId": "a-1", "name": "Left", "context": refused}])
    rig.clock.at += 1000
    async with rig.client(ADMIN) as client:
        await grant(client, "analytics", ref="user_id:u-1")
    await send(rig, [{"type": "page", "anonymousId": "a-1", "name": "Back"}])
    assert "Back" in [e.name for e in rig.events()]
    assert "Left" not in [e.name for e in rig.events()]


async def test_what_refuses_to_be_collected_is_not_kept_among_the_rejected_either() -> None:
    rig = Rig(sources={"shop": ASKING["drop"]})
    nobody = {"type": "track", "event": "Searched", "messageId": "m-7", "properties": {"term": "lawyer"}}
    refusing = {**nobody, "context": {"consent": {"categoryPreferences": {"perf": False}}}}
    await send(rig, [nobody, refusing])
    assert json.loads(rig.rejects.kept[0].event) == nobody
    assert json.loads(rig.rejects.kept[1].event) == {"type": "track", "messageId": "m-7"}


@pytest.mark.parametrize(("purpose", "kept"), [("advertising", {"type", "messageId"}), ("analytics", None)])
async def test_what_the_browser_refuses_is_not_kept_among_the_rejected(purpose: str, kept: set[str] | None) -> None:
    rig = Rig(sources={"shop": Source(on_refusal="drop", collection_purpose=purpose)})
    nobody = {"type": "track", "event": "Searched", "messageId": "m-7", "properties": {"term": "lawyer"}}
    async with rig.client() as client:
        await client.post("/v1/batch", json={"batch": [nobody]}, auth=(WRITE, ""), headers={"Sec-GPC": "1"})
    assert json.loads(rig.rejects.kept[0].event).keys() == (kept or nobody.keys())


async def test_what_follows_a_refusal_in_its_batch_is_not_collected() -> None:
    rig = Rig(sources={"shop": ASKING["drop"]})
    consent = {"consent": {"categoryPreferences": {"perf": False}}}
    await send(rig, [{"type": "track", "event": CONSENT_CHANGED, "userId": "u-1", "context": consent}, PAGE])
    assert [e.name for e in rig.events()] == [CONSENT_CHANGED]


@pytest.mark.parametrize(
    ("held", "yes", "kept"), [(None, False, [CONSENT_CHANGED]), ("anonymous_id:a-1", True, [CONSENT_CHANGED, "Home"])]
)
async def test_a_batch_knows_who_is_one_person_though_they_never_said_anything(
    held: str | None, yes: bool, kept: list[str]
) -> None:
    rig = Rig(sources={"shop": ASKING["drop"]})
    await send(rig, [{"type": "identify", "userId": "u-1", "anonymousId": "a-1"}])
    if held is not None:
        said = Statement(DENIED, NOW - 1000, "preferences")
        await rig.world.consents.write({rig.id_of(held): ConsentChange({"analytics": said})})
    rig.clock.at += 1000
    consent = {"consent": {"categoryPreferences": {"perf": yes}}}
    speaker, other = ("userId", "u-1"), ("anonymousId", "a-1")
    change = {"type": "track", "event": CONSENT_CHANGED, "context": consent, **dict([speaker if yes else other])}
    page = {"type": "page", "name": "Home", **dict([other if yes else speaker])}
    await send(rig, [change, page])
    assert [e.name for e in rig.events()][1:] == kept


async def test_who_was_never_asked_is_kept() -> None:
    rig = Rig(sources={"shop": ASKING["drop"]})
    await send(rig, [PAGE])
    assert [e.name for e in rig.events()] == ["Home"]


async def test_an_explicit_change_of_consent_is_always_delivered() -> None:
    rig = await refusing(ASKING["drop"])
    rig.clock.at += 1000
    consent = {"consent": {"categoryPreferences": {"perf": True}}}
    await send(rig, [{"type": "track", "event": CONSENT_CHANGED, "userId": "u-1", "context": consent}, PAGE])
    assert [e.name for e in rig.events()] == [CONSENT_CHANGED, "Home"]


async def test_a_dropped_event_does_not_take_its_refusal_with_it() -> None:
    rig = Rig(sources={"shop": ASKING["drop"]})
    refusing_page = {**PAGE, "context": {"consent": {"categoryPreferences": {}}}}
    await send(rig, [refusing_page])
    await send(rig, [refusing_page, PAGE])
    (event,) = rig.events()
    assert (event.name, event.consent, event.properties) == (CONSENT_CHANGED, {"analytics": False}, {})


def outcome_events(rig: Rig) -> list[Event]:
    return [e for e in rig.events() if e.kind == "outcome"]


async def test_a_tracked_event_with_a_decision_id_becomes_an_outcome_too() -> None:
    rig = Rig()
    record = await recorded_decision(rig)
    answered = record.answer["actions"][0]["action_id"]
    named = {"decision_id": record.decision_id}
    await send(
        rig,
        [
            {"type": "track", "event": "Promotion Viewed", "userId": "u-1", "properties": named},
            {"type": "track", "event": "Order Completed", "userId": "u-1", "properties": {**named, "total": 12.5}},
            {"type": "track", "event": "Survey Sent", "userId": "u-1", "properties": {**named, "outcome": "declined"}},
            {"type": "track", "event": "Survey Sent", "userId": "u-1", "properties": named},
        ],
    )
    found = outcome_events(rig)
    assert [e.name for e in found] == ["presented", "accepted", "declined"]
    assert {e.home for e in found} == {record.profile_id}
    assert {e.properties["action_id"] for e in found} == {answered}
    assert found[1].properties["value"] == 12.5
    assert found[0].message_id == f"{record.decision_id}:{answered}:presented"


async def test_saying_an_outcome_twice_counts_once() -> None:
    rig = Rig()
    record = await recorded_decision(rig)
    said = {"type": "track", "event": "Promotion Clicked", "userId": "u-1"}
    for _ in range(2):
        await send(rig, [{**said, "properties": {"decision_id": record.decision_id}}])
    assert rig.state.view(record.profile_id).profile.state.signals["responses.clicked"].total == 1


@pytest.mark.parametrize(
    "properties",
    [{"decision_id": "aaaaaaaaaaaaaaaa.00000000000000000000000000"}, {"decision_id": 3}, {"decision_id": ""}],
)
async def test_an_unknown_decision_leaves_the_event_as_it_is(properties: dict[str, Any]) -> None:
    rig = Rig()
    answer = await send(
        rig, [{"type": "track", "event": "Promotion Viewed", "userId": "u-1", "properties": properties}]
    )
    assert answer["accepted"] == 1
    assert [e.kind for e in rig.events()] == ["track"]


async def test_what_is_not_accepted_is_kept_with_its_reason() -> None:
    rig = Rig()
    async with rig.client() as client:
        answer = await client.post("/v1/batch", auth=(WRITE, ""), json={"batch": [{"type": "track", "event": "x"}]})
    assert answer.json()["rejected"][0]["code"] == "missing_identity"
    assert [(one.source, one.code) for one in rig.rejects.kept] == [("shop", "missing_identity")]
    assert json.loads(rig.rejects.kept[0].event)["event"] == "x"
