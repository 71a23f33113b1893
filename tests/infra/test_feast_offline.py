"""The offline tables: refolded from the archive, and point-in-time correct when Feast asks them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from deltalake import DeltaTable

from engine.catalog import Action
from engine.consent import RESTRICTION, Answer, Consent, Held, Purpose, Purposes, Statement, resolve, reveal
from engine.events import Event
from engine.identity import NEGATIVE, POSITIVE, Claim
from engine.profile import merge
from engine.records import Position, Record, encode
from engine.replay import replay
from engine.step import Rules
from features.compute import profile_values
from features.views import CROSS, PROFILE, View
from infra.archive import Archive
from infra.archive_features import FeatureTable
from infra.feast_paths import offline_path
from infra.feast_store import NothingOffline, historical, open_store, profile_features
from infra.offline import Terms, Written, build_offline
from infra.redis_store_stream import TailEntry
from infra.settings import Settings

HOUR = 3_600_000
START = 1_700_000_000_000
NOWHERE = "redis://127.0.0.1:1/0"
PURPOSES = ("service", "analytics", "personalization")
POLICY = Purposes({name: Purpose(name) for name in PURPOSES}, {"plan": "service"})
OFFER = Action("offer", "Offer", "upgrade", "service", ("voice",), ("agent_desktop",), {"en": "…"}, 10.0, 0.25)
TERMS = Terms(Rules(), POLICY, {"offer": OFFER})


def event(number: int, home: str, at: int, kind: str = "track", name: str = "Order Completed", **more: Any) -> Event:
    return Event(f"m{number}", "shop", kind, name, at, at, home, (), **more)


def outcome(number: int, home: str, name: str, segment: str) -> Event:
    said = {"action_id": "offer", "segment": segment, "category": "upgrade"}
    return event(number, home, START, "outcome", name, properties=said)


def archive(settings: Settings, *applied: tuple[int, int, Sequence[Event]]) -> None:
    """Archive records given as (applied ms, partition, events); offsets count per partition."""
    offsets: dict[int, int] = {}
    entries = []
    for at, partition, events in applied:
        offsets[partition] = offsets.get(partition, -1) + 1
        raw = encode(Record("1", at, tuple(events)))
        entries.append(TailEntry(Position(1, partition, offsets[partition]), at, raw))
    Archive(settings.archive).append(entries)


def link(settings: Settings, offset: int, at: int, verdict: str = POSITIVE) -> None:
    claim = Claim("a-user", "user_id", "b-anon", "anonymous_id", verdict, at, "desk", "said")
    Archive(settings.archive).append_links([TailEntry(Position(1, 0, offset), at, encode((claim,)))])


def build(settings: Settings, terms: Terms = TERMS) -> Written:
    return build_offline(settings, terms, lambda done, total: None)


def rows(settings: Settings, view: View) -> pd.DataFrame:
    keys = [*view.join_keys]
    table = DeltaTable(str(offline_path(settings.data_dir, view))).to_pandas()
    return table.sort_values(["event_timestamp", *keys]).reset_index(drop=True)


def ask(settings: Settings, *asked: tuple[str, int], columns: Sequence[str] = ("events_total",)) -> pd.DataFrame:
    store = open_store(settings.data_dir, NOWHERE)
    times = pd.to_datetime([at for _, at in asked], unit="ms", utc=True)
    entities = pd.DataFrame({"profile_id": [profile for profile, _ in asked], "event_timestamp": times})
    return historical(store, entities, profile_features(columns))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def test_a_late_event_is_in_no_row_before_it_was_applied(settings: Settings) -> None:
    first = event(1, "p", START)
    late = event(2, "p", START - 100 * HOUR)
    archive(settings, (START + HOUR, 0, [first]), (START + 3 * HOUR, 0, [late]))
    assert build(settings) == Written(2, 2, 0)
    asked = [("p", START), ("p", START + HOUR), ("p", START + 2 * HOUR), ("p", START + 4 * HOUR), ("q", START + HOUR)]
    found = ask(settings, *asked, columns=["events_total", "known_days"])
    assert found["profile_id"].tolist() == [profile for profile, _ in asked]
    np.testing.assert_array_equal(found["events_total"], [np.nan, 1, 1, 2, np.nan])
    np.testing.assert_allclose(found["known_days"], [np.nan, 1 / 24, 1 / 24, 103 / 24, np.nan], rtol=1e-6)


def test_every_row_is_what_the_engine_says_of_that_moment(settings: Settings) -> None:
    traits: dict[str, Any] = {"plan": "gold", "age": 40}
    applied = [
        (START + 1, 0, [event(1, "p", START - HOUR), event(2, "p", START, "identify", "", traits=traits)]),
        (START + 2, 0, [event(3, "p", START - 2 * HOUR, properties={"revenue": 12.5, "category": "shoes"})]),
        (START + 9, 0, [event(4, "p", START, name="Complaint Filed"), event(4, "p", START, name="Complaint Filed")]),
    ]
    archive(settings, *applied)
    build(settings)
    consent = Consent({name: Answer("granted", "consent", True) for name in PURPOSES}, {}, {}, "strict", 0)
    expected = []
    for n, (at, _, _) in enumerate(applied):
        folded = replay([e for _, _, events in applied[: n + 1] for e in events], Rules())
        expected.append(profile_values(reveal(merge([folded["p"]]), consent, PURPOSES, POLICY), at))
    found = rows(settings, PROFILE)
    assert found["event_timestamp"].tolist() == [pd.Timestamp(at, unit="ms", tz="UTC") for at, _, _ in applied]
    values = found[[*PROFILE.names]].to_numpy()
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.stack(expected))


def test_a_link_joins_two_profiles_and_an_unlink_parts_them(settings: Settings) -> None:
    archive(settings, (START, 0, [event(1, "a-user", START)]), (START, 3, [event(2, "b-anon", START)]))
    link(settings, 0, START + HOUR)
    link(settings, 1, START + 2 * HOUR, NEGATIVE)
    assert build(settings) == Written(2, 6, 0)
    moments = [START, START + HOUR, START + 2 * HOUR]
    asked = [(profile, at) for profile in ("a-user", "b-anon") for at in moments]
    np.testing.assert_array_equal(ask(settings, *asked)["events_total"], [1, 2, 1, 1, np.nan, 1])


def test_records_of_the_same_millisecond_make_one_row(settings: Settings) -> None:
    archive(settings, (START, 0, [event(1, "p", START)]), (START, 0, [event(2, "p", START), event(3, "q", START)]))
    assert build(settings) == Written(3, 2, 0)
    assert ask(settings, ("p", START), ("q", START))["events_total"].tolist() == [2, 1]


def test_a_clock_set_back_does_not_reorder_a_partition(settings: Settings) -> None:
    archive(
        settings,
        (START + HOUR, 0, [event(1, "p", START)]),
        (START, 0, [event(2, "p", START)]),
        (START + 2, 1, [event(3, "q", START)]),
    )
    build(settings)
    assert rows(settings, PROFILE)["profile_id"].tolist() == ["q", "p"]
    np.testing.assert_array_equal(ask(settings, ("p", START + 2), ("p", START + HOUR))["events_total"], [np.nan, 2])


def test_a_closed_purpose_is_null(settings: Settings) -> None:
    archive(settings, (START, 0, [event(1, "p", START), event(2, "p", START, "page", "Home")]))
    build(settings, Terms(Rules(), POLICY, purposes=("service",)))
    found = ask(settings, ("p", START), columns=["events_total", "page_views_1d", "trait_plan", "trait_segment"])
    np.testing.assert_array_equal(found.iloc[0, 2:].astype(float), [2, np.nan, -1, np.nan])


def refusing(said: Mapping[str, set[str]], policy: Purposes = POLICY) -> Terms:
    """The usual terms with what each identifier refuses."""
    held = {
        name: Held({p: (no(),) for p in purposes - {RESTRICTION}}, {}, dict.fromkeys(purposes & {RESTRICTION}, "1"))
        for name, purposes in said.items()
    }
    return holding(held, policy)


def holding(held: Mapping[str, Held], policy: Purposes = POLICY) -> Terms:
    return Terms(Rules(), policy, {"offer": OFFER}, held=held)


def no(at: int = START) -> Statement:
    return Statement("withdrawn", at, "test")


def yes(*covers: str) -> Statement:
    return Statement("granted", START + HOUR, "test", covers=covers)


@pytest.mark.parametrize("refused", ["model_training", "restriction"])
def test_who_refuses_training_or_any_use_has_no_rows(settings: Settings, refused: str) -> None:
    archive(settings, (START, 0, [event(1, "p", START)]), (START + 1, 0, [event(2, "p", START), event(3, "q", START)]))
    assert build(settings, refusing({"p": {refused}, "never-seen": {refused}})) == Written(3, 1, 0, left_out=1)
    assert rows(settings, PROFILE)["profile_id"].tolist() == ["q"]
    np.testing.assert_array_equal(ask(settings, ("p", START + 2), ("q", START + 2))["events_total"], [np.nan, 1])


@pytest.mark.parametrize("who", ["a-user", "b-anon"])
def test_what_one_identifier_refuses_the_person_refuses_also_before_they_were_linked(
    settings: Settings, who: str
) -> None:
    archive(settings, (START, 0, [event(1, "a-user", START)]), (START, 3, [event(2, "b-anon", START)]))
    link(settings, 0, START + HOUR)
    assert build(settings, refusing({who: {"model_training"}})) == Written(2, 0, 0, left_out=1)


def test_an_id_that_was_shown_gets_nulls_while_it_is_somebody_who_refuses(settings: Settings) -> None:
    archive(settings, (START, 0, [event(1, "a-user", START)]), (START, 3, [event(2, "b-anon", START)]))
    link(settings, 0, START + HOUR)
    link(settings, 1, START + 2 * HOUR, NEGATIVE)
    written = build(settings, refusing({"b-anon": {"model_training"}}))
    moments = [START, START + HOUR, START + 2 * HOUR]
    asked = [(profile, at) for profile in ("a-user", "b-anon") for at in moments]
    np.testing.assert_array_equal(ask(settings, *asked)["events_total"], [1, np.nan, 1, np.nan, np.nan, np.nan])
    assert (written.profile_rows, rows(settings, PROFILE)["profile_id"].unique().tolist()) == (3, ["a-user"])


AGREED = yes("a-user", "b-anon")


@pytest.mark.parametrize(
    ("agreed", "refused", "rows_left_out"),
    [
        (AGREED, no(), (4, 0)),
        (yes("a-user"), no(), (0, 1)),
        (yes(), no(), (0, 1)),
        (AGREED, no(START + 2 * HOUR), (0, 1)),
    ],
    ids=["covers both", "covers itself", "covers nothing", "refused again"],
)
def test_a_later_yes_replaces_the_refusals_of_the_identifiers_it_covers(
    settings: Settings, agreed: Statement, refused: Statement, rows_left_out: tuple[int, int]
) -> None:
    """The cookie refused, then the person agreed under the strongest id; they were linked in between."""
    archive(settings, (START, 0, [event(1, "a-user", START)]), (START, 3, [event(2, "b-anon", START)]))
    link(settings, 0, START + HOUR)
    held = {"a-user": Held({"model_training": (agreed,)}), "b-anon": Held({"model_training": (refused,)})}
    written = build(settings, holding(held))
    assert (written.profile_rows, written.left_out) == rows_left_out


def test_a_yes_frees_no_data_that_is_restricted(settings: Settings) -> None:
    archive(settings, (START, 0, [event(1, "a-user", START)]), (START, 3, [event(2, "b-anon", START)]))
    link(settings, 0, START + HOUR)
    restricted = Held({"model_training": (no(),)}, {}, {RESTRICTION: "1"})
    held = {"a-user": Held({"model_training": (AGREED,)}), "b-anon": restricted}
    assert build(settings, holding(held)) == Written(2, 0, 0, left_out=1)


def test_a_yes_answers_for_nobody_who_is_somebody_else_by_now(settings: Settings) -> None:
    """Parted again, the cookie's refusal stands for its own rows and for those of both."""
    archive(settings, (START, 0, [event(1, "a-user", START)]), (START, 3, [event(2, "b-anon", START)]))
    link(settings, 0, START + HOUR)
    link(settings, 1, START + 2 * HOUR, NEGATIVE)
    held = {"a-user": Held({"model_training": (AGREED,)}), "b-anon": Held({"model_training": (no(),)})}
    build(settings, holding(held))
    moments = [START, START + HOUR, START + 2 * HOUR]
    asked = [(profile, at) for profile in ("a-user", "b-anon") for at in moments]
    np.testing.assert_array_equal(ask(settings, *asked)["events_total"], [1, np.nan, 1, np.nan, np.nan, np.nan])


def test_what_rests_on_another_refused_purpose_is_null_as_it_would_be_online(settings: Settings) -> None:
    purposes = {"service": Purpose("service", basis="contract"), **{name: Purpose(name) for name in PURPOSES[1:]}}
    policy = Purposes(purposes, {"plan": "service"})
    events = [
        event(1, "p", START, "identify", "", traits={"plan": "gold", "age": 40}),
        event(2, "p", START, "page", "Home"),
        event(3, "p", START, name="Product Viewed", properties={"category": "shoes"}),
    ]
    archive(settings, (START, 0, [*events, event(4, "q", START, "page", "Home")]))
    assert build(settings, refusing({"p": set(PURPOSES)}, policy)) == Written(4, 2, 0)
    said: tuple[Statement, ...] = (Statement("withdrawn", START, "test"),)
    consent = resolve({"p": Held(dict.fromkeys(PURPOSES, said))}, policy)
    folded = replay(events, Rules())
    expected = profile_values(reveal(merge([folded["p"]]), consent, PURPOSES, policy), START)
    [found] = rows(settings, PROFILE).query("profile_id == 'p'")[[*PROFILE.names]].to_numpy()
    np.testing.assert_array_equal(found, expected)
    asked = ask(settings, ("p", START), ("q", START), columns=["events_total", "page_views_1d", "trait_age"])
    np.testing.assert_array_equal(asked["events_total"], [3, 1])
    np.testing.assert_array_equal(asked["page_views_1d"], [np.nan, 1])
    assert np.isnan(asked["trait_age"][0])


def test_an_objection_also_closes_what_it_includes(settings: Settings) -> None:
    ours = Purpose("ours", basis="legitimate_interests", objection_includes=("analytics",))
    policy = Purposes({**POLICY.purposes, "ours": ours}, {"plan": "service"})
    archive(settings, (START, 0, [event(1, "p", START, "page", "Home")]))
    build(settings, refusing({"p": {"ours"}}, policy))
    assert np.isnan(ask(settings, ("p", START), columns=["page_views_1d"])["page_views_1d"][0])


def test_counts_over_everybody_leave_nobody_out(settings: Settings) -> None:
    archive(settings, (START, 0, [outcome(1, "p", "presented", "gold"), outcome(2, "q", "presented", "gold")]))
    assert build(settings, refusing({"p": {"model_training"}})) == Written(2, 1, 1, left_out=1)
    assert rows(settings, CROSS)["cross_impressions"].tolist() == [2]


def test_cross_rows_are_running_sums(settings: Settings) -> None:
    archive(
        settings,
        (START, 0, [outcome(1, "p", "presented", "gold"), outcome(2, "p", "accepted", "gold")]),
        (START + 1, 1, [outcome(3, "q", "presented", "gold"), outcome(4, "q", "presented", "")]),
    )
    assert build(settings) == Written(4, 2, 3)
    found = rows(settings, CROSS)
    assert found[["action_id", "segment"]].to_numpy().tolist() == [["offer", "gold"], ["offer", ""], ["offer", "gold"]]
    values = [[1, (1 + 20 * 0.25) / 21, 1], [1, (20 * 0.25) / 21, 0], [2, (1 + 20 * 0.25) / 22, 1]]
    np.testing.assert_array_equal(found[[*CROSS.names]].to_numpy(), np.asarray(values, np.float32))


def test_building_again_leaves_nothing_of_the_old_table(settings: Settings) -> None:
    archive(settings, (START, 0, [event(1, "p", START)]))
    assert build(settings) == build(settings)
    files = list(offline_path(settings.data_dir, PROFILE).rglob("*.parquet"))
    assert len(files) == 1
    assert [p.name for p in offline_path(settings.data_dir, PROFILE).parent.iterdir()] == ["profile"]


def stop_halfway(path: Path) -> None:
    with FeatureTable(path, PROFILE) as table:
        table.add(("q",), START, np.ones(len(PROFILE.names), np.float32))
        raise ValueError("halfway")


def test_an_error_leaves_the_old_table(settings: Settings) -> None:
    path = offline_path(settings.data_dir, PROFILE)
    with FeatureTable(path, PROFILE) as table:
        table.add(("p",), START, np.ones(len(PROFILE.names), np.float32))
    with pytest.raises(ValueError, match="halfway"):
        stop_halfway(path)
    assert rows(settings, PROFILE)["profile_id"].tolist() == ["p"]


def test_an_empty_archive_makes_no_tables(settings: Settings) -> None:
    told: list[tuple[int, int]] = []
    assert build_offline(settings, TERMS, lambda done, total: told.append((done, total))) == Written(0, 0, 0)
    assert told == [(0, 0)]
    assert not offline_path(settings.data_dir, PROFILE).exists()
    with pytest.raises(NothingOffline, match="view profile has no offline rows"):
        ask(settings, ("p", START))
