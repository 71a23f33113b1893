"""Law 5 across links: what one identifier refused before a link, no other one gives back once they are parted."""

from hypothesis import given
from hypothesis import strategies as st

from engine.consent import GRANTED, REFUSALS, STATUSES, Held, Purpose, Purposes, Statement, resolve
from engine.statement import Subject, Wish, changes, spread, taken

POLICY = Purposes(
    {"marketing": Purpose("marketing", default={"US": True}), "profiling": Purpose("profiling", default={"US": True})},
    countries={"US": "US"},
)
MEMBERS = ("user", "mail", "anon", "phone")
Stored = dict[str, Held]
_statements = st.builds(
    Statement,
    st.sampled_from(sorted(STATUSES)),
    st.integers(0, 6),
    st.just("test"),
    st.booleans(),
    st.lists(st.sampled_from(MEMBERS), max_size=4, unique=True).map(tuple),
)
_said = st.lists(_statements, max_size=3)
_answers = st.dictionaries(st.sampled_from(sorted(POLICY.purposes)), _said)
_topics = st.dictionaries(st.sampled_from(["all", "news"]), st.booleans())
_preferences = st.dictionaries(st.sampled_from(["email", "voice"]), _topics)


@st.composite
def stored(draw: st.DrawFn) -> Stored:
    """What each identifier holds, as statements that came one after the other leave it."""
    held: Stored = {}
    for member in draw(st.sets(st.sampled_from(MEMBERS))):
        one = Held(preferences=draw(_preferences))
        for purpose, said in draw(_answers).items():
            for statement in said:
                slots = [s for s in one.statements.get(purpose, ()) if s.explicit != statement.explicit]
                one = Held({**one.statements, purpose: (*slots, statement)}, one.preferences)
        held[member] = one
    return held


def linked(held: Stored) -> Stored:
    written = spread(MEMBERS, held)
    return {**held, **{m: taken(held.get(m, Held()), change) for m, change in written.items()}}


def refused(held: Stored) -> set[str]:
    consent = resolve(held, POLICY, "US")
    return {p for p, answer in consent.answers.items() if answer.status in REFUSALS}


@given(stored(), st.sets(st.sampled_from(MEMBERS), min_size=1))
def test_what_is_refused_together_stays_refused_apart(held: Stored, part: set[str]) -> None:
    after = linked(held)
    apart = {m: after[m] for m in part if m in after}
    assert refused(held) <= refused(after)
    consent = resolve(apart, POLICY, "US")
    assert not any(consent.allows(purpose) for purpose in refused(held))


@given(stored(), st.sets(st.sampled_from(MEMBERS), min_size=1))
def test_a_refused_channel_stays_refused_apart(held: Stored, part: set[str]) -> None:
    together, after = resolve(held, POLICY), linked(held)
    apart = resolve({m: after[m] for m in part if m in after}, POLICY)
    for channel, topics in together.preferences.items():
        assert all(not apart.reaches(channel, topic) for topic in topics if not together.reaches(channel, topic))


@given(stored())
def test_linking_opens_nothing_and_closes_only_what_was_refused(held: Stored) -> None:
    before, after = resolve(held, POLICY, "US"), resolve(linked(held), POLICY, "US")
    for purpose in POLICY.purposes:
        assert after.allows(purpose) == before.allows(purpose)
    assert after.preferences == before.preferences or all(
        not before.reaches(c, t) or after.reaches(c, t) for c, topics in after.preferences.items() for t in topics
    )


@given(stored())
def test_doing_it_again_writes_nothing(held: Stored) -> None:
    assert spread(MEMBERS, linked(held)) == {}


@given(stored())
def test_a_yes_said_after_the_link_settles_it(held: Stored) -> None:
    after = linked(held)
    subject = Subject(MEMBERS, after, resolve(after, POLICY))
    yes = changes(subject, Wish("test", 7, {"marketing": True}))
    settled = {**after, **{m: taken(after.get(m, Held()), change) for m, change in yes.items()}}
    assert resolve(settled, POLICY).answers["marketing"].status == GRANTED
