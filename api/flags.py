"""What a flag client gets: a placement's next best action or an experiment's variant for one person. Knows the serving
and the plan; speaks no HTTP."""

import hashlib
import secrets
from typing import Any

import msgspec

from api.answers import consent_of
from api.deps import World
from api.reading import is_plain
from api.schemas import DecisionAsk
from api.schemas_flags import (
    DISABLED,
    FLAG_NOT_FOUND,
    INVALID_CONTEXT,
    SPLIT,
    STATIC,
    TARGETING_KEY_MISSING,
    TARGETING_MATCH,
    UNKNOWN,
    Flag,
    FlagAsk,
    Flags,
)
from api.serving import Serving, reference
from engine.catalog import digest_of
from engine.decision_id import ulid
from engine.errors import InvalidReference
from engine.events import OWN_SOURCE, Event
from engine.experiment import HALTED, OUTSIDE, Experiment, assigned, value_for
from engine.identifiers import RESERVED
from engine.ports import PersonView
from engine.records import DecisionRecord, decision_event

KEY = "targetingKey"
EXPOSURE = "exposure"
BULK_CHANNEL = "web"
STEADY_MS = 3_600_000
_ENCODE = msgspec.msgpack.Encoder(order="sorted").encode


class Unevaluable(Exception):
    """A flag that cannot be evaluated; `code` is OFREP's word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Targeted(msgspec.Struct, frozen=True, eq=False):
    """Whom flags are evaluated for: the reference as asked, the situation, and the person as stored."""

    named: str
    context: dict[str, Any]
    view: PersonView


async def targeted(ask: FlagAsk, world: World) -> Targeted:
    """Raises `Unevaluable` where the context names nobody. A key without one of our types is a `user_id`."""
    context = dict(ask.context or {})
    key = context.pop(KEY, None)
    if not isinstance(key, str) or not key:
        raise Unevaluable(TARGETING_KEY_MISSING, f"context.{KEY} says who is asked about, for example user_id:u-1")
    if not is_plain(context):
        raise Unevaluable(INVALID_CONTEXT, "context is nested too deeply or holds an integer beyond 64 bits")
    kind = key.partition(":")[0]
    named = key if kind == RESERVED or kind in world.now.identity.types else f"user_id:{key}"
    try:
        identity = reference(world, named).id
    except InvalidReference as error:
        raise Unevaluable(INVALID_CONTEXT, f"context.{KEY}: {error}") from error
    return Targeted(named, context, await world.people.person(identity))


async def evaluate(key: str, who: Targeted, serving: Serving) -> Flag:
    """One flag, its decision or exposure in the log. Raises `Unevaluable` for a key that is neither a placement nor an
    experiment."""
    current = serving.world.now
    if key in current.catalogue.placements:
        return _shown(key, await serving.decide_for(_ask(key, who), who.view, await serving.setting()))
    experiment = current.allocation.plan.named(key)
    if experiment is None:
        known = ", ".join((*current.catalogue.placements, *(e.id for e in current.allocation.plan.experiments)))
        raise Unevaluable(FLAG_NOT_FOUND, f"no placement and no experiment has this name; there are {known}")
    flag, exposure = await _variant(experiment, who, serving)
    if exposure is not None:
        await serving.world.log.append_now(exposure)
    return flag


async def evaluate_all(who: Targeted, serving: Serving) -> Flags:
    """Every experiment and every placement on the web; decisions and exposures go to the log together."""
    current, setting = serving.world.now, await serving.setting()
    flags: list[Flag] = []
    events: list[Event] = []
    for placement in current.catalogue.placements.values():
        if placement.channel == BULK_CHANNEL and not placement.contact:
            record = await serving.unlogged(_ask(placement.id, who), who.view, setting)
            flags.append(_shown(placement.id, record))
            events.append(decision_event(record))
    for experiment in current.allocation.plan.experiments:
        flag, exposure = await _variant(experiment, who, serving)
        flags.append(flag)
        events += [exposure] if exposure is not None else []
    if events:
        await serving.world.log.append(events)
    return Flags(flags, {"catalogue": current.catalogue.version})


def _ask(placement: str, who: Targeted) -> DecisionAsk:
    return DecisionAsk(who.named, placement, who.context)


def _shown(key: str, record: DecisionRecord) -> Flag:
    answer = record.answer
    metadata: dict[str, str | float | bool] = {"decision_id": record.decision_id}
    if not answer["actions"]:
        return Flag(key, UNKNOWN, "none", metadata)
    first = answer["actions"][0]
    value = {name: first[name] for name in ("action_id", "title", "content", "channel")}
    whole = {"decision_id": record.decision_id, **value, "actions": answer["actions"]}
    return Flag(key, SPLIT if answer["explored"] else TARGETING_MATCH, first["action_id"], metadata, whole)


async def _variant(experiment: Experiment, who: Targeted, serving: Serving) -> tuple[Flag, Event | None]:
    """The person's variant, and the exposure where the person is in the experiment."""
    plan = serving.world.now.allocation.plan
    dealer, met = await serving.dealt(who.view)
    at = met.at
    arm = HALTED if experiment.id in dealer.halted else assigned(plan, experiment, met.person, at)
    variant = value_for(experiment, arm)
    if arm is None or arm.startswith(OUTSIDE):
        reason = STATIC if experiment.running(at) and arm != HALTED else DISABLED
        return Flag(experiment.id, reason, variant.id, {}, variant.told), None
    return Flag(experiment.id, SPLIT, variant.id, {}, variant.told), _exposure(experiment, arm, who.view, at)


def _exposure(experiment: Experiment, arm: str, view: PersonView, at: int) -> Event:
    return Event(
        message_id=f"{EXPOSURE}:{ulid(at, secrets.token_bytes(10))}",
        source=OWN_SOURCE,
        kind=EXPOSURE,
        name=experiment.id,
        at=at,
        received=at,
        home=view.profile_id,
        identifiers=(),
        properties={"experiment": experiment.id, "variant": arm},
    )


def state_tag(who: Targeted, serving: Serving) -> str:
    """A strong entity tag that changes with whatever the flags rest on: the person, consent and what it allows by now,
    context, the rules, the model and the hour. The echo of our own decisions and exposures does not change it."""
    current, at = serving.world.now, serving.world.clock()
    allowed = [name for name, answer in consent_of(who.view, current.purposes, at).answers.items() if answer.allowed]
    parts = (
        *(current.catalogue.digest, digest_of(current.allocation.plan), digest_of(current.purposes)),
        *(serving.world.live_model.current().version, at // STEADY_MS, allowed, who.context),
        *(who.view.profile_id, who.view.link_version, {i: held.version for i, held in who.view.held.items()}),
        who.view.told,
    )
    return f'"{hashlib.sha256(_ENCODE(parts)).hexdigest()[:20]}"'
