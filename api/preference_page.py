"""What a person sees of themselves in the preference centre: each purpose with what is kept for it, channels, and the
choices so far. Unmasked, because it is the person's own; knows no request and writes nothing."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from api.answers import iso
from api.preference_words import WORDS, Words, explained, named
from engine.consent import CONTRACT, Answer, Consent, Purposes, signal_purpose, trait_purpose
from engine.ports import PersonView, Proof
from engine.signals import CHANNELS, minor_digits

# what is no channel of ours cannot be chosen
REACHED_BY = tuple(channel for channel in CHANNELS if channel != "other")
MOST_CHOICES = 50


class Choice(msgspec.Struct, frozen=True):
    """One line with at most one button. `kind` and `name` say what the button changes, `wanted` to what."""

    kind: str
    name: str
    label: str
    text: str
    status: str
    allowed: bool
    wanted: str
    button: str
    since: str = ""


class Kept(msgspec.Struct, frozen=True):
    """What is kept for one purpose: traits as (name, value) and counters as (name, total as text)."""

    label: str
    traits: tuple[tuple[str, Any], ...]
    counters: tuple[tuple[str, str], ...]


class Said(msgspec.Struct, frozen=True):
    """One earlier choice."""

    at: str
    lines: tuple[str, ...]


def text_version(policy: Purposes, name: str, language: str) -> str:
    """Which words the person had read when they chose: language and a digest of the text as it was shown."""
    shown = explained(policy.purposes[name], language)
    return f"{language}:{sha256(shown.encode()).hexdigest()[:12]}"


def purpose_choices(consent: Consent, policy: Purposes, language: str) -> list[Choice]:
    """Every purpose; one that rests on the contract has no button."""
    return [_purpose(name, consent.answers[name], policy, language) for name in policy.purposes]


def _purpose(name: str, answer: Answer, policy: Purposes, language: str) -> Choice:
    words = WORDS[language]
    fixed = answer.basis == CONTRACT
    return Choice(
        kind="purpose",
        name=name,
        label=named(words, name),
        text=explained(policy.purposes[name], language),
        status=words.contract if fixed else words.statuses.get(answer.status, answer.status),
        allowed=answer.allowed,
        wanted="no" if answer.allowed else "yes",
        button="" if fixed else words.withdraw if answer.allowed else words.agree,
        since=iso(answer.at)[:10] if answer.at and not fixed else "",
    )


def channel_choices(consent: Consent, language: str) -> list[Choice]:
    """Every channel as a whole, then each topic that was ever answered on it."""
    words = WORDS[language]
    found = []
    for channel in REACHED_BY:
        for topic in ("all", *sorted(t for t in consent.preferences.get(channel, {}) if t != "all")):
            open_to = consent.reaches(channel, topic)
            label = named(words, channel) + ("" if topic == "all" else f" · {topic}")
            button = words.stop if open_to else words.allow
            status = words.reached[0 if open_to else 1]
            name = f"{channel}:{topic}"
            found.append(Choice("channel", name, label, "", status, open_to, "no" if open_to else "yes", button))
    return found


def kept(view: PersonView, policy: Purposes, language: str) -> list[Kept]:
    """The person's traits and counters under the purpose each is kept for; purposes with nothing are left out."""
    state = view.profile.state
    traits: dict[str, list[tuple[str, Any]]] = {}
    counters: dict[str, list[tuple[str, str]]] = {}
    for name, trait in sorted(state.traits.items()):
        if trait.value is not None:
            traits.setdefault(trait_purpose(name, policy), []).append((name, trait.value))
    for name, signal in sorted(state.signals.items()):
        counters.setdefault(signal_purpose(name), []).append(_counter(name, signal.total))
    words = WORDS[language]
    used = [name for name in policy.purposes if name in traits or name in counters]
    return [Kept(named(words, name), tuple(traits.get(name, ())), tuple(counters.get(name, ()))) for name in used]


def known_as(view: PersonView) -> list[tuple[str, str]]:
    """The person's identifiers as (type, value)."""
    return sorted((known.type, known.value) for known in view.profile.state.identifiers.values())


def _counter(name: str, total: int) -> tuple[str, str]:
    """A counter's name and total as people read them: money in its own units, a category behind its name."""
    family, _, part = name.partition(".")
    if family == "revenue":
        return f"{family} {part}", f"{total / 10 ** minor_digits(part):,.{minor_digits(part)}f}"
    return name.replace("@", " · "), str(total)


def choices_made(rows: Sequence[Proof], language: str) -> list[Said]:
    """The newest choices first; the same choice under several identifiers is one."""
    words = WORDS[language]
    found: list[Said] = []
    for row in rows[::-1]:
        lines = tuple(_lines(row, words))
        said = Said(iso(row.at)[:16].replace("T", " ") if row.at else "", lines)
        if lines and (not found or found[-1] != said):
            found.append(said)
    return found[:MOST_CHOICES]


def _lines(row: Proof, words: Words) -> Iterator[str]:
    if row.change is None:
        yield words.erased
        return
    for name, statement in sorted(row.change.statements.items()):
        yield f"{named(words, name)}: {words.statuses.get(statement.status, statement.status)}"
    for channel, topics in sorted(row.change.preferences.items()):
        for topic, yes in sorted(topics.items()):
            about = named(words, channel) + ("" if topic == "all" else f" · {topic}")
            yield f"{about}: {words.reached[0 if yes else 1]}"
