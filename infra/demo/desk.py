"""The running system behind the simulator's `Desk`: events, decisions and outcomes over HTTP; training and promotion as
`rapport train` and `rapport promote` do them, the gate judging on the pilot's decisions."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.outcome import outcome_id
from infra.archive import read_events
from infra.clock import now_ms
from infra.demo.client import Client, DemoFailed
from infra.demo.closed_loop import PILOT, Trained
from infra.judging import promote_now
from infra.settings import Settings
from infra.training import Choice, train_model
from models.scorer import ModelError

SETTLED_BY = 200
ARCHIVED_WITHIN_S = 120.0
# every API process looks for a new champion within two seconds
SERVED_WITHIN_S = 2.5
AT_ONCE = Choice(window=0)


class HttpDesk:
    """Implements `closed_loop.Desk`. Answers come at once in a simulation, so outcome windows are of length 0."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._sent: dict[str, int] = {}
        self._reported: set[str] = set()
        self._asked: list[int] = []

    def send(self, events: Sequence[tuple[int, dict[str, Any]]]) -> None:
        now = now_ms()
        self._client.send([{**event, "timestamp": _iso(now - age)} for age, event in events])
        for _, event in events:
            self._sent[event["userId"]] = self._sent.get(event["userId"], 0) + 1

    def settle(self) -> None:
        """Partitions are applied in order: when the latest customers are complete, so are all before them."""
        latest = list(self._sent.items())[-SETTLED_BY:]
        self._client.wait_until_folded({f"user_id:{user}": count for user, count in latest})

    def decide(self, asks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        self._asked += [now_ms()] * len(asks)
        return self._client.decide(asks)

    def report(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        self._client.report(outcomes)
        self._reported |= {outcome_id(o["decision_id"], o["action_id"], o["outcome"]) for o in outcomes}

    def _wait_for_archive(self) -> None:
        deadline = time.monotonic() + ARCHIVED_WITHIN_S
        while not self._reported <= set(read_events(self._settings.archive, ("outcome",))["message_id"].to_pylist()):
            if time.monotonic() > deadline:
                raise DemoFailed("outcomes do not reach the archive; does this data directory belong to the system?")
            time.sleep(1.0)

    def retrain(self, decisions: int, since: int) -> Trained:
        self._wait_for_archive()
        choice = msgspec.structs.replace(AT_ONCE, since=self._asked[since] if since else 0)
        try:
            version = train_model(self._settings, choice).version
        except ModelError as error:
            return Trained(decisions, "", False, str(error))
        # nowhere else do so many decisions speak about what the champion would not do
        found = promote_now(self._settings, version, placement=PILOT)
        if found["promoted"]:
            time.sleep(SERVED_WITHIN_S)
        gap = found["comparison"]["difference"]
        return Trained(decisions, version, found["promoted"], found["text"], gap["low"], gap["value"], gap["high"])


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
