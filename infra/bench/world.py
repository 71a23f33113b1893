"""The made-up installation that decisions are measured on: a catalogue with 20 and with 200 candidates, a trained
response model of usual size, and people with a history. Everything goes in by the ordinary doors."""

import random
import shutil
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import orjson
import yaml

from features.compute import bucket
from features.spec import CATEGORICAL, FEATURES, INDEX, SPEC_HASH, Feature
from infra.bench.bed import Bed
from infra.bench.client import Load, keep_bodies, send
from infra.bench.people import PLANS, history
from infra.config import load
from infra.model_store import ModelStore
from infra.settings import DEMO_CONFIG, Settings
from models.encoding import Encoder, Encoding, crossed_name, encoding_of
from models.registry import Card, Period
from models.scorer import (
    CALIBRATION_FILE,
    CARD_FILE,
    CROSSED_FILE,
    ENCODING_FILE,
    MODEL_FILE,
    SPEC_OF,
    Boosters,
    Calibration,
    Floats,
    Rows,
    used_by,
)

EXAMPLES = 8000
# trees and leaves of what is learned as it is and of what is crossed with the action
PLAIN, CROSSED = (200, 31), (70, 12)
SEED = 7
PARAMETERS = {"objective": "binary", "min_data_in_leaf": 5, "seed": SEED, "verbose": -1, "num_threads": 2}
VERSION = "bench"
SMALL, LARGE = "bench_20", "bench_200"
PURPOSES = ("service", "service", "personalization", "marketing")
REASONS = ("billing", "fault", "move", "cancel", "advice")
PEOPLE = 400
# five clauses, as long as the rules of real catalogues, another for each action and true for everybody made here
RULE = (
    "has(traits.plan) && has(traits.tenure_months) && traits.tenure_months >= -{number} && signals.events_total >= 0.0"
    " && (!has(context.reason) || context.reason != 'none')"
)


def write_config(into: Path) -> Path:
    """The demo's configuration plus 200 actions at two placements of their own."""
    shutil.copytree(DEMO_CONFIG, into)
    path = into / "catalogue.yaml"
    catalogue = yaml.safe_load(path.read_text(encoding="utf-8"))
    catalogue["version"] = VERSION
    catalogue["placements"] += [
        {"id": name, "channel": "voice", "limit": 3, "exploration": {"kind": "epsilon", "share": 0.05}}
        for name in (SMALL, LARGE)
    ]
    catalogue["actions"] += [_action(number) for number in range(200)]
    path.write_text(yaml.safe_dump(catalogue, sort_keys=False), encoding="utf-8")
    return into


def _action(number: int) -> dict[str, Any]:
    return {
        "id": f"bench_action_{number}",
        "title": f"Action {number}",
        "category": f"c{number % 7}",
        "purpose": PURPOSES[number % len(PURPOSES)],
        "channels": ["voice"],
        "placements": [SMALL, LARGE] if number < 20 else [LARGE],
        "content": {"en": "With your {plan} plan this is for you.", "de": "Das passt zu Ihrem Tarif {plan}."},
        "value": 5.0 + number % 40,
        "prior_rate": 0.05 + 0.01 * (number % 20),
        "when": RULE.format(number=number),
        "weights": {"reason:billing": 1.2},
    }


def keep_model(settings: Settings) -> None:
    """A response model in the store, serving: trained on drawn rows, since only its size matters here."""
    draw = np.random.default_rng(SEED)
    catalogue = load(settings.config_dir).catalogue
    known = {
        "action_action": list(catalogue.actions),
        "action_category": list(catalogue.categories),
        "context_reason": list(REASONS),
        "trait_plan": list(PLANS),
    }
    rows = np.stack([_column(feature, known.get(feature.name, []), draw) for feature in FEATURES], axis=1)
    encoding = encoding_of(rows)
    lean = rows[:, INDEX["trait_tenure_months"]] - rows[:, INDEX["contacts_30d"]] + rows[:, INDEX["action_value"]]
    labels = (draw.random(EXAMPLES) < 1.0 / (1.0 + np.exp(-(lean - lean.mean()) / lean.std()))).astype(np.float64)
    encoder = Encoder(encoding)
    encoded, names = encoder.encode(rows), tuple(map(crossed_name, encoding.crosses))
    plain = _grown((encoded, labels), encoding, (), PLAIN)
    boosters = Boosters(plain, _grown((encoder.cross(encoded), labels), encoding, names, CROSSED))
    columns = {name: SPEC_OF[name] for name in used_by(boosters, encoding)}
    store = ModelStore(settings.models_dir)
    store.save(
        VERSION,
        {
            MODEL_FILE: boosters.plain.model_to_string().encode(),
            CROSSED_FILE: boosters.crossed.model_to_string().encode(),
            ENCODING_FILE: msgspec.json.encode(encoding),
            CALIBRATION_FILE: msgspec.json.encode(Calibration("none")),
            CARD_FILE: msgspec.json.encode(_card(columns)),
        },
    )
    store.promote(VERSION, 0, {"code": "bench", "text": "drawn rows, for its size only"})


def _grown(
    table: tuple[Rows, Floats], encoding: Encoding, crossed: tuple[str, ...], size: tuple[int, int]
) -> lightgbm.Booster:
    rows, labels = table
    trees, leaves = size
    data = lightgbm.Dataset(
        rows,
        labels,
        feature_name=[*encoding.columns, *crossed],
        categorical_feature=[*encoding.categories, *crossed],
        params={"verbose": -1},
    )
    return lightgbm.train({**PARAMETERS, "num_leaves": leaves}, data, num_boost_round=trees)


def _column(feature: Feature, values: list[str], draw: np.random.Generator) -> Rows:
    if feature.kind == CATEGORICAL:
        buckets = [bucket(value) for value in values] or [-1.0]
        return draw.choice(np.asarray(buckets, dtype=np.float32), EXAMPLES)
    return draw.lognormal(1.0, 1.0, EXAMPLES).astype(np.float32)


def _card(columns: dict[str, str]) -> Card:
    return Card(
        version=VERSION,
        created=0,
        data=Period(0, 0),
        judged_from=0,
        window=0,
        counts={"fit": EXAMPLES, "stop": 0, "calibrate": 0, "judge": 0},
        left_out={},
        metrics={"ece": 0.0},
        policy={},
        columns=columns,
        spec_hash=SPEC_HASH,
        importance={},
        parameters=PARAMETERS,
        trees=PLAIN[0] + CROSSED[0],
        calibration="none",
        libraries={},
    )


async def seed_people(bed: Bed, count: int = PEOPLE) -> None:
    """People with a dozen events each, through the HTTP door; returns when the stream has applied them."""
    events = [event for user in range(count) for event in history(user)]
    bodies = [orjson.dumps({"batch": events[start : start + 100]}) for start in range(0, len(events), 100)]
    path = keep_bodies(bed.settings.data_dir, "seed", bodies)
    settings = bed.settings
    sent = await send(Load(settings.port, "/v1/batch", path, settings.write_key, count=len(bodies), seconds=60.0))
    if sent.refused() or sent.answered != len(bodies):
        raise RuntimeError(f"the people could not be sent in: {sent.statuses}")
    await bed.quiet()


def questions(placement: str, count: int = PEOPLE) -> list[bytes]:
    """Decision requests about those people, in drawn order."""
    order = random.Random(SEED).sample(range(count), count)
    return [
        orjson.dumps(
            {
                "profile": f"user_id:bench-{user}",
                "placement": placement,
                "context": {"reason": REASONS[user % len(REASONS)], "sentiment": 0.3},
            }
        )
        for user in order
    ]
