"""Our writer and reader against `feast.FeatureStore`, value for value and byte for byte, in both directions."""

from typing import Any

import numpy as np
import pandas as pd
from feast import FeatureStore

from engine.catalog import Action
from features.compute import CrossCounts
from features.cross import cross_row
from features.views import CROSS, PROFILE, SERVICE, View
from infra.feast_layout import Rows, layout_of
from infra.redis_store import RedisClient
from infra.redis_store_features import ProfileRow, RedisFeatures, StoredRow

AT = 1_700_000_000_123
OFFER = Action("offer", "Offer", "upgrade", "service", ("voice",), ("agent_desktop",), {"en": "…"}, 10.0, 0.25)


def some_rows(count: int, seed: int = 7) -> Rows:
    """Values of every magnitude, and every kind of hole and edge."""
    draw = np.random.default_rng(seed)
    scale = 10.0 ** draw.integers(-6, 7, len(PROFILE.names))
    rows = (draw.standard_normal((count, len(PROFILE.names))) * scale).astype(np.float32)
    rows[draw.random(rows.shape) < 0.2] = np.nan
    rows[0, :4] = np.asarray([0.0, -0.0, -1.0, np.finfo(np.float32).max], dtype=np.float32)
    return rows


def asked(store: FeatureStore, view: View, entities: list[dict[str, str]]) -> Rows:
    """What Feast's client answers: float32 of shape (entities, columns), NaN for None."""
    references = [f"{view.name}:{name}" for name in view.names]
    answer = store.get_online_features(features=references, entity_rows=entities).to_dict()
    columns = [[np.nan if value is None else value for value in answer[name]] for name in view.names]
    return np.asarray(columns, dtype=np.float32).T


def frame(view: View, keys: dict[str, list[str]], rows: Rows, at: int = AT) -> pd.DataFrame:
    times = {"event_timestamp": [pd.Timestamp(at, unit="ms", tz="UTC")] * len(rows)}
    return pd.DataFrame({**keys, **times, **{name: rows[:, n] for n, name in enumerate(view.names)}})


def values(row: StoredRow | None) -> Any:
    assert row is not None
    return row.values


async def test_feast_reads_what_we_write(feast: FeatureStore, features: RedisFeatures) -> None:
    rows, ids = some_rows(20), [f"p{n}" for n in range(20)]
    assert (
        await features.write_profiles([ProfileRow(i, (1, 0, 1), AT, r) for i, r in zip(ids, rows, strict=True)]) == 20
    )
    np.testing.assert_array_equal(asked(feast, PROFILE, [{"profile_id": i} for i in ids]), rows)


async def test_we_read_what_feast_pushes(feast: FeatureStore, features: RedisFeatures) -> None:
    rows, ids = some_rows(20), [f"p{n}" for n in range(20)]
    feast.push(PROFILE.push_source, frame(PROFILE, {"profile_id": ids}, rows))
    found = await features.read_profiles(ids)
    np.testing.assert_array_equal([values(row) for row in found], rows)
    assert {row.at for row in found if row is not None} == {AT}


async def test_both_leave_the_same_bytes_and_we_no_nulls(
    feast: FeatureStore, features: RedisFeatures, redis: RedisClient
) -> None:
    layout, rows = layout_of(PROFILE), some_rows(1)
    await features.write_profiles([ProfileRow("ours", (1, 0, 1), AT, rows[0])])
    feast.push(PROFILE.push_source, frame(PROFILE, {"profile_id": ["theirs"]}, rows))
    ours = await redis.hgetall(layout.key("ours"))
    assert ours.pop(layout.version_field)
    theirs = await redis.hgetall(layout.key("theirs"))
    assert ours == {field: value for field, value in theirs.items() if value}
    assert len(theirs) - len(ours) == np.isnan(rows[0]).sum() > 0


async def test_an_unknown_entity_is_all_null_to_feast_and_nothing_to_us(
    feast: FeatureStore, features: RedisFeatures
) -> None:
    assert np.isnan(asked(feast, PROFILE, [{"profile_id": "nobody"}])).all()
    assert await features.read_profile("nobody") is None


async def test_a_masked_column_is_none_to_feast(feast: FeatureStore, features: RedisFeatures) -> None:
    row = np.ones(len(PROFILE.names), dtype=np.float32)
    row[3] = np.nan
    await features.write_profiles([ProfileRow("p", (1, 0, 1), AT, row)])
    references = [f"profile:{name}" for name in PROFILE.names]
    answer = feast.get_online_features(features=references, entity_rows=[{"profile_id": "p"}]).to_dict()
    assert [name for name in PROFILE.names if answer[name] == [None]] == [PROFILE.names[3]]


async def test_what_became_null_is_gone_whoever_wrote_it(feast: FeatureStore, features: RedisFeatures) -> None:
    rows, ids = np.ones((2, len(PROFILE.names)), dtype=np.float32), ["ours", "theirs"]
    await features.write_profiles([ProfileRow("ours", (1, 0, 1), AT, rows[0])])
    feast.push(PROFILE.push_source, frame(PROFILE, {"profile_id": ["theirs"]}, rows[1:]))
    rows[:, 1:] = np.nan
    later = [ProfileRow(i, (1, 1, 1), AT + 1, row) for i, row in zip(ids, rows, strict=True)]
    assert await features.write_profiles(later) == 2
    np.testing.assert_array_equal(asked(feast, PROFILE, [{"profile_id": i} for i in ids]), rows)
    np.testing.assert_array_equal([values(row) for row in await features.read_profiles(ids)], rows)


async def test_a_removed_profile_is_gone_for_feast_too(feast: FeatureStore, features: RedisFeatures) -> None:
    await features.write_profiles([ProfileRow("p", (1, 0, 1), AT, some_rows(1)[0])])
    assert await features.remove_profile("p", 2)
    assert np.isnan(asked(feast, PROFILE, [{"profile_id": "p"}])).all()


async def test_cross_rows_agree_both_ways(feast: FeatureStore, features: RedisFeatures) -> None:
    counts = {
        ("offer", "gold"): CrossCounts(100, 7),
        ("offer", ""): CrossCounts(3, 0),
        ("gone", "ü|x"): CrossCounts(9, 1),
    }
    assert await features.write_cross(counts, {"offer": OFFER}, AT) == 3
    entities = [{"action_id": action, "segment": segment} for action, segment in counts]
    expected = np.stack([cross_row(OFFER if a == "offer" else None, c) for (a, _), c in counts.items()])
    np.testing.assert_array_equal(asked(feast, CROSS, entities), expected)
    assert await features.cross_counts() == {key: (c.impressions, c.accepted) for key, c in counts.items()}

    pushed = np.asarray([[101.0, 0.5, 8.0]], dtype=np.float32)
    feast.push(CROSS.push_source, frame(CROSS, {"action_id": ["offer"], "segment": ["gold"]}, pushed, AT + 1))
    np.testing.assert_array_equal(values(await features.read_cross("offer", "gold")), pushed[0])
    assert (await features.cross_counts())["offer", "gold"] == (101.0, 8.0)


async def test_the_service_names_every_stored_column(feast: FeatureStore, features: RedisFeatures) -> None:
    rows = some_rows(1)
    await features.write_profiles([ProfileRow("p", (1, 0, 1), AT, rows[0])])
    await features.write_cross({("offer", "gold"): CrossCounts(4, 1)}, {"offer": OFFER}, AT)
    entity = {"profile_id": "p", "action_id": "offer", "segment": "gold"}
    answer = feast.get_online_features(features=feast.get_feature_service(SERVICE), entity_rows=[entity]).to_dict()
    assert set(answer) == {*entity, *PROFILE.names, *CROSS.names}
    assert answer["cross_accepted"] == [1.0]
    assert answer[PROFILE.names[2]] == [rows[0, 2]]
