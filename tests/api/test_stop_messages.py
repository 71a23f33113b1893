"""A message that says STOP stops, on channels like SMS; its text does not pass the door."""

from typing import Any

import httpx
import msgspec
import pytest

from tests.api.seed import ANN
from tests.api.test_consent_signals import track
from tests.api.world import WRITE, FixedConfiguration, Rig


async def say(rig: Rig, body: str, name: str = "SMS Received", **properties: str) -> None:
    await track(rig, {"userId": "u-1", "event": name, "properties": {"body": body, **properties}})


async def preferences(client: httpx.AsyncClient, ref: str = ANN) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v1/profiles/{ref}/consent")).json()["preferences"]
    return found


@pytest.mark.parametrize(
    "body", ["STOP", " stop. ", "Opt out", "OPT-OUT!", "unsubscribe", "Revoke", "END", "quit", "cancel"]
)
async def test_a_whole_message_that_says_stop_stops(rig: Rig, client: httpx.AsyncClient, body: str) -> None:
    await say(rig, body, topic="offers")
    for ref in (ANN, "email:ann@example.org"):
        assert await preferences(client, ref) == {"sms": {"offers": False}}


async def test_a_stop_without_a_topic_stops_everything(rig: Rig, client: httpx.AsyncClient) -> None:
    await say(rig, "STOP")
    await say(rig, "STOP")
    assert await preferences(client) == {"sms": {"all": False}}


@pytest.mark.parametrize(
    ("body", "name", "properties"),
    [
        ("Please stop calling me", "SMS Received", {}),
        ("I want to cancel", "SMS Received", {}),
        ("cancel", "Message Received", {"channel": "chat"}),
        ("cancel", "Message Received", {}),
        ("STOP", "SMS Sent", {}),
    ],
)
async def test_nothing_else_stops(
    rig: Rig, client: httpx.AsyncClient, body: str, name: str, properties: dict[str, str]
) -> None:
    await say(rig, body, name, **properties)
    assert await preferences(client) == {}


async def test_the_text_of_a_message_does_not_pass_the_door(rig: Rig) -> None:
    await say(rig, "STOP")
    await say(rig, "my secret is 42", "Message Received", channel="whatsapp")
    assert [e.properties for e in rig.events()][-2:] == [{"stop": True}, {"channel": "whatsapp"}]
    async with rig.client() as sender:
        nobody = {"type": "track", "event": "SMS Received", "properties": {"body": "my secret is 42"}}
        await sender.post("/v1/batch", json={"batch": [nobody]}, auth=(WRITE, ""))
    assert b"secret" not in rig.rejects.kept[-1].event


async def test_a_stop_on_whatsapp_is_about_whatsapp(rig: Rig, client: httpx.AsyncClient) -> None:
    await say(rig, "STOP", "Message Received", channel="whatsapp")
    assert await preferences(client) == {"whatsapp": {"all": False}}


async def test_the_scope_of_a_stop_is_a_setting(rig: Rig, client: httpx.AsyncClient) -> None:
    signals = rig.configuration.current.signals
    every = msgspec.structs.replace(signals, stop=msgspec.structs.replace(signals.stop, scope="all"))
    rig.configuration.current = msgspec.structs.replace(rig.configuration.current, signals=every)
    await say(rig, "STOP", topic="offers")
    assert await preferences(client) == {"sms": {"all": False}}
    assert isinstance(rig.configuration, FixedConfiguration)
