"""Whenever the wish comes between events, links, identity and the archive: the person of then goes whole."""

import random
from pathlib import Path

import pytest

from engine.erasure import Links, learn
from engine.erasure_job import COMPLETED
from engine.events import Event
from engine.identity import Claim, pair
from engine.records import Position, encode
from infra.archive import iterate
from infra.link_record import LinkRecord
from infra.processes import RunningServer
from tests.claims import LEAST, TYPES, drawn
from tests.infra.stream.bed import RULES, Bed, event, id_of
from tests.infra.stream.house import ANN, BEFORE, BOB, MAIL, House


@pytest.fixture
def house(bed: Bed, any_redis: RunningServer, tmp_path: Path) -> House:
    return House(bed, any_redis, tmp_path)


def _story(chance: random.Random) -> list[Event]:
    """What happened to Ann before she asked, in no order: cookies, an e-mail, and Bob beside it."""
    made = []
    for number in range(24):
        cookie, minute, named = f"cookie{chance.randrange(4)}", chance.randrange(1, 25), f"s{number}"
        who = chance.choice(["ann", "ann", "ann", None, None, "bob"])
        if who == "bob":
            made.append(event(user="bob", messageId=named, minute=minute))
        elif who is None:
            made.append(event(userId=None, anonymousId=cookie, messageId=named, minute=minute))
        else:
            traits = {"email": "ann@example.org"} if chance.random() < 0.3 else {}
            made.append(event("identify", anonymousId=cookie, traits=traits, messageId=named, minute=minute))
    return made


@pytest.mark.parametrize("seed", range(3))
async def test_links_and_late_events_race_with_it(house: House, seed: int) -> None:
    """Whenever the wish comes between events, links, the archive and identity: Ann goes whole, and Bob stays."""
    chance = random.Random(seed)
    story = _story(chance)
    wish = chance.randrange(2, len(story))
    for number, one in enumerate(story):
        if number == wish:
            await house.ask()
        await house.feed(one)
        if chance.random() < 0.3:
            await house.relate()
        if chance.random() < 0.2:
            await house.archiver.round()
    job = await house.finish()
    assert job.status == COMPLETED
    told = {i.id for one in story[:wish] for i in one.identifiers if one.home == ANN}
    assert told <= set(job.identifiers)
    await house.feed(event("identify", anonymousId="cookie0", minute=50, messageId="new"))
    await house.relate()
    await house.archiver.round()
    ids = [ANN, BOB, MAIL, *(id_of("anonymous_id", f"cookie{n}") for n in range(4))]
    for identity in job.identifiers:
        view = await house.bed.people.person(identity)
        assert view.profile.state.count == (1 if identity in (ANN, id_of("anonymous_id", "cookie0")) else 0)
    archived = [one for _, _, _, one in iterate(house.settings.archive)]
    assert not [one for one in archived if one.home in job.identifiers and one.at < BEFORE and one.kind == "track"]
    stored = await house.bed.store.load(0, ids)
    again = await house.replayed()
    assert {home: one.fragment for home, one in stored.items()} == {home: again[home] for home in stored}
    bob = sum(one.home == BOB for one in story)
    assert (await house.bed.people.person(BOB)).profile.state.count == bob


@pytest.mark.parametrize("claims", [LEAST, *map(drawn, range(20))])
async def test_the_writer_reads_as_much_as_decides_whom_it_reaches(bed: Bed, claims: list[Claim]) -> None:
    """One record each, so that nothing is at hand but what the writer looks for."""
    relation, links = bed.relation(), Links()
    for number, claim in enumerate(claims):
        await relation.take(number, encode(LinkRecord(((Position(1, 0, number), (claim,)),))))
        links = learn(links, claim, RULES.identity)
        if number % 5 == 4:
            relation = bed.relation()
    for job, one in links.forgotten.items():
        assert await bed.links.erasures.forgotten(job) == one
    kept = {pair(edge): edge for edges in (await bed.links.groups_of(sorted(TYPES))).values() for edge in edges}
    assert kept == links.edges
