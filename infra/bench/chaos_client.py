"""Clients that behave as an SDK does: what was not acknowledged is sent again, the same bytes under the same message
ids, to whichever server answers. Knows requests and answers; nothing of who is being killed."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from random import Random

import httpx
import orjson

from engine.ports import Unavailable
from infra.bench.chaos_events import Sending
from infra.kafka_log import KafkaLog

CLIENTS = 6
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
PATIENCE_S = 15.0
TAKEN = frozenset({200, 202})
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Gave(RuntimeError):
    """A server answered something that no retry changes."""


class Clients:
    """Some clients that share a stock of requests. `grant` says how many events may be sent, and in what time."""

    def __init__(self, stock: Iterator[Sending], urls: tuple[str, ...], keys: Mapping[str, str], draw: Random) -> None:
        self._stock = stock
        self._urls = urls
        self._keys = keys
        self._draw = draw
        self._budget = 0.0
        self._pace = 0.0
        self._inbox: tuple[KafkaLog, str] | None = None
        self.accepted: set[str] = set()
        self.stated: set[str] = set()
        self.answers: Counter[str] = Counter()

    def grant(self, events: int, seconds: float) -> None:
        """Allow so many more, spread over about so long."""
        self._budget += events
        self._pace = self._budget / seconds

    @property
    def budget(self) -> float:
        """How many events may be sent now."""
        return self._budget

    async def run(self, inbox: KafkaLog, inbox_topic: str) -> None:
        """Until the stock is sent and acknowledged."""
        self._inbox = (inbox, inbox_topic)
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client, asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._one(client))

    async def _one(self, client: httpx.AsyncClient) -> None:
        for sending in self._stock:
            size = len(sending.accepts) + sending.refuses
            await self._allowed(size)
            if sending.path:
                await self._post(client, sending)
            else:
                await self._produce(sending)
            await asyncio.sleep(size * CLIENTS / self._pace)

    async def _allowed(self, size: int) -> None:
        while self._budget < size:  # noqa: ASYNC110 reason: what is waited for grows bit by bit
            await asyncio.sleep(0.02)
        self._budget -= size

    async def _post(self, client: httpx.AsyncClient, sending: Sending) -> None:
        body, pause = orjson.dumps(sending.body), FIRST_PAUSE_S
        key = self._keys["admin" if sending.reason else "write"]
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        while True:
            url = self._draw.choice(self._urls)
            try:
                answer = await client.post(f"{url}{sending.path}", content=body, headers=headers)
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1
            else:
                self.answers[str(answer.status_code)] += 1
                if answer.status_code in TAKEN:
                    return self._note(sending, answer)
                if answer.status_code not in AGAIN:
                    raise Gave(f"{sending.path} answered {answer.status_code}: {answer.text}")
                if answer.status_code == 503 and "retry-after" not in answer.headers:
                    raise Gave(f"{sending.path} answered 503 without saying when to try again")
            await asyncio.sleep(pause * (0.5 + self._draw.random()))
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _note(self, sending: Sending, answer: httpx.Response) -> None:
        if sending.reason:
            self.stated.add(sending.reason)
            return
        said = answer.json()
        if (said["accepted"], len(said["rejected"])) != (len(sending.accepts), sending.refuses):
            raise Gave(f"{sending.path} accepted {said['accepted']} of {len(sending.accepts)}: {said['rejected']}")
        self.accepted.update(sending.accepts)

    async def _produce(self, sending: Sending) -> None:
        """To the inbox topic, as a program of the company's own would; again until the broker has it."""
        assert self._inbox is not None
        log, name = self._inbox
        while True:
            try:
                await log.send(name, orjson.dumps(sending.body), self._draw.randrange(log.partitions))
            except Unavailable:
                self.answers["broker silent"] += 1
            else:
                self.accepted.update(sending.accepts)
                return
