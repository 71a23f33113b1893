"""A contact-centre simulator: seeded customers with a history, and the contacts they make. All of it is
invented. Pure; knows nothing of HTTP, of models or of the clock."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from infra.demo.truth import (
    AFTER,
    DEVICES,
    INTERESTS,
    PLANS,
    REASONS,
    SEGMENTS,
    TOPICS,
    Flags,
    Floats,
    Ints,
    Situation,
    acceptance,
)

DAY = 86_400_000
NAME = "contact-centre simulator"
COUNTRIES = ("US", "DE", "AT", "GB", "FR")
LANGUAGES = ("en", "de", "de", "en", "en")
FIRST_NAMES = ("Ada", "Ben", "Cem", "Dana", "Eli", "Fay", "Gus", "Hana", "Ines", "Jon", "Kim", "Lea", "Max", "Nia")
CONSENTED = ("analytics", "personalization", "profiling", "model_training")
REFUSE_MARKETING = 0.15
_PLAN_BILL = (28.0, 52.0, 78.0)
_COLD = frozenset({"complaint", "cancel", "technical"})


class Population(msgspec.Struct, frozen=True, eq=False):
    """n simulated customers, one entry each; `views` and `purchases` have shape (n, len(INTERESTS))."""

    seed: int
    plan: Ints
    segment: Ints
    device: Ints
    country: Ints
    tenure: Ints
    bill: Floats
    views: Ints
    purchases: Ints
    contacts: Ints
    complaints: Ints
    open_issue: Flags
    no_marketing: Flags

    @property
    def size(self) -> int:
        return len(self.plan)


class Contacts(msgspec.Struct, frozen=True, eq=False):
    """n contacts in time order; `customer` points into the population, `luck` in [0, 1) decides the answers."""

    customer: Ints
    reason: Ints
    topic: Ints
    mood: Floats
    wait: Floats
    luck: Floats

    @property
    def size(self) -> int:
        return len(self.customer)


def populate(seed: int, size: int) -> Population:
    """Customers that depend on the seed alone."""
    draw = np.random.default_rng((seed, 1))
    plan = draw.choice(len(PLANS), size, p=(0.4, 0.38, 0.22))
    liking = draw.choice(len(INTERESTS) + 1, size, p=(0.22, 0.22, 0.2, 0.2, 0.16))
    likes = np.arange(len(INTERESTS)) == liking[:, None]
    return Population(
        seed=seed,
        plan=plan,
        segment=draw.choice(len(SEGMENTS), size, p=(0.3, 0.28, 0.22, 0.2)),
        device=draw.choice(len(DEVICES), size, p=(0.5, 0.4, 0.1)),
        country=draw.choice(len(COUNTRIES), size, p=(0.5, 0.2, 0.05, 0.15, 0.1)),
        tenure=draw.integers(1, 60, size),
        bill=np.round(np.asarray(_PLAN_BILL)[plan] + draw.normal(0.0, 12.0, size).clip(-20.0, 30.0), 2),
        views=np.where(likes, draw.integers(1, 4, likes.shape), 0) + (draw.random(likes.shape) < 0.06),
        purchases=(draw.random(likes.shape) < np.where(likes, 0.12, 0.08)).astype(np.int64),
        contacts=draw.poisson(0.8, size),
        complaints=draw.binomial(1, 0.15, size),
        open_issue=draw.random(size) < 0.2,
        no_marketing=draw.random(size) < REFUSE_MARKETING,
    )


def contact(population: Population, size: int) -> Contacts:
    """Contacts that depend on the population's seed alone. Every customer calls about equally often."""
    draw = np.random.default_rng((population.seed, 2))
    rounds = -(-size // population.size)
    customer = np.concatenate([draw.permutation(population.size) for _ in range(rounds)])[:size]
    reason = draw.choice(len(REASONS), size)
    cold = np.isin(reason, [REASONS.index(name) for name in _COLD])
    return Contacts(
        customer=customer,
        reason=reason,
        topic=draw.choice(len(TOPICS), size),
        mood=draw.normal(np.where(cold, -0.4, 0.3), 0.4).clip(-1.0, 1.0).round(2),
        wait=draw.gamma(2.0, 2.5, size).round(1),
        luck=draw.random(size),
    )


def situation(people: Population, contacts: Contacts) -> Situation:
    who = contacts.customer
    return Situation(
        reason=contacts.reason,
        topic=contacts.topic,
        segment=people.segment[who],
        plan=people.plan[who],
        bill=people.bill[who],
        mood=contacts.mood,
        open_issue=people.open_issue[who],
        views=people.views[who],
        purchases=people.purchases[who],
    )


def true_acceptance(
    people: Population, contacts: Contacts, actions: tuple[str, ...], changed: int | None = None
) -> Floats:
    """Shape (contacts, actions): the probability that the customer of this contact says yes to this action. From the
    contact `changed` on, tastes are others."""
    now = situation(people, contacts)
    found = acceptance(actions, now, people.seed)
    if changed is not None:
        found[changed:] = acceptance(actions, now, people.seed, AFTER)[changed:]
    return found


def context_of(contacts: Contacts, index: int) -> dict[str, Any]:
    """What the contact centre knows about one contact: the context of the decision request."""
    return {
        "reason": REASONS[contacts.reason[index]],
        "topic": TOPICS[contacts.topic[index]],
        "sentiment": float(contacts.mood[index]),
        "wait_minutes": float(contacts.wait[index]),
    }


def _traits(people: Population, index: int) -> dict[str, Any]:
    return {
        "first_name": FIRST_NAMES[index % len(FIRST_NAMES)],
        "plan": PLANS[people.plan[index]],
        "segment": SEGMENTS[people.segment[index]],
        "device": DEVICES[people.device[index]],
        "country": COUNTRIES[people.country[index]],
        "language": LANGUAGES[people.country[index]],
        "tenure_months": int(people.tenure[index]),
        "monthly_bill": float(people.bill[index]),
    }


def _history(people: Population, index: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for position, category in enumerate(INTERESTS):
        for _ in range(int(people.views[index, position])):
            yield "Product Viewed", {"category": category, "product_id": f"{category}-1"}
        for _ in range(int(people.purchases[index, position])):
            yield "Order Completed", {"total": 20.0 + 5.0 * position, "products": [{"category": category}]}
    for turn in range(int(people.contacts[index])):
        yield "Support Contact", {"channel": ("voice", "chat", "email")[turn % 3], "topic": TOPICS[turn % 3]}
    for _ in range(int(people.complaints[index])):
        yield "Complaint Filed", {"topic": "service"}
    if people.open_issue[index]:
        yield "Issue Opened", {"issueId": f"issue-{index}", "topic": "line"}


def history(people: Population, index: int, user_id: str) -> list[tuple[int, dict[str, Any]]]:
    """One customer's events in Segment's shape with their age in ms: identify, the answer about consent, what they did
    in the last 40 days. The message ids repeat when the same customer is sent again."""
    draw = np.random.default_rng((people.seed, 3, index))
    answers = {**dict.fromkeys(CONSENTED, True), "marketing": not people.no_marketing[index]}
    answers |= {"advertising": False, "sale_or_share": False}
    said = {"consent": {"categoryPreferences": {name: bool(answer) for name, answer in answers.items()}}}
    events: list[tuple[int, dict[str, Any]]] = [
        (60 * DAY, {"type": "identify", "traits": _traits(people, index)}),
        (59 * DAY, {"type": "track", "event": "Segment Consent Preference Updated", "context": said}),
    ]
    for name, properties in _history(people, index):
        events.append((int(draw.integers(DAY, 40 * DAY)), {"type": "track", "event": name, "properties": properties}))
    for number, (_, event) in enumerate(events):
        event |= {"userId": user_id, "messageId": f"{user_id}-{number}"}
    return events
