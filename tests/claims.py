"""Claims about few identifiers, as they come to whoever keeps identity: many of them late, some after an erasure."""

import random

from engine.erasure import ERASED
from engine.identity import NEGATIVE, OBSERVED, POSITIVE, Claim
from tests.strategies import START

TYPES = {"u1": "user_id", "u2": "user_id", "e1": "email", "a1": "anonymous_id", "a2": "anonymous_id"}
KINDS = [(POSITIVE, OBSERVED)] * 3 + [(POSITIVE, "said"), (NEGATIVE, "said")]


def said(left: str, right: str, kind: tuple[str, str], minute: int) -> Claim:
    """That two identifiers were seen together, belong together or do not."""
    return Claim(left, TYPES[left], right, TYPES[right], kind[0], START + minute, "web", kind[1])


def wish(identity: str, job: str, minute: int) -> Claim:
    """The erasure of whoever an identifier belonged to before."""
    return Claim(identity, TYPES[identity], identity, TYPES[identity], ERASED, START + minute, "rapport", job)


# what the last one is about was never reached: it only tells whose a2 was not
LEAST = [
    wish("u1", "job", 10),
    said("a2", "u2", (POSITIVE, "said"), 0),
    said("u1", "a2", (POSITIVE, OBSERVED), 0),
    said("a2", "u2", (NEGATIVE, "said"), 3),
]


def drawn(seed: int) -> list[Claim]:
    """Claims of all kinds and two erasures among them, in any order and dated in any other."""
    chance = random.Random(seed)
    made: list[Claim] = []
    for _ in range(12):
        left, right = chance.sample(sorted(TYPES), 2)
        made.append(said(left, right, chance.choice(KINDS), chance.randrange(16)))
    made += [wish("u1", "job", 10), wish(chance.choice(sorted(TYPES)), "another", 12)]
    chance.shuffle(made)
    return made
