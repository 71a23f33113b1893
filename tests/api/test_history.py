"""Profiles of the past over HTTP: before and after what happened, however a time is written, with today's consent."""

from typing import Any

import httpx
import pytest

from tests.api.seed import ANN, grant
from tests.api.world import AGENT, NOW, WRITE, Rig

HOUR = 3_600_000


async def later(rig: Rig, hours: int, *events: dict[str, Any]) -> None:
    """These events, received so many hours after the beginning."""
    rig.clock.at = NOW + hours * HOUR
    async with rig.client() as writer:
        answer = await writer.post("/v1/batch", json={"batch": list(events)}, auth=(WRITE, ""))
    assert answer.json()["accepted"] == len(events)


async def profile(client: httpx.AsyncClient, at: int | str | None = None, ref: str = ANN) -> dict[str, Any]:
    answer = await client.get(f"/v1/profiles/{ref}", params={} if at is None else {"at": str(at)})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_the_past_is_as_it_was_and_the_present_as_it_is(rig: Rig, client: httpx.AsyncClient) -> None:
    before = await profile(client)
    await later(rig, 2, {"type": "identify", "userId": "u-1", "traits": {"plan": "basic"}})
    assert (await profile(client))["traits"]["plan"] == "basic"
    assert await profile(client, NOW + HOUR) == {**before, "signals": (await profile(client, NOW + HOUR))["signals"]}
    assert await profile(client, NOW) == before
    assert (await profile(client, NOW + 2 * HOUR))["traits"]["plan"] == "basic"


@pytest.mark.parametrize(
    "at",
    [str(NOW), "2026-09-21T14:13:20Z", "2026-09-21T14:13:20", "2026-09-21T16:13:20+02:00", "2026-09-21T14:13:20.000Z"],
)
async def test_a_time_may_be_written_in_several_ways(rig: Rig, client: httpx.AsyncClient, at: str) -> None:
    rig.clock.at = NOW + HOUR
    assert (await profile(client, at))["traits"]["plan"] == "premium"
    in_body = await client.post("/v1/profiles/lookup", params={"at": at}, json={"profile": ANN})
    assert in_body.json() == await profile(client, at)
    # a plus sign that nobody escaped arrives as a space
    assert (await client.get(f"/v1/profiles/{ANN}?at={at}")).status_code == 200


@pytest.mark.parametrize(
    ("at", "status", "code"),
    [
        ("yesterday", 400, "invalid_time"),
        ("", 400, "invalid_time"),
        ("-5", 400, "invalid_time"),
        ("1e3", 400, "invalid_time"),
        ("١٢", 400, "invalid_time"),
        ("999999999999999", 400, "invalid_time"),
        ("0001-01-01T00:00:00Z", 400, "invalid_time"),
        (str(NOW + 1), 400, "time_in_the_future"),
        ("9999-01-01", 400, "time_in_the_future"),
        (str(NOW - 1), 404, "unknown_profile"),
        ("0", 404, "unknown_profile"),
    ],
)
async def test_a_time_that_shows_nothing_says_why(client: httpx.AsyncClient, at: str, status: int, code: str) -> None:
    for answer in (
        await client.get(f"/v1/profiles/{ANN}", params={"at": at}),
        await client.post("/v1/profiles/lookup", params={"at": at}, json={"profile": ANN}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_links_are_those_that_were_recorded_by_then(rig: Rig, client: httpx.AsyncClient) -> None:
    await later(rig, 1, {"type": "identify", "userId": "u-2", "traits": {"colour": "blue"}})
    pair = {"left": ANN, "right": "user_id:u-2", "reason": "asked"}
    other = {"left": "email:bob@example.org", "right": ANN, "reason": "asked"}
    await later(rig, 1, {"type": "track", "userId": "u-2", "event": "Seen"})
    rig.clock.at = NOW + 2 * HOUR
    assert (await client.post("/v1/profiles/link", json=other)).status_code == 200
    rig.clock.at = NOW + 4 * HOUR
    assert (await client.post("/v1/profiles/unlink", json=other)).status_code == 200
    rig.clock.at = NOW + 6 * HOUR
    assert (await client.post("/v1/profiles/unlink", json=pair)).status_code == 200
    sizes = [len((await profile(client, NOW + hours * HOUR))["members"]) for hours in (1, 3, 5)]
    assert sizes == [sizes[0], sizes[0] + 1, sizes[0]]
    assert (await profile(client, NOW + 5 * HOUR))["profile_id"] == rig.id_of(ANN)


async def test_an_event_that_came_late_is_not_there_before_it_came(rig: Rig, client: httpx.AsyncClient) -> None:
    late = {"type": "track", "userId": "u-1", "event": "Order Completed", "properties": {"total": 5.0}}
    await later(rig, 48, {**late, "timestamp": "2026-09-21T14:00:00Z"})
    assert (await profile(client, NOW + HOUR))["signals"]["purchases_total"] == 1.0
    assert (await profile(client, NOW + 48 * HOUR))["signals"]["purchases_total"] == 2.0


async def test_what_was_withdrawn_since_is_shown_of_no_time(rig: Rig, client: httpx.AsyncClient) -> None:
    await grant(client, "personalization")
    then = rig.clock.at = NOW + HOUR
    async with rig.client(AGENT) as agent:
        seen = (await profile(agent, then))["traits"]
        rig.clock.at = NOW + 2 * HOUR
        await client.patch(f"/v1/profiles/{ANN}/consent", json={"purposes": {"personalization": False}})
        left = (await profile(agent, then))["traits"]
    assert left.keys() < seen.keys()


async def test_the_law_of_today_holds_for_every_time(rig: Rig, client: httpx.AsyncClient) -> None:
    eve = "user_id:u-3"
    await later(rig, 1, {"type": "identify", "userId": "u-3", "traits": {"country": "US", "segment": "family"}})
    assert "segment" in (await profile(client, ref=eve))["traits"]
    await later(rig, 2, {"type": "identify", "userId": "u-3", "traits": {"country": "DE"}})
    now, then = await profile(client, ref=eve), await profile(client, NOW + HOUR, eve)
    assert then["traits"] == {"country": "US"}
    assert (then["purposes"], then["consent"]) == (now["purposes"], now["consent"])


async def test_whoever_was_one_person_then_is_shown_as_all_their_laws_allow(
    rig: Rig, client: httpx.AsyncClient
) -> None:
    visitor = {"type": "identify", "anonymousId": "c-1", "traits": {"country": "US", "segment": "family"}}
    await later(rig, 1, visitor)
    pair = {"left": ANN, "right": "anonymous_id:c-1", "reason": "asked"}
    for hours, what in ((2, "link"), (4, "unlink")):
        rig.clock.at = NOW + hours * HOUR
        assert (await client.post(f"/v1/profiles/{what}", json=pair)).status_code == 200
    assert "segment" in (await profile(client, ref="anonymous_id:c-1"))["traits"]
    assert "segment" not in (await profile(client, NOW + 3 * HOUR, "anonymous_id:c-1"))["traits"]


async def test_traits_of_the_past_are_explained(rig: Rig, client: httpx.AsyncClient) -> None:
    await later(rig, 1, {"type": "identify", "userId": "u-1", "traits": {"plan": "basic"}, "messageId": "the-change"})
    answer = await client.get(f"/v1/profiles/{ANN}", params={"at": str(NOW), "explain": "traits"})
    assert answer.json()["provenance"]["plan"]["value"] == "premium"
    now = await client.get(f"/v1/profiles/{ANN}", params={"explain": "traits"})
    assert now.json()["provenance"]["plan"]["event"] == "the-change"
    assert answer.headers["etag"] != now.headers["etag"]
