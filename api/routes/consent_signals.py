"""Consent signals over HTTP: TC and GPP strings, and the statement that Global Privacy Control is honoured. What a
string means and when it may widen, `engine.consent_signals` says; a rejected string changes nothing."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from api.answers import consent_answer
from api.audit import noted
from api.deps import World, WorldNow, require
from api.documents import answer, json_body, problems
from api.reading import read_json
from api.representation import PRIVATE, json_answer
from api.schemas_signals import ConsentString, HeardAnswer
from api.stating import meant, sends_gpc, state
from engine import gpp, tcf
from engine.audit import CONSENT
from engine.consent import CONTRACT
from engine.consent_signals import Heard, check_time, hear_gpp, hear_tcf, outdated, with_opt_out
from engine.ports import ApiKey, Circumstances, ConsentChange
from engine.statement import Subject, Wish, changes

router = APIRouter(tags=["consent"])
Writer = Annotated[ApiKey, Depends(require("agent", "preference_center", "admin"))]
_STRING = msgspec.json.Decoder(ConsentString)
_TCF = "CQdZmkAQdZmkAAKACBENCWFoALIAAECAAAYgF5wAgAGALzAvOACAvMAA.IF5wAgAGALzA.cAAAAAAAAAAA"
_TAKEN = {200: answer(HeardAnswer, "What was heard and the consent as it is now"), **problems(409)}


class Signal(msgspec.Struct, frozen=True):
    """A decoded string: what it says, how it came, and what they had read."""

    heard: Heard
    how: str
    text_version: str
    string: str


def _body(example: str) -> dict[str, object]:
    return json_body(ConsentString, {"profile": "user_id:u-1", "string": example})


@router.post(
    "/v1/consent/tcf",
    summary="Take a TC string (TCF 2.2, 2.3)",
    response_class=Response,
    responses=_TAKEN,
    openapi_extra=_body(_TCF),
)
async def take_tc_string(request: Request, key: Writer, world: WorldNow) -> Response:
    """A no always counts; a yes only where it concerns us and the string was updated after every refusal."""
    asked = await read_json(request, _STRING)
    found = tcf.decode(asked.string)
    heard = hear_tcf(found, world.now.signals.tcf)
    signal = Signal(heard, "tcf", f"gvl-{found.vendor_list}", asked.string)
    return await _take(request, world, key, asked.profile, signal)


@router.post(
    "/v1/consent/gpp",
    summary="Take a GPP string",
    response_class=Response,
    responses=_TAKEN,
    openapi_extra=_body("DBABLA~BVQVAAAAAgA.YA"),
)
async def take_gpp_string(request: Request, key: Writer, world: WorldNow) -> Response:
    """An opt-out in any US section that applies counts, section 2 like a TC string; other sections say nothing."""
    asked = await read_json(request, _STRING)
    heard = hear_gpp(gpp.decode(asked.string), world.now.signals)
    return await _take(request, world, key, asked.profile, Signal(heard, "gpp", "", asked.string))


async def _take(request: Request, world: World, key: ApiKey, ref: str, signal: Signal) -> Response:
    now = world.clock()
    check_time(signal.heard, now)
    heard = _ours(world, with_opt_out(signal.heard, world.now.signals) if sends_gpc(request) else signal.heard)
    late: list[str] = []

    def said(subject: Subject) -> Mapping[str, ConsentChange]:
        late[:] = outdated(heard, subject, world.now.purposes, now)
        purposes = {purpose: yes for purpose, yes in heard.answers.items() if purpose not in late}
        agreed = min(heard.at or now, now)
        return changes(subject, Wish(signal.how, now, purposes, text_version=signal.text_version, agreed=agreed))

    told = Circumstances(who=key.name, how=signal.how, evidence={"string": signal.string})
    named = await meant(world, ref)
    consent = await state(world, named.id, said, told)
    noted(world, key, CONSENT, named.id)
    return json_answer(HeardAnswer(heard.answers, late, consent_answer(consent)), headers=PRIVATE)


def _ours(world: World, heard: Heard) -> Heard:
    """Without purposes that are not configured here, or rest on the contract."""
    policy = world.now.purposes.purposes
    known = {p: yes for p, yes in heard.answers.items() if p in policy and policy[p].basis != CONTRACT}
    return Heard(known, heard.at)


@router.get("/.well-known/gpc.json", summary="That Global Privacy Control is honoured here")
async def honours_gpc(world: WorldNow) -> dict[str, bool | str]:
    """Since when, as the configuration says."""
    return {"gpc": True, "lastUpdate": world.now.signals.gpc_since}
