"""Decisions that keep the caps and the person's own limit exactly, however many are made at once: decide, have the
approaches promised, and decide again where others were faster. Where nothing is limited nobody is asked anything."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from engine.ports import Reservations, Unavailable
from engine.records import DecisionRecord
from engine.reservation import Reserved, limited, token
from models.reserving import promises, taking
from models.serving import Ask, Setting, deciding

ROUNDS = 64
Between = Callable[[], Awaitable[None]]


class Posed(msgspec.Struct, frozen=True, eq=False):
    """One ask and what it is decided with."""

    ask: Ask
    setting: Setting

    @property
    def capped(self) -> bool:
        catalogue, held = self.setting.catalogue, self.ask.view.held
        return limited(catalogue.placements[self.ask.placement], catalogue, (one.settings for one in held.values()))


async def decided(posed: Sequence[Posed], between: Between) -> list[DecisionRecord]:
    """One record per ask, in order: one call of the model for all that share a setting."""
    groups: dict[tuple[int, int], list[int]] = {}
    for place, one in enumerate(posed):
        groups.setdefault((id(one.setting.catalogue), id(one.setting.model)), []).append(place)
    found: dict[int, DecisionRecord] = {}
    for places in groups.values():
        records = await _in_pieces(deciding([posed[i].ask for i in places], posed[places[0]].setting), between)
        found.update(zip(places, records, strict=True))
    return [found[place] for place in range(len(posed))]


async def _in_pieces(pieces: Iterator[DecisionRecord | None], between: Between) -> list[DecisionRecord]:
    records: list[DecisionRecord] = []
    for made in pieces:
        if made is None:
            await between()
        else:
            records.append(made)
    return records


async def decided_within_caps(
    posed: Sequence[Posed], reservations: Reservations, between: Between
) -> list[DecisionRecord]:
    """The same; whatever a capped placement answers is promised by then. `between` is awaited before every piece of the
    work, for whoever goes first. Raises `Unavailable`."""
    waiting = [place for place, one in enumerate(posed) if one.capped]
    free = sorted(set(range(len(posed))).difference(waiting))
    found = dict(zip(free, await decided([posed[i] for i in free], between), strict=True))
    for _ in range(ROUNDS):
        if not waiting:
            return [found[place] for place in range(len(posed))]
        tried = await _tried([posed[place] for place in waiting], reservations, between)
        found.update((place, record) for place, record in zip(waiting, tried, strict=True) if record is not None)
        waiting = [place for place in waiting if place not in found]
    raise Unavailable("too many decisions about one person at the same time; try again in a moment")


async def _tried(posed: Sequence[Posed], reservations: Reservations, between: Between) -> list[DecisionRecord | None]:
    """Each decision with what is promised right now; None where somebody else was faster with what it wanted."""
    promised = await reservations.promised([one.ask.view for one in posed], max(one.ask.at for one in posed))
    records = await decided([_with(one, reserved) for one, reserved in zip(posed, promised, strict=True)], between)
    wanted = [
        (place, taking(record, one.ask.view, reserved, one.setting.catalogue))
        for place, (record, one, reserved) in enumerate(zip(records, posed, promised, strict=True))
        if record.slate
    ]
    granted = await reservations.take([taken for _, taken in wanted])
    refused = {place for (place, _), taken in zip(wanted, granted, strict=True) if not taken}
    return [None if place in refused else record for place, record in enumerate(records)]


def _with(one: Posed, reserved: Reserved) -> Posed:
    counting = promises(one.ask.view, reserved)
    return Posed(msgspec.structs.replace(one.ask, reserved=counting), one.setting)


@asynccontextmanager
async def kept(
    posed: Sequence[Posed], records: Sequence[DecisionRecord], reservations: Reservations
) -> AsyncIterator[None]:
    """Around what must happen before the answer: where it fails there is no answer, so its promises are taken back.
    If that fails too they end by themselves."""
    try:
        yield
    except Unavailable:
        promised: dict[str, list[str]] = {}
        for one, record in zip(posed, records, strict=True):
            if one.capped:
                names = (token(record.decision_id, record.candidates[place].action_id) for place, _, _ in record.slate)
                promised.setdefault(record.profile_id, []).extend(names)
        with suppress(Unavailable):
            await reservations.release(promised)
        raise
