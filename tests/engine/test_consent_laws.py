"""Law 5: consent only narrows."""

from hypothesis import given
from hypothesis import strategies as st

from engine.consent import (
    DENIED,
    GRANTED,
    NOT_ASKED,
    REFUSALS,
    STATUSES,
    Held,
    Purpose,
    Purposes,
    Statement,
    resolve,
)

MEMBERS = ("user", "mail", "anon")
POLICY = Purposes(
    {
        "service": Purpose("service", "contract"),
        "marketing": Purpose("marketing", default={"US": True, "GDPR": False}),
        "profiling": Purpose("profiling", "legitimate_interests", default={"US": True, "GDPR": True}),
    },
    default_jurisdiction="GDPR",
    countries={"US": "US"},
)
ASKED = ("marketing", "profiling")
Stored = dict[str, Held]

_statements = st.builds(
    Statement,
    st.sampled_from(sorted(STATUSES)),
    st.integers(0, 6),
    st.just("test"),
    st.booleans(),
    st.lists(st.sampled_from(MEMBERS), max_size=3, unique=True).map(tuple),
)
_held = st.dictionaries(
    st.sampled_from(MEMBERS),
    st.builds(
        Held,
        st.dictionaries(st.sampled_from(ASKED), st.lists(_statements, max_size=2).map(tuple)),
        st.dictionaries(
            st.sampled_from(["email", "voice"]), st.dictionaries(st.sampled_from(["all", "news"]), st.booleans())
        ),
    ),
)
countries = st.sampled_from(["US", "DE", None])


def with_statement(held: Stored, identity: str, statement: Statement) -> Stored:
    before = held.get(identity, Held())
    said = (*before.statements.get("marketing", ()), statement)
    return {**held, identity: Held({**before.statements, "marketing": said}, before.preferences, before.settings)}


def allowed(held: Stored, country: str | None = None) -> set[str]:
    consent = resolve(held, POLICY, country)
    return {purpose for purpose in POLICY.purposes if consent.allows(purpose)}


@given(_held, st.sampled_from(MEMBERS), st.integers(0, 9), st.sampled_from(sorted(STATUSES)), countries)
def test_what_an_ordinary_event_carries_only_narrows(
    held: Stored, identity: str, at: int, status: str, country: str | None
) -> None:
    carried = Statement(status, at, "web", explicit=False, covers=MEMBERS)
    assert allowed(with_statement(held, identity, carried), country) <= allowed(held, country)


@given(_held, st.sampled_from(MEMBERS), st.integers(0, 9), st.sampled_from(sorted(REFUSALS)), countries)
def test_a_refusal_only_narrows(held: Stored, identity: str, at: int, status: str, country: str | None) -> None:
    said = Statement(status, at, "page")
    assert allowed(with_statement(held, identity, said), country) <= allowed(held, country)


@given(_held, st.sets(st.sampled_from(MEMBERS), min_size=1), st.sampled_from(sorted(REFUSALS)), countries)
def test_a_withdrawal_survives_every_unlinking(held: Stored, left: set[str], status: str, country: str | None) -> None:
    latest = 100
    for identity in MEMBERS:
        held = with_statement(held, identity, Statement(status, latest, "page"))
    part = {identity: held[identity] for identity in left}
    assert "marketing" not in allowed(part, country)


@given(_held, st.sets(st.sampled_from(MEMBERS), min_size=1), countries)
def test_who_is_unlinked_is_no_wider_than_alone(held: Stored, left: set[str], country: str | None) -> None:
    """What others granted for an identifier leaves with them."""
    linked = with_statement(held, "user", Statement(GRANTED, 100, "page", True, MEMBERS))
    part = {identity: held.get(identity, Held()) for identity in left - {"user"}}
    assert allowed({i: linked.get(i, Held()) for i in left - {"user"}}, country) == allowed(part, country)


@given(_held, countries)
def test_the_latest_explicit_grant_for_everybody_settles_it(held: Stored, country: str | None) -> None:
    assert "marketing" in allowed(with_statement(held, "mail", Statement(GRANTED, 100, "page", True, MEMBERS)), country)


@given(_held, st.sampled_from(MEMBERS), st.sampled_from(sorted(REFUSALS)), st.booleans(), st.integers(0, 9))
def test_a_tie_is_a_no(held: Stored, identity: str, refusal: str, explicit: bool, at: int) -> None:
    granted = with_statement(held, "user", Statement(GRANTED, at, "page", True, MEMBERS))
    later = {
        i: Held({"marketing": tuple(s for s in h.statements.get("marketing", ()) if s.at < at)})
        for i, h in granted.items()
    }
    tied = with_statement({**granted, **later}, identity, Statement(refusal, at, "page", explicit))
    tied = with_statement(tied, "user", Statement(GRANTED, at, "page", True, MEMBERS))
    assert "marketing" not in allowed(tied, "US")


@given(_held, countries)
def test_who_never_said_anything_does_not_count(held: Stored, country: str | None) -> None:
    silent = {"stranger": Held(), "other": Held({"marketing": (Statement(NOT_ASKED, 5, "x"),)})}
    assert resolve({**held, **silent}, POLICY, country) == resolve(held, POLICY, country)


@given(_held, st.permutations(MEMBERS), countries)
def test_the_answer_does_not_depend_on_the_order_of_identifiers(
    held: Stored, order: list[str], country: str | None
) -> None:
    shuffled = {identity: held[identity] for identity in order if identity in held}
    one, other = resolve(held, POLICY, country), resolve(shuffled, POLICY, country)
    assert {p: a.allowed for p, a in one.answers.items()} == {p: a.allowed for p, a in other.answers.items()}
    assert (one.preferences, one.settings, one.jurisdiction) == (other.preferences, other.settings, other.jurisdiction)


@given(_held)
def test_unknown_is_a_no(held: Stored) -> None:
    consent = resolve(held, POLICY, "nowhere")
    assert not consent.allows("a purpose nobody configured")
    for purpose in ASKED:
        if consent.answers[purpose].status not in (GRANTED, NOT_ASKED):
            assert not consent.allows(purpose)


@given(_held, st.sampled_from(["email", "voice"]), st.sampled_from(["all", "news"]))
def test_one_refused_channel_is_refused_for_the_person(held: Stored, channel: str, topic: str) -> None:
    refusing = {**held, "mail": Held(preferences={channel: {topic: False}})}
    assert not resolve(refusing, POLICY).reaches(channel, topic)


def test_a_contract_stands_whatever_was_said() -> None:
    held = {"user": Held({"service": (Statement(DENIED, 1, "page"),)})}
    assert resolve(held, POLICY).allows("service")
