"""Consent writes that tell the publisher: what was derived from a person is derived again when an answer changes. Who
withdraws does not wait for the broker."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import msgspec

from engine.consent import Held
from engine.ports import PLAIN, Circumstances, ConsentChange, Consents, Proof, Unavailable
from engine.records import partition_of
from infra.beside import Beside
from infra.kafka_log import KafkaLog

log = logging.getLogger("rapport.consent")


class AnnouncedConsents:
    """`engine.ports.Consents` around another: after a write, one notice per identifier goes to `topic`. `end` waits for
    those under way."""

    def __init__(self, consents: Consents, sender: KafkaLog, topic: str) -> None:
        self._consents = consents
        self._sender = sender
        self._topic = topic
        self._telling = Beside()

    async def end(self) -> None:
        await self._telling.end()

    async def held(self, identities: Sequence[str]) -> dict[str, Held]:
        return await self._consents.held(identities)

    async def history(self, identities: Sequence[str]) -> list[Proof]:
        return await self._consents.history(identities)

    async def write(self, changes: Mapping[str, ConsentChange], told: Circumstances = PLAIN) -> dict[str, Held]:
        """The change counts once it is written; a notice that is lost only delays what is derived."""
        states = await self._consents.write(changes, told)
        self._telling.start(self.tell(list(states)))
        return states

    async def tell(self, identities: Sequence[str]) -> None:
        """One notice each; what the broker does not take is not told."""
        try:
            await asyncio.gather(*map(self._told, identities))
        except Unavailable:
            log.warning("the broker took no notice of a consent change; derived rows follow with the next event")

    async def _told(self, identity: str) -> None:
        value = msgspec.msgpack.encode([identity])
        await self._sender.send(self._topic, value, partition_of(identity, self._sender.partitions))
