"""Writing what somebody said by another way than the consent document: read the person, ask what follows, write, and
read again where somebody else was quicker. Knows ports; nothing of which signal it was."""

from collections.abc import Callable, Mapping

import msgspec
from fastapi import Request

from api.answers import consent_of
from api.deps import World
from api.errors import Problem
from api.serving import reference
from engine.consent import Consent, Held, country_of
from engine.identifiers import RESERVED, Identifier
from engine.ports import Circumstances, ConsentChange, PersonView, Stale
from engine.statement import Subject, outlook, read_versions

Saying = Callable[[Subject], Mapping[str, ConsentChange]]
LOOKS = 4


def sends_gpc(request: Request) -> bool:
    """Whether the browser sent Global Privacy Control: exactly `Sec-GPC: 1`, anything else is no signal."""
    return request.headers.get("sec-gpc") == "1"


async def meant(world: World, ref: str) -> Identifier:
    """Whom a reference names, for who states something about them. Raises a 400 problem where its type is none that is
    configured and nobody is known under it: under a misspelt type a withdrawal would hold for nobody."""
    named, types = reference(world, ref), world.now.identity.types
    if named.type not in types and named.type != RESERVED:
        view = await world.people.person(named.id)
        if not view.kept:
            message = "nobody is known under this identifier, and its type is none of those configured here"
            raise Problem(400, "unknown_identifier_type", f"{message} ({', '.join(types)}); check its spelling")
    return named


async def state(world: World, identity: str, saying: Saying, told: Circumstances) -> Consent:
    """Write what `saying` makes of the person, if anything; returns the consent as it is then.

    A yes and what widens are written only onto what was read, what narrows always. Raises a 409 problem where others
    keep changing the same consent.
    """
    with world.way.first():
        return await _stated(world, identity, saying, told)


async def _stated(world: World, identity: str, saying: Saying, told: Circumstances) -> Consent:
    for _ in range(LOOKS):
        view = await world.people.person(identity)
        consent = consent_of(view, world.now.purposes, world.clock())
        subject = Subject(view.members, view.held, consent)
        written = saying(subject)
        if not written:
            return consent
        try:
            states = await world.consents.write(written, _circumstances(world, view, written, told))
        except Stale:
            continue
        return consent_of(await after(world, view, states), world.now.purposes, world.clock())
    raise contested()


def contested() -> Problem:
    return Problem(409, "consent_contested", "somebody else keeps changing this consent; read it and try again")


async def after(world: World, view: PersonView, states: Mapping[str, Held]) -> PersonView:
    """The person now that this was written: what the write said holds, so only who has grown is read again."""
    return view.holding(states) or await world.people.person(view.profile_id)


def _circumstances(
    world: World, view: PersonView, written: Mapping[str, ConsentChange], told: Circumstances
) -> Circumstances:
    policy = world.now.purposes
    subject = Subject(view.members, view.held, consent_of(view, policy, world.clock()))
    after = outlook(subject, written, policy, country_of(view.profile), world.clock())
    expected = read_versions(subject, written, after)
    return msgspec.structs.replace(told, jurisdiction=subject.consent.jurisdiction, expected=expected)
