"""A person's consent over HTTP: read it, change a part, replace the whole. A withdrawal is never kept waiting; what
widens needs to know what it changes. Which statement is written where, `engine.statement` says."""

import contextlib
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any
from zoneinfo import available_timezones

import msgspec
from fastapi import APIRouter, Depends, Header, Request, Response

from api.answers import consent_answer, consent_of
from api.audit import noted_if_kept
from api.deps import World, WorldNow, require
from api.documents import answer, json_body, problems
from api.errors import Problem
from api.reading import read_json
from api.representation import PRIVATE, is_current, is_expected, json_answer, not_modified, strong_tag
from api.routes.profiles import Ref
from api.schemas_people import ConsentAnswer, ConsentDocument, ConsentPatch, StatedAnswer
from api.serving import reference
from api.stating import LOOKS, after, contested, meant, sends_gpc
from engine.audit import CONSENT
from engine.consent import CONTRACT, RESTRICTION, Consent, Held, Purposes, country_of
from engine.limits import together
from engine.ports import ApiKey, Circumstances, ConsentChange, PersonView, Stale
from engine.signals import REACHED_BY, WAYS
from engine.statement import Subject, Wish, answer_of, changes, outlook, read_versions, replacing, widened

router = APIRouter(prefix="/v1/profiles", tags=["consent"])
Reader = Annotated[ApiKey, Depends(require("agent", "marketer", "engineer", "preference_center", "auditor", "admin"))]
Writer = Annotated[ApiKey, Depends(require("agent", "preference_center", "admin"))]
IfMatch = Annotated[str | None, Header(description="Required where the change widens anything")]
_PATCH = msgspec.json.Decoder(ConsentPatch)
_DOCUMENT = msgspec.json.Decoder(ConsentDocument)
_EXAMPLE = {"purposes": {"marketing": False}, "preferences": {"sms": {"all": False}}, "text_version": "2026-01"}
SETTINGS = ("jurisdiction", "time_zone", "language", "frequency", "quiet_hours")
MAX_TOPIC = 64
_STALE = "the consent has changed since it was read; read it again and decide on what it says now"


@router.get(
    "/{ref:path}/consent",
    summary="A person's consent",
    response_class=Response,
    responses={
        200: answer(ConsentAnswer, "The consent; everything not_asked for a new reference", ("ETag",)),
        **problems(304),
    },
)
async def read_consent(
    ref: Ref, key: Reader, world: WorldNow, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """The person's answer per purpose, preferences and settings. A reference never seen answers 200."""
    view = await world.people.person(reference(world, ref).id)
    noted_if_kept(world, key, CONSENT, view)
    body = consent_answer(consent_of(view, world.now.purposes, world.clock()))
    tag = strong_tag(body)
    if is_current(if_none_match, tag):
        return not_modified(tag)
    return json_answer(body, headers={"ETag": tag, **PRIVATE})


_CHANGED = {
    200: answer(ConsentAnswer, "The consent as it is now; the next decision sees it", ("ETag",)),
    **problems(409, 412, 428),
}


@router.patch(
    "/{ref:path}/consent",
    summary="Change some of a person's answers",
    response_class=Response,
    responses=_CHANGED,
    openapi_extra=json_body(ConsentPatch, _EXAMPLE),
)
async def change_consent(
    request: Request, ref: Ref, key: Writer, world: WorldNow, if_match: IfMatch = None
) -> Response:
    """What is not named stays. `If-Match` is needed only where something widens: a withdrawal always goes through."""
    patch = await read_json(request, _PATCH)
    return await Change(world, key, (if_match, sends_gpc(request))).carry_out(ref, patch, whole=False)


@router.put(
    "/{ref:path}/consent",
    summary="Replace a person's answers",
    response_class=Response,
    responses=_CHANGED,
    openapi_extra=json_body(ConsentDocument, {"purposes": {"analytics": False, "marketing": False}}),
)
async def replace_consent(
    request: Request, ref: Ref, key: Writer, world: WorldNow, if_match: IfMatch = None
) -> Response:
    """Takes what GET gives, purposes also as yes or no. An agreement that is not named is withdrawn; a refusal stays
    until it is answered with yes."""
    document = await read_json(request, _DOCUMENT)
    return await Change(world, key, (if_match, sends_gpc(request))).carry_out(ref, document, whole=True)


class Change:
    """One request to change consent: who asks, and `said`: what they believe to be changing, and whether their browser
    opts out for them."""

    def __init__(self, world: World, key: ApiKey, said: tuple[str | None, bool]) -> None:
        self._world = world
        self._key = key
        self._if_match, opts_out = said
        # Global Privacy Control refuses what the request itself does not answer
        self._opted_out = world.now.signals.opt_out if opts_out else ()
        self._policy = world.now.purposes

    async def carry_out(self, ref: str, asked: ConsentPatch | ConsentDocument, *, whole: bool) -> Response:
        """Check, write under every member concerned, and answer what holds now."""
        with self._world.way.first():
            for _ in range(LOOKS):
                # who answered since this was read may have made it a change that needs If-Match
                with contextlib.suppress(Stale):
                    return await self._carried_out(ref, asked, whole=whole)
        raise contested()

    async def _carried_out(self, ref: str, asked: ConsentPatch | ConsentDocument, *, whole: bool) -> Response:
        view = await self._world.people.person((await meant(self._world, ref)).id)
        consent = consent_of(view, self._policy, self._world.clock())
        named = _answers(asked.purposes or {}, consent)
        _check_names(named, asked, self._policy)
        purposes = replacing(consent, named) if whole else {p: yes for p, yes in named.items() if yes is not None}
        purposes = {**{p: False for p in self._opted_out if p in self._policy.purposes}, **purposes}
        _check_contract(purposes, self._policy)
        subject = Subject(view.members, view.held, consent)
        written = changes(subject, self._wish(asked, purposes, consent if whole else None))
        wanted = outlook(subject, written, self._policy, country_of(view.profile), self._world.clock())
        self._check_version(consent, wanted)
        expected = read_versions(subject, written, wanted)
        states = await self._write(written, consent.jurisdiction, expected) if written else {}
        view = await after(self._world, view, states)
        # the answer shows everything else they said, too
        noted_if_kept(self._world, self._key, CONSENT, view)
        return self._told(view)

    async def _write(
        self, written: Mapping[str, ConsentChange], jurisdiction: str, expected: dict[str, int] | None
    ) -> dict[str, Held]:
        """Raises `Stale` where it is to be written onto what was read, and somebody has answered since; a 412 where the
        request said what it had read."""
        told = Circumstances(who=self._key.name, jurisdiction=jurisdiction, expected=expected)
        try:
            return await self._world.consents.write(written, told)
        except Stale as stale:
            if self._if_match is None:
                raise
            raise Problem(412, "stale_version", _STALE) from stale

    def _wish(self, asked: ConsentPatch | ConsentDocument, purposes: dict[str, bool], shown: Consent | None) -> Wish:
        """What is asked for. Of a whole document, what it says as it was `shown` states nothing: neither a law that
        follows from the country nor a no once more."""
        settings = {name: value for name in SETTINGS if (value := getattr(asked, name)) is not None}
        if "time_zone" in settings:
            settings["time_zone"] = together(_zones(settings["time_zone"]))
        if shown is not None and settings.get("jurisdiction") == shown.jurisdiction:
            del settings["jurisdiction"]
        if asked.restricted is not None:
            settings[RESTRICTION] = "1" if asked.restricted else ""
        return Wish(
            source=asked.source or self._key.name,
            at=self._world.clock(),
            purposes=purposes,
            preferences=asked.preferences or {},
            settings=settings,
            text_version=asked.text_version or "",
            anew=shown is None,
        )

    def _check_version(self, before: Consent, after: Consent) -> None:
        if not widened(before, after):
            return
        if self._if_match is None:
            message = "this allows more than before, so it needs If-Match; read the consent and send its ETag along"
            raise Problem(428, "precondition_required", message)
        tag = strong_tag(consent_answer(before))
        if not is_expected(self._if_match, tag):
            raise Problem(412, "stale_version", _STALE, headers={"ETag": tag})

    def _told(self, view: PersonView) -> Response:
        body = consent_answer(consent_of(view, self._policy, self._world.clock()))
        return json_answer(body, headers={"ETag": strong_tag(body), **PRIVATE})


def _answers(purposes: Mapping[str, bool | StatedAnswer], consent: Consent) -> dict[str, bool | None]:
    """The answers asked for; one that is only handed back as it was shown is none."""
    return {
        name: _stated(name, said, consent) if isinstance(said, StatedAnswer) else said
        for name, said in purposes.items()
    }


def _stated(name: str, said: StatedAnswer, consent: Consent) -> bool | None:
    now = consent.answers.get(name)
    return None if now is not None and said.status == now.status else answer_of(said.status)


def _check_names(named: Mapping[str, Any], asked: ConsentPatch | ConsentDocument, policy: Purposes) -> None:
    if not named.keys() <= policy.purposes.keys():
        raise Problem(400, "unknown_purpose", f"the purposes here are {', '.join(policy.purposes)}")
    preferences = asked.preferences or {}
    if not preferences.keys() <= set(WAYS):
        # `other` stays readable and can be handed back, but is none to choose
        raise Problem(400, "unknown_channel", f"the channels here are {', '.join(REACHED_BY)}")
    if any(not topic or len(topic) > MAX_TOPIC for topics in preferences.values() for topic in topics):
        raise Problem(400, "invalid_topic", f"a topic has 1 to {MAX_TOPIC} characters; `all` stands for every topic")
    wrong = [n for n, zone in enumerate(_zones(asked.time_zone or ""), 1) if zone not in _zones_there_are()]
    if asked.time_zone and wrong:
        message = "time_zone is one or more names of the IANA database, for example Europe/Berlin,America/New_York"
        raise Problem(
            400, "unknown_time_zone", f"{message}; there is no zone of the name that stands at place {wrong[0]}"
        )


@cache
def _zones_there_are() -> frozenset[str]:
    return frozenset(available_timezones())


def _zones(said: str) -> list[str]:
    return [zone.strip() for zone in said.split(",")]


def _check_contract(purposes: Mapping[str, bool], policy: Purposes) -> None:
    fixed = [n for n, yes in purposes.items() if not yes and policy.purposes[n].basis == CONTRACT]
    if fixed:
        names = ", ".join(fixed)
        message = f"{names} rests on the contract, not on consent, so it cannot be withdrawn; it ends with the contract"
        raise Problem(409, "basis_contract", message)
