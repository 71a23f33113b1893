"""Consent: statements, the person's answer per purpose, and `reveal`, the only door from a profile to any reader.
Knows nothing of storage, of the ledger or of HTTP."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from engine.jurisdiction import Controller, Jurisdiction
from engine.limits import NARROWING, together
from engine.parts import EVENT_PURPOSES, KIND_PURPOSES, LATEST_PURPOSE, signal_purpose
from engine.profile import Contact, Issue, Profile, Trait
from engine.signals import Signal
from engine.timeline import Moment

GRANTED, DENIED, NOT_ASKED = "granted", "denied", "not_asked"
_STRICTNESS = {"granted": 0, "not_asked": 1, "expired": 2, "pending": 3, "objected": 4, "withdrawn": 5, "denied": 6}
_STRICTEST = max(_STRICTNESS.values())
STATUSES = frozenset(_STRICTNESS)
REFUSALS = frozenset({"denied", "withdrawn", "objected"})
CONTRACT, LEGITIMATE_INTERESTS = "contract", "legitimate_interests"
OBJECTED, EXPIRED = "objected", "expired"
RESTRICTION = "restriction"
IS_RESTRICTED = "the person's data is restricted"
# what is held where the ledger's rows cannot be read: nobody said it, so it spreads to nobody and ends when they can
CLOSED = "closed"
DAY = 86_400_000
STRICT = "strict"
EVERY_TOPIC = "all"


class Purpose(msgspec.Struct, frozen=True):
    """A reason to use data. `default` maps a jurisdiction to whether an unasked person counts as agreeing; a yes is
    good for `valid_days` (0: what the jurisdiction says). An objection reaches `objection_includes` too."""

    name: str
    basis: str = "consent"
    term: str = ""
    default: dict[str, bool] = {}
    text: dict[str, str] = {}
    uses: tuple[str, ...] = ("service", "analytics", "personalization")
    valid_days: int = 0
    objection_includes: tuple[str, ...] = ()


class Purposes(msgspec.Struct, frozen=True):
    """The configured purposes; which purpose each trait belongs to (`traits`, else `other_traits`); which law holds;
    and what tracked events are for that the timeline shows, beside those it knows (`engine.parts`)."""

    purposes: dict[str, Purpose]
    traits: dict[str, str] = {}
    other_traits: str = "personalization"
    default_jurisdiction: str = STRICT
    countries: dict[str, str] = {}
    jurisdictions: dict[str, Jurisdiction] = {}
    controller: Controller = Controller()
    events: dict[str, str] = {}

    def law(self, jurisdiction: str) -> Jurisdiction:
        """The rules of a jurisdiction; a part (US-CA) falls back on the whole (US), an unknown one on the strictest."""
        whole = self.jurisdictions.get(jurisdiction.partition("-")[0], Jurisdiction())
        return self.jurisdictions.get(jurisdiction, whole)


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """One answer under one identifier. `covers` lists the ids an explicit grant settles; `at` in ms."""

    status: str
    at: int
    source: str
    explicit: bool = True
    covers: tuple[str, ...] = ()
    text_version: str = ""


class Held(msgspec.Struct, frozen=True):
    """What is stored under one identifier: purpose -> its statements (an explicit one, one carried by events),
    preferences channel -> topic -> answer, and single settings such as `jurisdiction` or `time_zone`."""

    statements: dict[str, tuple[Statement, ...]] = {}
    preferences: dict[str, dict[str, bool]] = {}
    settings: dict[str, str] = {}
    version: int = 0


def is_restricted(held: Held) -> bool:
    """Whether data under this identifier is kept and not used."""
    return bool(held.settings.get(RESTRICTION) or held.settings.get(CLOSED))


class Answer(msgspec.Struct, frozen=True):
    """The person's answer for one purpose and whether it allows use; `until` (ms) is when a yes expires."""

    status: str
    basis: str
    allowed: bool
    at: int | None = None
    source: str | None = None
    until: int | None = None


class Consent(msgspec.Struct, frozen=True):
    """A person's consent as of one moment: every configured purpose has an answer. `rule` says why this jurisdiction
    applies (stated, conflict, country, default); `restricted` data is stored and not used."""

    answers: dict[str, Answer]
    preferences: dict[str, dict[str, bool]]
    settings: dict[str, str]
    jurisdiction: str
    version: int
    rule: str = ""
    restricted: bool = False

    def allows(self, purpose: str) -> bool:
        answer = self.answers.get(purpose)
        return answer is not None and answer.allowed

    def reaches(self, channel: str, topic: str = EVERY_TOPIC) -> bool:
        """False only where the person refused this channel for this topic or for everything."""
        topics = self.preferences.get(channel, {})
        return topics.get(EVERY_TOPIC, True) and topics.get(topic, True)


class Visible(msgspec.Struct, frozen=True):
    """What a reader may see for a set of purposes. Everything else is absent; `masked` names what was held back,
    `hidden` the traits among it by their own names (empty in what earlier versions stored)."""

    profile_id: str
    members: tuple[str, ...]
    version: str
    purposes: tuple[str, ...]
    traits: dict[str, Trait]
    signals: dict[str, Signal]
    latest: dict[str, Trait]
    issues: dict[str, Issue]
    contacts: tuple[Contact, ...]
    timeline: tuple[Moment, ...]
    accounts: dict[str, dict[str, Trait]]
    identifiers: dict[str, tuple[str, str]]
    first: int
    last: int
    masked: tuple[str, ...]
    declines: dict[str, int] = {}
    hidden: tuple[str, ...] = ()


def _counts(statement: Statement) -> bool:
    return statement.status != NOT_ASKED and (statement.explicit or statement.status != GRANTED)


def standing(held: Mapping[str, Held], purpose: str) -> list[Statement]:
    """The statements that no later explicit grant covering their identifier has replaced.

    A yes that an ordinary event carried is none: an old cookie must not widen. "Not asked" says nothing either.
    """
    said = [(identity, s) for identity, h in held.items() for s in h.statements.get(purpose, ()) if _counts(s)]
    grants = [s for _, s in said if s.explicit and s.status == GRANTED]
    return [s for identity, s in said if not any(g is not s and identity in g.covers and g.at > s.at for g in grants)]


def _default(purpose: Purpose, jurisdiction: str, policy: Purposes) -> bool:
    whole = purpose.default.get(jurisdiction.partition("-")[0], policy.law(jurisdiction).opt_out)
    return purpose.default.get(jurisdiction, whole)


class _Moment(msgspec.Struct, frozen=True):
    """Under which law and when an answer is wanted; None stands for a moment at which nothing has expired."""

    jurisdiction: str
    at: int | None


def expiry(purpose: Purpose, at: int, jurisdiction: str, policy: Purposes) -> int | None:
    """When (ms) a yes of `at` expires under this law; None where it never does."""
    days = purpose.valid_days or policy.law(jurisdiction).valid_days
    return at + days * DAY if days else None


def _answer(purpose: Purpose, statements: list[Statement], policy: Purposes, moment: _Moment) -> Answer:
    said = max(statements, key=lambda s: (_STRICTNESS.get(s.status, _STRICTEST), s.at), default=None)
    if purpose.basis == CONTRACT:
        return Answer(GRANTED, purpose.basis, True, said.at if said else None, said.source if said else None)
    if said is None:
        return Answer(NOT_ASKED, purpose.basis, _default(purpose, moment.jurisdiction, policy))
    if said.status != GRANTED:
        # a no to what rests on legitimate interests is an objection, however it was said
        objects = said.status in REFUSALS and purpose.basis == LEGITIMATE_INTERESTS
        return Answer(OBJECTED if objects else said.status, purpose.basis, False, said.at, said.source)
    until = expiry(purpose, min(s.at for s in statements), moment.jurisdiction, policy)
    if until is not None and moment.at is not None and moment.at >= until:
        return Answer(EXPIRED, purpose.basis, False, said.at, said.source, until)
    return Answer(GRANTED, purpose.basis, True, said.at, said.source, until)


def _objected(answers: dict[str, Answer], policy: Purposes) -> dict[str, Answer]:
    """An objection reaches what it includes, whatever was said about that: one to marketing ends profiling too."""
    reached = {
        included: answer
        for name, answer in answers.items()
        if answer.status == OBJECTED
        for included in policy.purposes[name].objection_includes
    }
    later = {
        name: Answer(OBJECTED, answers[name].basis, False, answer.at, answer.source)
        for name, answer in reached.items()
        if name in answers and answers[name].basis != CONTRACT
    }
    return {**answers, **later}


def jurisdiction_of(held: Mapping[str, Held], country: str | None, policy: Purposes) -> tuple[str, str]:
    """Which jurisdiction applies and by which rule: the stated one; where several are stated, the strict one; else the
    country's; else the default."""
    stated = sorted({h.settings["jurisdiction"] for h in held.values() if h.settings.get("jurisdiction")})
    if stated:
        return (stated[0], "stated") if len(stated) == 1 else (STRICT, "conflict")
    if country in policy.countries:
        return policy.countries[country], "country"
    return policy.default_jurisdiction, "default"


def _refusing(held: Iterable[Held]) -> dict[str, dict[str, bool]]:
    result: dict[str, dict[str, bool]] = {}
    for one in held:
        for channel, topics in one.preferences.items():
            into = result.setdefault(channel, {})
            for topic, answer in topics.items():
                into[topic] = into.get(topic, True) and answer
    return result


def _settings(held: Mapping[str, Held]) -> dict[str, str]:
    """What limits contacts holds whichever id it was said under; of anything else the last id's word counts."""
    found: dict[str, str] = {}
    for identity in sorted(held):
        found = {**found, **held[identity].settings}
    limits = {name: together(h.settings.get(name, "") for h in held.values()) for name in NARROWING if name in found}
    return {**found, **limits}


def resolve(held: Mapping[str, Held], policy: Purposes, country: str | None = None, at: int | None = None) -> Consent:
    """The person's consent: the strictest standing statement of all members; who never said anything does not count.
    A yes that is too old at `at` (ms) has expired; without a moment nothing has."""
    jurisdiction, rule = jurisdiction_of(held, country, policy)
    moment = _Moment(jurisdiction, at)
    answers = {name: _answer(one, standing(held, name), policy, moment) for name, one in policy.purposes.items()}
    version = sum(h.version for h in held.values())
    restricted = any(map(is_restricted, held.values()))
    settings, refusing = _settings(held), _refusing(held.values())
    answers = _objected(answers, policy)
    if restricted:
        answers = {name: msgspec.structs.replace(answer, allowed=False) for name, answer in answers.items()}
    return Consent(answers, refusing, settings, jurisdiction, version, rule, restricted)


def next_expiry(consent: Consent) -> int | None:
    """When (ms) the next yes expires that something rests on; None where none ever does."""
    ends = (answer.until for answer in consent.answers.values() if answer.allowed)
    return min((until for until in ends if until is not None), default=None)


def country_of(profile: Profile) -> str | None:
    trait = profile.state.traits.get("country")
    return trait.value if trait is not None and isinstance(trait.value, str) else None


def trait_purpose(name: str, policy: Purposes) -> str:
    return policy.traits.get(name, policy.other_traits)


def reveal(profile: Profile, consent: Consent, purposes: Iterable[str], policy: Purposes) -> Visible:
    """The profile as far as `purposes` reach and the person's consent allows each of them."""
    asked = tuple(sorted(set(purposes)))
    open_to = {purpose for purpose in asked if consent.allows(purpose)}
    state = profile.state
    named = {name: trait_purpose(name, policy) for name in state.traits}
    signals = {name: signal_purpose(name) for name in state.signals}
    seen_traits = {n: t for n, t in state.traits.items() if named[n] in open_to and t.value is not None}
    watched, served = LATEST_PURPOSE in open_to, "service" in open_to
    hidden = tuple(sorted(n for n in state.traits if named[n] not in open_to))
    masked = [*(f"trait:{n}" for n in hidden), *(f"signal:{n}" for n in state.signals if signals[n] not in open_to)]
    return Visible(
        profile_id=profile.profile_id,
        members=profile.members,
        version=profile.version,
        purposes=tuple(sorted(open_to)),
        traits=seen_traits,
        signals={n: s for n, s in state.signals.items() if signals[n] in open_to},
        latest=state.latest if watched else {},
        issues=state.issues if served else {},
        contacts=state.contacts,
        timeline=_timeline(state.timeline, open_to, policy),
        accounts=state.accounts if served else {},
        identifiers={i: (k.type, k.value) for i, k in state.identifiers.items()} if served else {},
        first=state.first,
        last=state.last,
        masked=tuple(sorted(masked)),
        declines=state.declines,
        hidden=hidden,
    )


def _timeline(timeline: tuple[Moment, ...], open_to: set[str], policy: Purposes) -> tuple[Moment, ...]:
    """The lines whose purpose is open; a tracked event goes by its name, everything else by its kind."""
    named = {**EVENT_PURPOSES, **policy.events} if policy.events else EVENT_PURPOSES
    return tuple(
        m
        for m in timeline
        if (named.get(m.name, LATEST_PURPOSE) if m.kind == "track" else KIND_PURPOSES.get(m.kind, LATEST_PURPOSE))
        in open_to
    )


def statements_of(answers: Mapping[str, bool], at: int, source: str, covers: tuple[str, ...]) -> dict[str, Statement]:
    """Explicit statements from yes/no answers; a no is a withdrawal or a refusal alike."""
    return {
        purpose: Statement(GRANTED if yes else DENIED, at, source, True, covers if yes else ())
        for purpose, yes in answers.items()
    }


def widens(consent: Consent, answers: Mapping[str, bool]) -> bool:
    """Whether any answer would allow a purpose that is not allowed now."""
    return any(yes and not consent.allows(purpose) for purpose, yes in answers.items())


def as_dict(consent: Consent) -> dict[str, Any]:
    """Stable plain form: what is hashed into a decision and what `GET …/consent` is built from."""
    return {
        "purposes": {
            name: {"status": a.status, "basis": a.basis, "at": a.at, "source": a.source}
            for name, a in sorted(consent.answers.items())
        },
        "preferences": {c: dict(sorted(t.items())) for c, t in sorted(consent.preferences.items())},
        "jurisdiction": consent.jurisdiction,
        "jurisdiction_rule": consent.rule,
        "restricted": consent.restricted,
        "version": consent.version,
    }
