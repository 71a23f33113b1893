"""Who is dealt into which arm: stable, half-open, exact at 0 % and 100 %, apart between layers, from first sight on."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from engine.allocation import Allocation, without
from engine.experiment import (
    CONTROL,
    ENGINE,
    HALTED,
    IN_CONTROL,
    MILLION,
    NO_CONSENT,
    Experiment,
    InvalidExperiments,
    Person,
    Plan,
    arm_of,
    arms_at,
    assigned,
    bucket,
    first_seen,
    in_control,
    parts,
    value_for,
)
from engine.experiment_plan import Known, parse_plan
from engine.ports import PersonView, Stored
from engine.profile import Fragment, State
from engine.profile import Known as Sighting
from engine.records import Position
from tests.models.world import catalogue

KNOWN = Known({"web", "email"}, {"a", "b"}, {"service", "personalization"})
PEOPLE = [f"person{n:010d}" for n in range(20_000)]


def experiment(name: str = "one", **more: Any) -> dict[str, Any]:
    variants: list[dict[str, Any]] = [{"id": "off", "share": 0.5}, {"id": "on", "share": 0.5}]
    return {"id": name, "variants": variants, **more}


def plan(*experiments: dict[str, Any], **more: Any) -> Plan:
    return parse_plan({"experiments": list(experiments), **more}, KNOWN)


def person(identity: str, *refused: str) -> Person:
    return Person(identity, lambda purpose: purpose not in refused)


def test_the_same_person_is_always_dealt_the_same_and_another_salt_deals_anew() -> None:
    one, other = plan(experiment()), plan(experiment(), salt="another")
    dealt = [arm_of(one, one.experiments[0], p) for p in PEOPLE[:500]]
    assert dealt == [arm_of(one, one.experiments[0], p) for p in PEOPLE[:500]]
    assert dealt != [arm_of(other, other.experiments[0], p) for p in PEOPLE[:500]]


def test_a_deal_never_changes_between_versions() -> None:
    """These values are a promise: another hash would move everybody."""
    assert [bucket("rapport", name, "aaaaaaaaaaaaaaaa") for name in ("control", "layer:x")] == [155_467, 56_537]


@given(st.text(max_size=40), st.text(max_size=40))
def test_nothing_admits_nobody_and_everything_everybody(salt: str, identity: str) -> None:
    none = Plan(salt, experiments=(Experiment("x", plan(experiment()).experiments[0].variants, share=0.0),))
    assert arm_of(none, none.experiments[0], identity) is None
    everybody = plan(experiment(), salt=salt)
    assert arm_of(everybody, everybody.experiments[0], identity) in ("off", "on")
    assert 0 <= bucket(salt, "x", identity) < MILLION
    assert not in_control(none, identity)
    assert in_control(plan(salt=salt, control={"share": 1.0}), identity)


def test_ten_tenths_are_everybody() -> None:
    variants = [{"id": f"v{n}", "share": 0.1} for n in range(10)]
    ten = plan(experiment(variants=variants))
    found = Counter(arm_of(ten, ten.experiments[0], p) for p in PEOPLE)
    assert None not in found
    assert chisquare(list(found.values())).pvalue > 1e-4


def test_a_share_grows_without_moving_who_was_in_it() -> None:
    before, after = (plan(control={"share": share}) for share in (0.02, 0.05))
    inside = {p for p in PEOPLE if in_control(before, p)}
    assert 0 < len(inside) < len({p for p in PEOPLE if in_control(after, p)})
    assert all(in_control(after, p) for p in inside)


def test_layers_are_independent_and_one_layer_does_not_overlap() -> None:
    two = plan(experiment("one"), experiment("two"))
    table = Counter((arm_of(two, two.experiments[0], p), arm_of(two, two.experiments[1], p)) for p in PEOPLE)
    cells = [[table[a, b] for b in ("off", "on")] for a in ("off", "on")]
    assert chi2_contingency(cells).pvalue > 1e-4
    assert min(map(min, cells)) > 4000
    shared = plan(experiment("one", layer="l", share=0.5), experiment("two", layer="l", share=0.5))
    for p in PEOPLE[:2000]:
        inside = [e.id for e in shared.experiments if arm_of(shared, e, p) is not None]
        assert len(inside) == 1


def test_who_refuses_is_outside_and_gets_the_default() -> None:
    found = plan(experiment())
    one = found.experiments[0]
    arm = assigned(found, one, person("p", "personalization"), 0)
    assert arm == NO_CONSENT
    assert value_for(one, arm).told == "off"
    assert assigned(found, one, person("p"), 0) in ("off", "on")


def test_a_control_person_is_in_no_experiment() -> None:
    found = plan(experiment(), control={"share": 0.2})
    for p in PEOPLE[:500]:
        arms = arms_at(found, "web", person(p), 0)
        controlled = in_control(found, p)
        assert arms[CONTROL] == (CONTROL if controlled else ENGINE)
        assert (arms["one"] == IN_CONTROL) is controlled


def test_who_refuses_is_no_control_either() -> None:
    found = plan(control={"share": 1.0})
    assert arms_at(found, "web", person("p", "personalization"), 0) == {CONTROL: NO_CONSENT}


def test_an_experiment_bears_only_on_its_placements_and_its_time() -> None:
    found = plan(experiment(placements=["email"], start="2026-01-01", end="2026-02-01"))
    january = 1_768_000_000_000
    assert arms_at(found, "web", person("p"), january) == {}
    assert set(arms_at(found, "email", person("p"), january)) == {"one"}
    assert arms_at(found, "email", person("p"), january + 40 * 86_400_000) == {}


def view(*fragments: tuple[str, int, dict[str, int]], members: tuple[str, ...]) -> PersonView:
    stored = tuple(
        Stored(
            Position(1, 0, 0),
            0,
            Fragment(i, State(count=1, first=at, identifiers={o: Sighting("x", o, t) for o, t in seen.items()})),
        )
        for i, at, seen in fragments
    )
    return PersonView(members[0], members, 1, stored, {})


def test_the_first_seen_identifier_deals_and_a_later_login_does_not_deal_anew() -> None:
    assert first_seen(PersonView("new", ("new",), 0, (), {})) == "new"
    visitor = view(("cookie", 10, {"cookie": 10}), members=("cookie",))
    customer = view(
        ("cookie", 10, {"cookie": 10}), ("user", 20, {"user": 20, "cookie": 20}), members=("user", "cookie")
    )
    assert first_seen(visitor) == first_seen(customer) == "cookie"


def test_who_was_decided_on_before_being_known_stays_dealt() -> None:
    """A decision about an id is folded under it: its first sight, though it names no identifier."""
    found = view(("mail", 10, {}), ("user", 20, {"user": 20, "mail": 20}), members=("user", "mail"))
    assert first_seen(found) == "mail"


def test_an_identifier_of_somebody_else_does_not_deal() -> None:
    found = view(("user", 20, {"user": 20, "shared": 5}), members=("user",))
    assert first_seen(found) == "user"


def test_at_the_same_moment_the_stronger_identifier_deals() -> None:
    assert first_seen(view(("user", 20, {"user": 20, "mail": 20}), members=("user", "mail"))) == "user"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "shares do not add up": (experiment(variants=[{"id": "a", "share": 0.5}, {"id": "b", "share": 0.4}]), "variants"),
    "one variant": (experiment(variants=[{"id": "a", "share": 1.0}]), "variants"),
    "a placement's name": (experiment("web"), "id"),
    "an unknown placement": (experiment(placements=["attic"]), "placements"),
    "an unknown purpose": (experiment(purpose="fun"), "purpose"),
    "an unknown default": (experiment(default="nobody"), "default"),
    "a default that changes something": (
        experiment(variants=[{"id": "a", "share": 0.5, "model": "m1"}, {"id": "b", "share": 0.5}]),
        "default",
    ),
    "an unknown lever": (
        experiment(variants=[{"id": "a", "share": 0.5}, {"id": "b", "share": 0.5, "levers": {"z": 2.0}}]),
        "levers",
    ),
    "a share of 2": (experiment(share=2.0), "share"),
    "seven decimals": (experiment(share=0.1234567), "share"),
    "no day": (experiment(start="soon"), "start"),
    "a field nobody knows": (experiment(colour="red"), ""),
}


@pytest.mark.parametrize(("entry", "place"), WRONG.values(), ids=WRONG)
def test_a_wrong_plan_names_the_place(entry: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidExperiments) as found:
        plan(entry)
    assert place in found.value.path


def test_two_layers_may_not_change_the_same_thing() -> None:
    models = [{"id": "a", "share": 0.5}, {"id": "b", "share": 0.5, "model": "m1"}]
    with pytest.raises(InvalidExperiments, match="the model"):
        plan(experiment("one", variants=models), experiment("two", variants=models))
    plan(
        experiment("one", variants=models, layer="l", share=0.5),
        experiment("two", variants=models, layer="l", share=0.5),
    )
    with pytest.raises(InvalidExperiments, match="more than 1"):
        plan(experiment("one", layer="l"), experiment("two", layer="l", share=0.1))


def factorial() -> Allocation:
    levers = [{"id": "plain", "share": 0.5}, {"id": "more", "share": 0.5, "levers": {"e_bill": 3.0}}]
    draws = [
        {"id": "usual", "share": 0.5},
        {"id": "wide", "share": 0.5, "exploration": {"kind": "epsilon", "share": 0.3}},
    ]
    known = Known({"agent_desktop", "email"}, {"e_bill"}, {"personalization"})
    data = {
        "control": {"share": 0.1},
        "experiments": [
            {"id": "lever", "variants": levers},
            {"id": "draw", "variants": draws},
            {"id": "model", "variants": [{"id": "old", "share": 0.5}, {"id": "new", "share": 0.5, "model": "m-2"}]},
        ],
    }
    return Allocation(parse_plan(data, known), catalogue())


def test_every_combination_of_arms_has_its_catalogue() -> None:
    found = factorial()
    both = found.catalogue({CONTROL: ENGINE, "lever": "more", "draw": "wide"})
    assert both.actions["e_bill"].lever == 3.0
    assert both.placements["email"].exploration.share == 0.3
    assert found.catalogue({CONTROL: ENGINE, "lever": "plain", "draw": "usual"}) is found.base
    assert found.catalogue({"lever": "more", "draw": NO_CONSENT}).placements["email"] == found.base.placements["email"]
    assert len({c.digest for c in found.catalogues}) == len(found.catalogues) == 5


def test_the_control_group_gets_a_uniform_draw_without_a_model() -> None:
    found = factorial()
    arms = {CONTROL: CONTROL, "lever": IN_CONTROL}
    assert {p.exploration.kind for p in found.catalogue(arms).placements.values()} == {"uniform"}
    assert found.model(arms) == "prior"
    assert found.model({"model": "new"}) == "m-2"
    assert found.model({"model": "old"}) == ""


def test_nobody_is_half_treated_where_a_model_is_missing() -> None:
    arms = without({"model": "new", "lever": "more"}, frozenset({"model"}))
    assert arms == {"model": HALTED, "lever": "more"}
    assert factorial().model(arms) == ""


def test_too_many_combinations_are_refused() -> None:
    levers = [{"id": "a", "share": 0.5}, {"id": "b", "share": 0.5, "levers": {"e_bill": 2.0}}]
    known = Known({"email"}, {"e_bill"}, {"personalization"})
    many = parse_plan({"experiments": [{"id": f"x{n}", "variants": levers} for n in range(6)]}, known)
    with pytest.raises(InvalidExperiments, match="one layer"):
        Allocation(many, catalogue())


def test_millionths_are_exact() -> None:
    assert sum(parts(0.1) for _ in range(10)) == MILLION
