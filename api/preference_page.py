"""What a person sees of themselves in the preference centre: each purpose with what is kept for it, channels, and the
choices so far. Unmasked, because it is the person's own; knows no request and writes nothing."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256

import msgspec

from api.preference_words import LANGUAGES, WORDS, Words, amount, called, counted, dated, explained, named, timed
from api.templates import Spoken, shown
from engine.consent import (
    CONTRACT,
    NOT_ASKED,
    OBJECTED,
    RESTRICTION,
    Answer,
    Consent,
    Purposes,
    country_of,
    resolve,
    trait_purpose,
)
from engine.ledger import ERASURE
from engine.parts import signal_purpose
from engine.ports import PersonView, Proof
from engine.signals import REACHED_BY, minor_digits

MOST_CHOICES = 50
PENDING = "pending"
_TEXT_VERSION = re.compile(f"({'|'.join(LANGUAGES)}):[0-9a-f]{{12}}")


class Choice(msgspec.Struct, frozen=True):
    """One line with at most one button. `kind` and `name` say what the button changes, `wanted` to what, `version`
    which text stands beside it."""

    kind: str
    name: str
    label: str
    text: str
    status: str
    allowed: bool
    wanted: str
    button: str
    since: str = ""
    version: str = ""


class Kept(msgspec.Struct, frozen=True):
    """What is kept for one purpose: traits as (label, value) and counters as (label, total), all as text."""

    label: str
    traits: tuple[tuple[str, str], ...]
    counters: tuple[tuple[str, str], ...]


class Said(msgspec.Struct, frozen=True):
    """One earlier choice."""

    at: str
    lines: tuple[str, ...]


class Standing(msgspec.Struct, frozen=True):
    """A person's consent as it holds (`now`), and as it would without a restriction and with each purpose by itself
    (`alone`). The buttons follow the latter: a yes that sleeps can be taken back before it wakes."""

    now: Consent
    alone: Consent


def standing_of(view: PersonView, policy: Purposes, at: int) -> Standing:
    """Where the person stands at a moment (ms)."""
    country = country_of(view.profile) if view.known else None
    free = {
        member: msgspec.structs.replace(held, settings={**held.settings, RESTRICTION: ""})
        for member, held in view.held.items()
    }
    each = {name: msgspec.structs.replace(one, objection_includes=()) for name, one in policy.purposes.items()}
    alone = resolve(free, msgspec.structs.replace(policy, purposes=each), country, at)
    return Standing(resolve(view.held, policy, country, at), alone)


def text_version(policy: Purposes, name: str, language: str) -> str:
    """Which words stand beside a choice: language and a digest of the text as it is shown."""
    text = explained(policy.purposes[name], language)
    return f"{language}:{sha256(text.encode()).hexdigest()[:12]}"


def is_text_version(text: str) -> bool:
    return _TEXT_VERSION.fullmatch(text) is not None


def purpose_choices(standing: Standing, policy: Purposes, language: str) -> list[Choice]:
    """Every purpose; one that rests on the contract has no button."""
    words = WORDS[language]
    found = []
    for name, purpose in policy.purposes.items():
        answer = standing.alone.answers[name]
        fixed = answer.basis == CONTRACT
        takes_back = answer.allowed or answer.status == PENDING
        found.append(
            Choice(
                kind="purpose",
                name=name,
                label=named(words, name),
                text=explained(purpose, language),
                status=" · ".join(_status(name, standing, policy, words)),
                allowed=standing.now.allows(name),
                wanted="no" if takes_back else "yes",
                button="" if fixed else _button(answer, words) if takes_back else words.agree,
                since=dated(words, answer.at) if answer.at and not fixed else "",
                version=text_version(policy, name, language),
            )
        )
    return found


def _button(answer: Answer, words: Words) -> str:
    """How a purpose that is or may come into use is ended: nobody withdraws what they never said."""
    return words.refuse if answer.status == NOT_ASKED else words.withdraw


def _status(name: str, standing: Standing, policy: Purposes, words: Words) -> Iterator[str]:
    """What the person said, and why it is not in use where it would be by itself."""
    answer, restricted = standing.alone.answers[name], standing.now.restricted
    unasked = answer.allowed and answer.status == NOT_ASKED
    objected = _objections(name, standing.alone, policy) if answer.basis != CONTRACT else []
    if answer.basis == CONTRACT:
        yield words.contract.rstrip(".")
    elif unasked and standing.now.allows(name):
        yield words.unasked_open
    else:
        yield words.statuses.get(answer.status, answer.status)
    if restricted and answer.allowed:
        yield words.resting_unasked if unasked else words.resting
    if objected and answer.status != OBJECTED:
        yield f"{words.objected_to} {', '.join(named(words, one) for one in objected)}"


def _objections(name: str, consent: Consent, policy: Purposes) -> list[str]:
    """The other purposes whose objection reaches this one too."""
    return [
        other
        for other, one in policy.purposes.items()
        if name in one.objection_includes and consent.answers[other].status == OBJECTED
    ]


def channel_choices(consent: Consent, language: str) -> list[Choice]:
    """Every channel as a whole, then each topic that was ever answered on it. By none is anybody reached whose data is
    restricted; the buttons follow what they said."""
    words = WORDS[language]
    return [
        _channel(consent, channel, topic, words)
        for channel in REACHED_BY
        for topic in ("all", *sorted(t for t in consent.preferences.get(channel, {}) if t != "all"))
    ]


def _channel(consent: Consent, channel: str, topic: str, words: Words) -> Choice:
    reached, wished = consent.reaches(channel, topic), consent.preferences.get(channel, {}).get(topic, True)
    status = words.off_with_all if wished and not reached else words.reached[0 if reached else 1]
    rests = consent.restricted and reached
    return Choice(
        kind="channel",
        name=f"{channel}:{topic}",
        label=_about(words, channel, topic),
        text="",
        status=f"{status} · {words.resting}" if rests else status,
        allowed=reached and not rests,
        wanted="no" if wished else "yes",
        button=words.stop if wished else words.allow,
    )


def _about(words: Words, channel: str, topic: str) -> str:
    return named(words, channel) + ("" if topic == "all" else f" · {topic}")


def kept(view: PersonView, policy: Purposes, language: str) -> list[Kept]:
    """The person's traits and counters under the purpose each is kept for; purposes with nothing are left out."""
    words = WORDS[language]
    spoken = Spoken(words.yes_no, words.point, partial(called, words))
    state = view.profile.state
    traits: dict[str, list[tuple[str, str]]] = {}
    counters: dict[str, list[tuple[str, str]]] = {}
    for name, trait in sorted(state.traits.items()):
        if trait.value is not None:
            line = (called(words, name), shown(trait.value, spoken))
            traits.setdefault(trait_purpose(name, policy), []).append(line)
    for name, signal in sorted(state.signals.items()):
        line = (counted(words, name), _total(words, name, signal.total))
        counters.setdefault(signal_purpose(name), []).append(line)
    used = [name for name in policy.purposes if name in traits or name in counters]
    return [Kept(named(words, name), tuple(traits.get(name, ())), tuple(counters.get(name, ()))) for name in used]


def known_as(view: PersonView, language: str) -> list[tuple[str, str]]:
    """The person's identifiers as (label, value)."""
    known = sorted((one.type, one.value) for one in view.profile.state.identifiers.values())
    return [(called(WORDS[language], kind), value) for kind, value in known]


def _total(words: Words, name: str, total: int) -> str:
    """A counter's total as people read it: money in its own units."""
    family, _, part = name.partition(".")
    digits = minor_digits(part) if family == "revenue" else 0
    return amount(words, total / 10**digits, digits)


def choices_made(rows: Sequence[Proof], language: str) -> list[Said]:
    """The newest choices first; the same choice under several identifiers is one."""
    words = WORDS[language]
    # where a row tells of the deletion and its day, the emptied rows before it have nothing to add
    told = {row.subject for row in rows if row.how == ERASURE}
    found: list[Said] = []
    for row in rows[::-1]:
        lines = () if row.change is None and row.subject in told else tuple(_lines(row, words))
        said = Said(timed(words, row.at) if row.at else "", lines)
        if lines and (not found or found[-1] != said):
            found.append(said)
    return found[:MOST_CHOICES]


def _lines(row: Proof, words: Words) -> Iterator[str]:
    if row.change is None or row.how == ERASURE:
        yield words.erased
        return
    for name, statement in sorted(row.change.statements.items()):
        yield f"{named(words, name)}: {words.statuses.get(statement.status, statement.status)}"
    yield from _reached(row.change.preferences, words)
    if RESTRICTION in row.change.settings:
        yield words.restricted if row.change.settings[RESTRICTION] else words.lifted


def _reached(preferences: Mapping[str, Mapping[str, bool]], words: Words) -> Iterator[str]:
    for channel, topics in sorted(preferences.items()):
        for topic, yes in sorted(topics.items()):
            yield f"{_about(words, channel, topic)}: {words.reached[0 if yes else 1]}"
