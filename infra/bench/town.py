"""A town of people with planted identifiers, and the stream of what they did in random order: who belongs together is
known before anybody computes it. Some share a browser; some were linked by mistake and are unlinked. Knows no
station."""

import random
from collections.abc import Iterator, Sequence

import msgspec

from engine.events import Event
from engine.identifiers import Identifier, IdentityRules, identify
from infra.bench.people import SECRET

RULES = IdentityRules()
START = 1_790_000_000_000
MINUTE = 60_000


class Town(msgspec.Struct, frozen=True):
    """Events in the order they arrive, and the persons that must come out, as sets of ids."""

    events: tuple[Event, ...]
    people: frozenset[frozenset[str]]

    @property
    def ids(self) -> list[str]:
        return sorted({identity for person in self.people for identity in person})


def named(kind: str, value: str) -> Identifier:
    found = identify(SECRET, RULES, kind, value)
    assert found is not None
    return found


def happened(who: Sequence[Identifier], message_id: str, at: int) -> Event:
    """A page view, under the strongest identifier it carries."""
    ordered = tuple(sorted(who, key=lambda i: (RULES.rank(i.type), i.type, i.value)))
    return Event(message_id, "shop", "page", "Prices", at, at + 5, ordered[0].id, ordered)


def _identifiers(number: int, chance: random.Random) -> list[Identifier]:
    """An account first, then addresses, then one to three browsers."""
    found = [named("user_id", f"u{number}"), named("email", f"person{number}@example.net")]
    if chance.random() < 0.4:
        found.append(named("crm_id", f"crm{number}"))
    if chance.random() < 0.3:
        found.append(named("phone", f"+4930{1_000_000 + number}"))
    return [*found, *(named("anonymous_id", f"a{number}-{n}") for n in range(chance.randint(1, 3)))]


def _life(number: int, owned: Sequence[Identifier], chance: random.Random) -> Iterator[Event]:
    """Each identifier is met with an earlier one, so all hang together; account and customer number meet the same new
    address at the same moment, on whatever partitions they live."""
    began = START + chance.randrange(1000) * MINUTE
    for n, identifier in enumerate(owned):
        meets_at = began if identifier.type in ("email", "crm_id") else began + n * MINUTE
        if n:
            other = owned[1] if identifier.type == "crm_id" else owned[chance.randrange(min(n, 2))]
            yield happened((other, identifier), f"m{number}-{n}", meets_at)
        for more in range(chance.randrange(2)):
            yield happened((identifier,), f"m{number}-{n}-{more}", began + (n + more) * MINUTE)


def _visitors(number: int, count: int, chance: random.Random) -> tuple[Identifier, list[Event]]:
    """A browser in a shop: its owner is the one who came first; those who follow do not become one with anybody."""
    kiosk = named("anonymous_id", f"kiosk{number}")
    others = chance.sample(range(count), 3)
    return kiosk, [
        happened((named("user_id", f"u{who}"), kiosk), f"k{number}-{who}", START + n * MINUTE)
        for n, who in enumerate((number, *(o for o in others if o != number)))
    ]


def town(seed: int, count: int, mistaken: int = 0, *, linked: bool = True) -> Town:
    """`mistaken` of the people each have one browser more, linked to them by an event and unlinked by an agent. The
    same town without `linked`: the event never carried that browser, and nobody had to say anything."""
    chance = random.Random(seed)
    events: list[Event] = []
    people: list[set[Identifier]] = []
    for number in range(count):
        owned = _identifiers(number, chance)
        people.append(set(owned))
        events += _life(number, owned, chance)
    for number in chance.sample(range(count), count // 30):
        kiosk, visits = _visitors(number, count, chance)
        people[number].add(kiosk)
        events += visits
    chosen = chance.sample(range(count), mistaken)
    strangers = [named("anonymous_id", f"stranger{number}") for number in chosen]
    said = []
    for number, stranger in zip(chosen, strangers, strict=True):
        account, at = named("user_id", f"u{number}"), START + chance.randrange(2000) * MINUTE
        events.append(happened((account, stranger) if linked else (account,), f"s{number}", at))
        events.append(happened((stranger,), f"t{number}", at + MINUTE))
        said.append(_unlink(account, stranger, number))
    chance.shuffle(events)
    places = [chance.randrange(len(events) + 1) for _ in said]
    if linked:
        for place, event in sorted(zip(places, said, strict=True), key=lambda item: -item[0]):
            events.insert(place, event)
    sets = [frozenset(i.id for i in person) for person in people]
    return Town(tuple(events), frozenset([*sets, *(frozenset([s.id]) for s in strangers)]))


def _unlink(account: Identifier, stranger: Identifier, number: int) -> Event:
    at = START + 10_000 * MINUTE
    said = {"reason": "another customer's browser"}
    return Event(f"unlink{number}", "desk", "unlink", "unlink", at, at, account.id, (account, stranger), {}, said)
