"""Laws 1 to 4 over whole persons: events, links and unlinks in one stream, folded, related and merged as the stations
do it, in whatever order and however often they come."""

import itertools
import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.events import Event
from engine.identifiers import IdentityRules
from engine.identity import Claim, Conflict, Edge, Pair, Person, components, with_claims
from engine.profile import LINK_KINDS, NAMED_ONLY, Fragment, Profile, merge
from engine.step import Rules, advance
from tests.engine.likeness import assert_like
from tests.strategies import ANN, HOMES, OTHERS, TIMES, events, identifier

BOB = identifier("user_id", "bob")
EVERYBODY = (ANN, BOB, *OTHERS)
SMALL = IdentityRules(max_component=3)
FRAGMENTS = msgspec.msgpack.Decoder(dict[str, Fragment])
EDGES = msgspec.msgpack.Decoder(list[Edge])


class World(msgspec.Struct):
    """What the two stations keep: fragments and edges."""

    fragments: dict[str, Fragment] = {}
    edges: dict[Pair, Edge] = {}

    def take(self, event: Event) -> None:
        before = self.fragments.get(event.home) or Fragment(event.home)
        step = advance(before, event, Rules())
        self.fragments[event.home] = step.fragment
        self.edges = with_claims(self.edges, step.claims)

    def persons(self, rules: IdentityRules) -> tuple[tuple[Person, ...], tuple[Conflict, ...]]:
        """Everybody: who is in no edge stands alone."""
        persons, conflicts = components(self.edges, rules)
        linked = {member for person in persons for member in person.members}
        alone = tuple(Person((home,)) for home in sorted(self.fragments.keys() - linked))
        return (*persons, *alone), conflicts

    def profiles(self, rules: IdentityRules) -> dict[str, Profile]:
        persons, _ = self.persons(rules)
        return {p.profile_id: merge(self._of(p), p.members) for p in persons}

    def _of(self, person: Person) -> list[Fragment]:
        return [self.fragments[member] for member in person.members if member in self.fragments]


def lived(happened: list[Event]) -> World:
    world = World({}, {})
    for event in happened:
        world.take(event)
    return world


def statement(number: int, kind: str, ends: tuple[int, int], at: int) -> Event:
    """A link, an unlink or a doubt, as the routes write it: the stronger end first."""
    pair = tuple(EVERYBODY[n] for n in ends)
    first, second = sorted(pair, key=lambda i: (IdentityRules().rank(i.type), i.type, i.value))
    said = {"reason": "said on the phone"}
    return Event(f"said-{number}", "desk", kind, kind, at, at, first.id, (first, second), {}, said)


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """A third of the stream says who belongs together; times tie often."""
    happened = draw(events((*HOMES, BOB), max_size=14))
    said = []
    for number in range(draw(st.integers(0, 7))):
        ends = draw(st.permutations(range(len(EVERYBODY))))[:2]
        kind = draw(st.sampled_from(["link", "link", "unlink", "unsure"]))
        said.append(statement(number, kind, (ends[0], ends[1]), draw(st.sampled_from(TIMES))))
    return [*happened, *said]


def assert_same_people(left: World, right: World, happened: list[Event]) -> None:
    for rules in (IdentityRules(), SMALL):
        assert left.persons(rules) == right.persons(rules)
        ours, theirs = left.profiles(rules), right.profiles(rules)
        for profile_id, profile in ours.items():
            homes = set(profile.members)
            assert_like(profile.state, theirs[profile_id].state, [e for e in happened if e.home in homes])


@given(streams(), st.randoms(use_true_random=False))
def test_law_1_what_comes_twice_counts_once(happened: list[Event], chance: random.Random) -> None:
    received = max((event.received for event in happened), default=0)
    fresh = [msgspec.structs.replace(event, received=received) for event in happened]
    twice = [*fresh, *chance.sample(fresh, len(fresh) // 2)]
    once, again = lived(fresh), lived(twice)
    assert once.fragments == again.fragments
    assert once.edges == again.edges


@given(streams(), st.integers(0, 21))
def test_law_2_stop_and_resume(happened: list[Event], place: int) -> None:
    stopped = lived(happened[:place])
    fragments = FRAGMENTS.decode(msgspec.msgpack.encode(stopped.fragments))
    edges = EDGES.decode(msgspec.msgpack.encode(list(stopped.edges.values())))
    resumed = World(fragments, {(edge.left, edge.right): edge for edge in edges})
    for event in happened[place:]:
        resumed.take(event)
    whole = lived(happened)
    assert msgspec.msgpack.encode(resumed.fragments) == msgspec.msgpack.encode(whole.fragments)
    assert resumed.edges == whole.edges


@given(st.data())
def test_law_3_order_does_not_matter(data: st.DataObject) -> None:
    happened = data.draw(streams())
    shuffled = data.draw(st.permutations(happened))
    assert_same_people(lived(happened), lived(shuffled), happened)


@given(streams())
def test_law_4_a_person_is_the_fold_of_all_its_events(happened: list[Event]) -> None:
    world = lived(happened)
    for profile in world.profiles(IdentityRules()).values():
        own = [event for event in happened if event.home in profile.members]
        together = Fragment(profile.profile_id)
        for event in own:
            together = advance(together, event, Rules()).fragment
        assert_like(profile.state, merge([together], profile.members).state, own)


@given(streams(), st.permutations(range(len(EVERYBODY))), st.randoms(use_true_random=False))
def test_law_4_link_and_unlink_leave_the_profiles_of_never_linked(
    happened: list[Event], order: list[int], chance: random.Random
) -> None:
    """Two who were two persons are linked and unlinked, anywhere among everything else: all is as if it never was."""
    ends = order[0], order[1]
    never = lived(happened)
    before = {member: person for person in never.persons(IdentityRules())[0] for member in person.members}
    one, other = (before.get(EVERYBODY[n].id) for n in ends)
    said_already = tuple(sorted((EVERYBODY[ends[0]].id, EVERYBODY[ends[1]].id))) in never.edges
    if said_already or (one is not None and one is other):
        return
    link, unlink = statement(90, "link", ends, TIMES[0]), statement(91, "unlink", ends, TIMES[-1])
    stream = [*happened, link, unlink]
    chance.shuffle(stream)
    world = lived(stream)
    assert_same_lives(never, world, happened)


def assert_same_lives(never: World, world: World, happened: list[Event]) -> None:
    """Everybody of the first world is the same in the second. Only the name of an id that no event ever carried (a
    person of bare outcomes) is known from the link that named it."""
    theirs = world.profiles(IdentityRules())
    for profile_id, profile in never.profiles(IdentityRules()).items():
        assert theirs[profile_id].members == profile.members
        state = theirs[profile_id].state
        carried = {i: known for i, known in state.identifiers.items() if known.at != NAMED_ONLY}
        named = {i for i, known in profile.state.identifiers.items() if known.at == NAMED_ONLY}
        kept = carried | {i: state.identifiers[i] for i in named}
        like = msgspec.structs.replace(state, identifiers=kept)
        assert_like(profile.state, like, [e for e in happened if e.home in profile.members])


@given(streams())
def test_what_is_said_about_identity_is_no_part_of_a_life(happened: list[Event]) -> None:
    world = lived(happened)
    kinds = {moment.kind for fragment in world.fragments.values() for moment in fragment.state.timeline}
    assert not kinds & LINK_KINDS


@given(st.lists(st.sampled_from(range(6)), min_size=2, max_size=12), st.data())
def test_no_way_round_leads_past_a_negative_verdict(way: list[int], data: st.DataObject) -> None:
    """However many positive links lead from one end to the other, before or after the verdict."""
    ids = [f"id{n}" for n in range(6)]
    steps = [(a, b) for a, b in itertools.pairwise(way) if a != b]
    said = [Claim(ids[a], "email", ids[b], "email", "positive", n, "web") for n, (a, b) in enumerate(steps)]
    apart = data.draw(st.permutations(range(6)))[:2]
    said.append(Claim(ids[apart[0]], "email", ids[apart[1]], "email", "negative", 99, "desk", "two people"))
    persons, _ = components(with_claims({}, data.draw(st.permutations(said))), IdentityRules())
    assert not [p for p in persons if {ids[apart[0]], ids[apart[1]]} <= set(p.members)]
