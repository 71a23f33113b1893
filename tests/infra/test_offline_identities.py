"""Who belongs together as links come in is what all of them say in the end, with erasures among them."""

import random

import pytest

from engine.identity import Claim
from engine.replay import members_of, relate_again
from engine.step import Rules
from infra.offline import Identities
from tests.claims import LEAST, TYPES, drawn

RULES = Rules()
# later claims between strangers: an erasure of others is none of their business
STRANGERS = [*LEAST[1:3], LEAST[0], drawn(5)[0], LEAST[3]]


def in_pieces(claims: list[Claim], seed: int) -> list[list[Claim]]:
    chance, pieces = random.Random(seed), []
    left = list(claims)
    while left:
        size = chance.randrange(1, 4)
        pieces.append(left[:size])
        left = left[size:]
    return pieces


@pytest.mark.parametrize("claims", [LEAST, STRANGERS, *map(drawn, range(200))])
def test_they_are_who_a_replay_says(claims: list[Claim]) -> None:
    identities = Identities(RULES)
    for piece in in_pieces(claims, len(claims)):
        identities.learn(piece)
    again = relate_again(claims, RULES.identity)
    assert {i: identities.members(i) for i in TYPES} == {i: members_of(again, i) for i in TYPES}
