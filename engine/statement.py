"""What a person's new answers write, and under which identifier: a no under every member, a yes under the profile id
with the members it covers. Knows nothing of HTTP, of storage or of who asked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from engine.consent import (
    CONTRACT,
    DENIED,
    EXPIRED,
    GRANTED,
    LEGITIMATE_INTERESTS,
    OBJECTED,
    REFUSALS,
    RESTRICTION,
    Consent,
    Held,
    Purposes,
    Statement,
    country_of,
    jurisdiction_of,
    resolve,
    standing,
)
from engine.events import Event
from engine.limits import loosened
from engine.ports import ConsentChange, PersonView

WITHDRAWN = "withdrawn"
BROWSER = "gpc:"


class Carried(msgspec.Struct, frozen=True):
    """One answer in an event. `memory` is the name under which its repetition is known: the same answer again is no
    statement, and a page's cookie and the browser's own signal are not each other's repetition."""

    purpose: str
    statement: Statement
    memory: str

    @property
    def yes(self) -> bool:
        return self.statement.status == GRANTED


def carried_by(event: Event) -> Iterator[Carried]:
    """What an event says about consent. An explicit yes covers the identifiers it names; what the browser refuses, it
    refuses as the request is received, whenever the event happened."""
    for purpose, yes in (event.consent or {}).items():
        covers = event.ids if yes and event.explicit else ()
        said = Statement(GRANTED if yes else DENIED, event.at, event.source, event.explicit, covers)
        yield Carried(purpose, said, purpose)
    for purpose in event.browser:
        refused = Statement(DENIED, event.received, event.source, False)
        yield Carried(purpose, refused, f"{BROWSER}{purpose}")


def placed(said: Statement, home: str, others: Iterable[str]) -> Iterator[tuple[str, Statement]]:
    """Under whom an event's answer stands: its home, and a no under everybody else it concerns as well, as one of
    theirs."""
    yield home, said
    if said.status != GRANTED:
        beside = msgspec.structs.replace(said, explicit=True)
        yield from ((other, beside) for other in dict.fromkeys(others) if other != home)


class Wish(msgspec.Struct, frozen=True):
    """What somebody asks to change. `source` says who, `text_version` what they had read; `at` in ms, and `agreed`
    where what they agree to was agreed earlier than it is handed in. With `anew` a no that was said before counts as
    said again, so that nothing of in between stands against it."""

    source: str
    at: int
    purposes: dict[str, bool] = {}
    preferences: dict[str, dict[str, bool]] = {}
    settings: dict[str, str] = {}
    text_version: str = ""
    agreed: int = 0
    anew: bool = False


class Subject(msgspec.Struct, frozen=True):
    """Whose answers change: member ids (strongest first), what each holds, the consent that follows from it."""

    members: tuple[str, ...]
    held: dict[str, Held]
    consent: Consent


def later(held: Mapping[str, Held], purpose: str, at: int) -> int:
    """A time for a new statement that lies after every earlier one, also where another machine's clock was ahead."""
    said = [s.at for h in held.values() for s in h.statements.get(purpose, ())]
    return max([at, *(moment + 1 for moment in said)])


def _is_settled(subject: Subject, purpose: str, wish: Wish) -> bool:
    """Whether a standing explicit grant already covers everybody: saying yes again would be no statement. It is one
    where it was agreed later and names another text, or the same when the first has lived half of its time."""
    answer, said = subject.consent.answers[purpose], standing(subject.held, purpose)
    grants = [s for s in said if s.explicit and set(subject.members) <= set(s.covers)]
    if answer.status == EXPIRED or not grants or any(s.status != GRANTED for s in said):
        return False
    last = max(grants, key=lambda s: s.at)
    agreed = wish.agreed or wish.at
    if not wish.text_version or (wish.agreed and wish.agreed <= last.at):
        return True
    fresh = answer.until is None or 2 * (agreed - last.at) < answer.until - last.at
    return wish.text_version == last.text_version and fresh


def _yes(subject: Subject, purpose: str, wish: Wish) -> dict[str, Statement]:
    if _is_settled(subject, purpose, wish):
        return {}
    at = later(subject.held, purpose, wish.agreed or wish.at)
    return {subject.members[0]: Statement(GRANTED, at, wish.source, True, subject.members, wish.text_version)}


def _refuses(held: Held | None, purpose: str) -> bool:
    said = held.statements.get(purpose, ()) if held else ()
    return bool(said) and max(said, key=lambda s: s.at).status in REFUSALS


def _no(subject: Subject, purpose: str, wish: Wish) -> dict[str, Statement]:
    answer = subject.consent.answers[purpose]
    objects = answer.basis == LEGITIMATE_INTERESTS
    said = [s for s in standing(subject.held, purpose) if s.status in REFUSALS]
    before = max(said, key=lambda s: s.at).status if said else DENIED
    status = OBJECTED if objects else WITHDRAWN if answer.status == GRANTED else before
    at = later(subject.held, purpose, wish.at)
    statement = Statement(status, at, wish.source, True, (), wish.text_version)
    settled = answer.status in REFUSALS and not wish.anew
    missing = [m for m in subject.members if not (settled and _refuses(subject.held.get(m), purpose))]
    return dict.fromkeys(missing, statement)


def _statements(subject: Subject, wish: Wish) -> dict[str, dict[str, Statement]]:
    written: dict[str, dict[str, Statement]] = {}
    for purpose, yes in wish.purposes.items():
        if subject.consent.answers[purpose].basis == CONTRACT:
            continue
        for member, statement in (_yes if yes else _no)(subject, purpose, wish).items():
            written.setdefault(member, {})[purpose] = statement
    return written


def changes(subject: Subject, wish: Wish) -> dict[str, ConsentChange]:
    """What to write under each member; empty where everything was answered so before.

    Every purpose must be configured, and none that rests on a contract may be refused: the caller has checked.
    """
    statements = _statements(subject, wish)
    settings = {k: v for k, v in wish.settings.items() if subject.consent.settings.get(k, "") != v}
    known = subject.consent.preferences
    wanted = {
        channel: {t: y for t, y in topics.items() if known.get(channel, {}).get(t) != y or (wish.anew and not y)}
        for channel, topics in wish.preferences.items()
    }
    preferences = {channel: topics for channel, topics in wanted.items() if topics}
    found = {m: ConsentChange(statements.get(m, {}), preferences, settings) for m in subject.members}
    return {m: c for m, c in found.items() if c.statements or c.preferences or c.settings}


def applied(held: Held, change: ConsentChange) -> Held:
    """What an identifier holds after a change: an explicit statement replaces the explicit one before it."""
    statements = dict(held.statements)
    for purpose, new in change.statements.items():
        statements[purpose] = (new, *(s for s in statements.get(purpose, ()) if s.explicit != new.explicit))
    preferences = {**held.preferences}
    for channel, topics in change.preferences.items():
        preferences[channel] = {**preferences.get(channel, {}), **topics}
    settings = {name: value for name, value in {**held.settings, **change.settings}.items() if value}
    return Held(statements, preferences, settings, held.version + 1)


def _stands(held: Held, purpose: str, new: Statement) -> bool:
    """Whether what is held outweighs the new statement: it is later, or as late and no new refusal is to replace it."""
    rivals = [s for s in held.statements.get(purpose, ()) if s.explicit == new.explicit]
    return any(s.at > new.at or (s.at == new.at and (new.status == GRANTED or s == new)) for s in rivals)


def taken(held: Held, change: ConsentChange) -> Held:
    """What an identifier holds after a change, whenever it comes: an older statement replaces no newer one, at the same
    moment a no stands. The very same value where nothing changes; a no to a channel carries no time, so it always does:
    that it was said again must be on record."""
    statements = {p: s for p, s in change.statements.items() if not _stands(held, p, s)}
    preferences = {
        channel: {t: yes for t, yes in topics.items() if not yes or held.preferences.get(channel, {}).get(t) is not yes}
        for channel, topics in change.preferences.items()
    }
    news = ConsentChange(
        statements,
        {channel: topics for channel, topics in preferences.items() if topics},
        {name: value for name, value in change.settings.items() if held.settings.get(name, "") != value},
    )
    return applied(held, news) if news.statements or news.preferences or news.settings else held


def _spread_to(members: Sequence[str], held: Mapping[str, Held], purpose: str) -> dict[str, Statement]:
    """A refusal that stands for the person, under the members that do not refuse themselves; later than whatever they
    said, so that it holds for each of them alone."""
    refusals = [s for s in standing(held, purpose) if s.status in REFUSALS]
    if not refusals:
        return {}
    said = max(refusals, key=lambda s: s.at)
    carried = msgspec.structs.replace(said, explicit=True, covers=())
    return {
        m: msgspec.structs.replace(carried, at=later({m: held.get(m, Held())}, purpose, said.at))
        for m in members
        if not _refuses(held.get(m), purpose)
    }


def spread(members: Sequence[str], held: Mapping[str, Held]) -> dict[str, ConsentChange]:
    """What to write when identifiers became one person: whatever one of them refuses, each refuses, so that parting
    them again opens nothing. Empty where that is so already."""
    statements: dict[str, dict[str, Statement]] = {}
    for purpose in sorted({p for h in held.values() for p in h.statements}):
        for member, statement in _spread_to(members, held, purpose).items():
            statements.setdefault(member, {})[purpose] = statement
    restricted = {h.settings[RESTRICTION] for h in held.values() if h.settings.get(RESTRICTION)}
    found: dict[str, ConsentChange] = {}
    for member in members:
        free = restricted and not held.get(member, Held()).settings.get(RESTRICTION)
        found[member] = ConsentChange(
            statements.get(member, {}), _missing(held, member), {RESTRICTION: max(restricted)} if free else {}
        )
    return {m: change for m, change in found.items() if change.statements or change.preferences or change.settings}


def _missing(held: Mapping[str, Held], member: str) -> dict[str, dict[str, bool]]:
    """Channels and topics that anybody refuses and this member does not."""
    mine = held.get(member, Held()).preferences
    missing: dict[str, dict[str, bool]] = {}
    for one in held.values():
        for channel, topics in one.preferences.items():
            for topic, yes in topics.items():
                if not yes and mine.get(channel, {}).get(topic) is not False:
                    missing.setdefault(channel, {})[topic] = False
    return missing


def law_of(person: PersonView, policy: Purposes) -> str:
    """The jurisdiction under which a person says something now."""
    return jurisdiction_of(person.held, country_of(person.profile), policy)[0]


def outlook(
    subject: Subject,
    written: Mapping[str, ConsentChange],
    policy: Purposes,
    country: str | None = None,
    at: int | None = None,
) -> Consent:
    """The consent that would follow from a change."""
    after = {m: applied(subject.held.get(m, Held()), c) for m, c in written.items()}
    return resolve({**subject.held, **after}, policy, country, at)


def widened(before: Consent, after: Consent) -> bool:
    """Whether anything is allowed after that was not allowed before: a purpose, a channel for a topic, more contacts
    or other hours."""
    if any(after.allows(purpose) and not before.allows(purpose) for purpose in after.answers):
        return True
    if loosened(before.settings, after.settings):
        return True
    return any(
        after.reaches(channel, topic) and not before.reaches(channel, topic)
        for channel, topics in before.preferences.items()
        for topic in topics
    )


def read_versions(subject: Subject, written: Mapping[str, ConsentChange], after: Consent) -> dict[str, int] | None:
    """The versions a change may be written onto: those that were read, where it widens or says yes at all, because a
    yes that widens nothing onto what was read may undo a withdrawal made since. None where it only narrows."""
    agrees = any(said.status == GRANTED for change in written.values() for said in change.statements.values())
    if not agrees and not widened(subject.consent, after):
        return None
    return {m: subject.held[m].version if m in subject.held else 0 for m in subject.members}


def replacing(consent: Consent, named: Mapping[str, bool | None]) -> dict[str, bool]:
    """The answers of a whole document: what was agreed and is not named any more is withdrawn; a refusal stays until
    it is answered with yes, so silence never widens. None stands for "as it is"."""
    said = {purpose: answer for purpose, answer in named.items() if answer is not None}
    open_ = {p for p, a in consent.answers.items() if a.status == GRANTED and a.basis != CONTRACT}
    return {**dict.fromkeys(sorted(open_ - set(named)), False), **said}


def answer_of(status: str) -> bool | None:
    """The yes, no or neither (not asked, expired, pending) that a status stands for."""
    return True if status == GRANTED else False if status in REFUSALS else None


def unknown_purposes(names: Sequence[str], policy: Purposes) -> list[str]:
    return [name for name in names if name not in policy.purposes]
