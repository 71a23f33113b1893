"""An export through the real stores: everything an erasure takes, it shows, and nothing of anybody else."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest

from engine.opt_in import OptIn, token_hash
from engine.ports import Entry
from engine.profile import Contact
from engine.reservation import Claim, Taking
from features.views import PROFILE
from infra.archive_features import FeatureTable
from infra.erasure_process import open_exports, open_stores
from infra.erasure_stores import SHOWN_ELSEWHERE
from infra.feast_layout import encode_version
from infra.feast_paths import offline_path
from infra.ledger_store import open_database
from infra.ledger_store_rejects import Body
from infra.ledger_store_tokens import SqlOptIns
from infra.processes import RunningServer
from infra.redis_store_features import ProfileRow, RedisFeatures
from infra.redis_store_queues import RedisQueues
from infra.redis_store_reservations import RedisReservations
from infra.rejects import open_bodies
from tests.infra.stream.bed import SECRET, START, Bed, event
from tests.infra.stream.house import ANN, BOB, COOKIE, House, grown, rows

DOCS = Path(__file__).parents[3] / "docs" / "erasure.md"
ROW = np.ones(len(PROFILE.names), np.float32)
QUEUE = "callbacks"
# of the API's own ports
BESIDE = {"profile", "consent", "consent_record", "end"}
Line = tuple[str, dict[str, Any]]


@pytest.fixture
def house(bed: Bed, any_redis: RunningServer, tmp_path: Path) -> House:
    made = House(bed, any_redis, tmp_path)
    made.settings = made.settings.model_copy(update={"secret": SECRET.decode()})
    return made


async def exported(house: House) -> list[Line]:
    exports = open_exports(house.settings, house.bed.redis, lambda: START)
    return [line async for line in exports.everything(await house.bed.people.person(ANN))]


def of(lines: list[Line], kind: str) -> list[dict[str, Any]]:
    return [value for one, value in lines if one == kind]


async def fill(house: House, queue: str) -> None:
    """Something of Ann, and of Bob, in every store an erasure empties."""
    await grown(house)
    made = msgspec.structs.replace(event(minute=2), kind="decision", message_id=f"{ANN}.{'0' * 26}", identifiers=())
    await house.feed(made, msgspec.structs.replace(made, kind="outcome", message_id="o"))
    features, queues = RedisFeatures(house.bed.redis), RedisQueues(house.bed.redis)
    offline = offline_path(house.settings.data_dir, PROFILE)
    reservations, opt_ins = RedisReservations(house.bed.redis, 1), SqlOptIns(open_database(house.settings.database))
    contact = Contact(START, "promise", "call", "call_back", "saves")
    with FeatureTable(offline, PROFILE) as table:
        for whom in (ANN, ANN, BOB):
            table.add((whom,), START, ROW)
    for whom in (ANN, BOB):
        await features.write_profiles([ProfileRow(whom, (0, 0, 1), START, ROW)])
        entry = Entry(whom, queue, 1.0, "call", "call_back", (), START, START)
        await queues.write(queue, {whom: (encode_version((0, 0, 1)), entry)})
        assert await reservations.take([Taking(whom, START, 60_000, (Claim(contact, ()),), ())]) == [True]
        asked = OptIn(whom, ("marketing",), {"email": ("news",)}, "web", "2026-01", START, START + 1)
        await opt_ins.add(token_hash(whom), asked)
    await open_bodies(house.settings).keep(_rejects(), START)
    await house.archiver.round()


def _rejects() -> list[Body]:
    """A batch of Ann's and Bob's, one of Bob's alone, one of ours of Ann's cookie, one of Ann's that was cut off."""
    hers, his = ({"type": "track", "userId": user, "event": f"of {user}"} for user in ("ann", "bob"))
    ours = event("track", userId=None, anonymousId="cookie", messageId="ours")
    return [
        Body("1", frozenset({ANN, BOB}), orjson.dumps({"source": "web", "batch": [hers, his]})),
        Body("2", frozenset({BOB}), orjson.dumps(his)),
        Body("3", frozenset({COOKIE}), msgspec.msgpack.encode(ours)),
        Body("4", frozenset({ANN, BOB}), orjson.dumps({"batch": [hers, his]})[:-9]),
    ]


def a_queue(house: House) -> str:
    """One of the configured queues."""
    stores = {store.name: store for store in open_stores(house.settings, house.bed.redis, lambda: START)}
    return str(stores["outreach queues"]._names()[0])  # type: ignore[attr-defined]


async def test_an_export_shows_what_every_store_holds_of_the_person(house: House) -> None:
    await fill(house, a_queue(house))
    lines = await exported(house)
    assert {kind for kind, _ in lines} == {
        *("event", "decision", "outcome", "link"),
        *("feature_row", "outreach_entry", "promised_contact", "opt_in", "reject"),
    }
    online, offline = of(lines, "feature_row")
    assert (online["table"], online["profile_id"], online["values"][PROFILE.names[0]]) == ("online", ANN, 1.0)
    assert offline == {"table": "offline", "rows": 2, "first": START, "last": START}
    [entry], [promised], [opt_in] = (of(lines, kind) for kind in ("outreach_entry", "promised_contact", "opt_in"))
    assert (entry["profile_id"], entry["action_id"]) == (ANN, "call_back")
    assert (promised["channel"], promised["at"]) == ("call", START)
    assert (opt_in["identity"], opt_in["purposes"], opt_in["state"]) == (ANN, ("marketing",), "pending")
    assert token_hash(ANN) not in str(lines)


async def test_of_a_rejected_batch_nobody_gets_what_is_said_of_others(house: House) -> None:
    await fill(house, a_queue(house))
    found = of(await exported(house), "reject")
    assert [one["kept_at"] for one in found] == [START] * 3
    names = [one["event"] and (one["event"].get("event") or one["event"].get("message_id")) for one in found]
    assert names == ["of ann", "ours", None]
    assert BOB not in str(found)


async def test_what_an_erasure_empties_and_what_an_export_shows_are_the_same(house: House) -> None:
    await fill(house, a_queue(house))
    lines = await exported(house)
    await house.ask()
    job = await house.finish()
    stores = open_stores(house.settings, house.bed.redis, lambda: START)
    shown = {**SHOWN_ELSEWHERE, **{store.name: store.kind for store in stores}}
    emptied = {store: gone for store, gone in rows(job).items() if not store.startswith("files of ")}
    assert emptied.keys() == shown.keys()
    assert {kind for kind, _ in lines} | BESIDE == {*shown.values(), "end"}
    left = {"recent decisions", "consent keys", "consent ledger payloads"}
    assert {store for store, gone in emptied.items() if not gone} <= left
    assert await exported(house) == []


def test_the_documentation_names_every_kind_of_line() -> None:
    text = DOCS.read_text(encoding="utf-8").partition("## Export")[2]
    kinds = {"profile", "consent", "event", "decision", "outcome", "link", "consent_record", "end"}
    kinds |= {"feature_row", "outreach_entry", "promised_contact", "opt_in", "reject"}
    assert [kind for kind in sorted(kinds) if f"`{kind}`" not in text] == []
