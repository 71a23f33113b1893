"""The only way a feature value comes to be: from what may be seen, the context and the time. Pure; knows nothing of
Feast, of models or of storage, and gets no `Profile`, only a `Visible`."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engine.catalog import Action
from engine.consent import Visible
from engine.parts import PAIR_PURPOSE
from engine.signals import DAY, value_at
from features.spec import BUCKETS, BY_VIEW, COLUMNS, INDEX, TRAIT_OF, Feature

Row = npt.NDArray[np.float32]
NAN = float("nan")
SMOOTHING = 20.0
LARGEST = 3e38


class Context(msgspec.Struct, frozen=True):
    """What a request says about the moment; `values` come from the caller as they are."""

    placement: str
    values: Mapping[str, Any] = {}


class CrossCounts(msgspec.Struct, frozen=True):
    """Impressions and acceptances of one action in one segment, over everybody."""

    impressions: float = 0.0
    accepted: float = 0.0


def bucket(value: Any) -> float:
    """A categorical value as a stable number in [0, BUCKETS); absent is -1."""
    if value is None or value == "":
        return -1.0
    return float(zlib.crc32(str(value).encode()) % BUCKETS)


def _number(value: Any, default: float) -> float:
    """The number as far as a float32 can hold it; anything else is the default."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        return default
    return float(value)


def _decayed(feature: Feature, seen: Visible, at: int) -> float:
    signal = seen.signals.get(feature.argument)
    return feature.default if signal is None else value_at(signal, feature.half_life, at)


def _recency(feature: Feature, seen: Visible, at: int) -> float:
    signal = seen.signals.get(feature.argument)
    return feature.default if signal is None else max(at - signal.last, 0) / DAY


def _total(feature: Feature, seen: Visible, _at: int) -> float:
    signal = seen.signals.get(feature.argument)
    return feature.default if signal is None else float(signal.total)


def _open_issues(_feature: Feature, seen: Visible, _at: int) -> float:
    return float(sum(1 for issue in seen.issues.values() if issue.open))


def _known(feature: Feature, seen: Visible, at: int) -> float:
    return max(at - seen.first, 0) / DAY if seen.first else feature.default


def _trait(feature: Feature, seen: Visible, _at: int) -> float:
    trait = seen.traits.get(feature.argument)
    return _without(feature, seen) if trait is None else bucket(trait.value)


def _number_trait(feature: Feature, seen: Visible, _at: int) -> float:
    trait = seen.traits.get(feature.argument)
    return _without(feature, seen) if trait is None else _number(trait.value, feature.default)


def _without(feature: Feature, seen: Visible) -> float:
    """A trait that is there and may not be seen is masked, not absent, whatever purpose its column has."""
    return NAN if feature.argument in seen.hidden else feature.default


def _latest(feature: Feature, seen: Visible, _at: int) -> float:
    mark = seen.latest.get(feature.argument)
    return feature.default if mark is None else bucket(mark.value)


_PROFILE: dict[str, Callable[[Feature, Visible, int], float]] = {
    "decayed": _decayed,
    "recency": _recency,
    "total": _total,
    "open_issues": _open_issues,
    "known": _known,
    "trait": _trait,
    "number_trait": _number_trait,
    "latest": _latest,
}
_CONTEXT: dict[str, Callable[[Feature, Context, datetime], float]] = {
    "context": lambda f, c, _: bucket(c.values.get(f.argument)),
    "context_number": lambda f, c, _: _number(c.values.get(f.argument), f.default),
    "placement": lambda _f, c, _: bucket(c.placement),
    "hour": lambda _f, _c, now: float(now.hour),
    "weekday": lambda _f, _c, now: float(now.weekday()),
}


def profile_values(seen: Visible, at: int) -> Row:
    """The profile view at `at` (ms): float32 of shape (profile features,), NaN where a purpose is closed."""
    open_to = frozenset(seen.purposes)
    values = [_PROFILE[f.source](f, seen, at) if f.purpose in open_to else NAN for f in BY_VIEW["profile"]]
    return np.asarray(values, dtype=np.float32)


def context_values(context: Context, at: int) -> Row:
    now = datetime.fromtimestamp(at / 1000, UTC)
    return np.asarray([_CONTEXT[f.source](f, context, now) for f in BY_VIEW["context"]], dtype=np.float32)


def action_values(action: Action) -> Row:
    by_name = {
        "action": bucket(action.id),
        "category": bucket(action.category),
        "value": action.value,
        "cost": action.cost,
        "prior_rate": action.prior_rate,
    }
    return np.asarray([by_name[f.argument] for f in BY_VIEW["action"]], dtype=np.float32)


def pair_values(seen: Visible, action: Action, at: int) -> Row:
    """The pair view for one action: the person's own history with its category; NaN where its purpose is closed."""
    return np.asarray(_pair_list(seen, action.category, action.id, at), dtype=np.float32)


def _pair_list(seen: Visible, category: str, action_id: str, at: int) -> list[float]:
    if PAIR_PURPOSE not in seen.purposes:
        return [NAN] * len(BY_VIEW["pair"])
    same = {"category": category, "action": action_id}
    held = [(feature, seen.signals.get(name)) for feature, name in _pair_names(category)]
    values = [f.default if signal is None else value_at(signal, f.half_life, at) for f, signal in held]
    marks = ((seen.latest.get(f.argument), same[f.argument]) for f in _SAME)
    return values + [1.0 if mark is not None and mark.value == wanted else 0.0 for mark, wanted in marks]


_SAME = tuple(feature for feature in BY_VIEW["pair"] if feature.source == "same")


@lru_cache(maxsize=4096)
def _pair_names(category: str) -> tuple[tuple[Feature, str], ...]:
    """The decayed pair features with the signal each reads; the spec lists them before the others."""
    return tuple((f, f"{f.argument}@{category}") for f in BY_VIEW["pair"] if f.source == "pair")


def cross_values(action: Action, counts: CrossCounts) -> Row:
    """Impressions and the acceptance rate, drawn towards `prior_rate` with the weight of 20 impressions."""
    return np.asarray(_cross_list(action, counts), dtype=np.float32)


def _cross_list(action: Action, counts: CrossCounts) -> tuple[float, float]:
    rate = (counts.accepted + SMOOTHING * action.prior_rate) / (max(counts.impressions, counts.accepted) + SMOOTHING)
    return counts.impressions, rate


_SLICES: dict[str, slice] = {
    view: slice(INDEX[features[0].name], INDEX[features[0].name] + len(features)) for view, features in BY_VIEW.items()
}


class Observed(msgspec.Struct, frozen=True, eq=False):
    """A `Visible` with its profile view at one moment, so that rules and rows share one computation."""

    visible: Visible
    profile: Row

    @property
    def signals(self) -> dict[str, float]:
        """The open profile features by column name: what rules may look at. Masked ones are absent."""
        return {
            name: value for name, value in zip(_PROFILE_NAMES, self.profile.tolist(), strict=True) if value == value
        }


_PROFILE_NAMES = tuple(feature.name for feature in BY_VIEW["profile"])


def observe(visible: Visible, at: int) -> Observed:
    return Observed(visible, profile_values(visible, at))


class Offer(msgspec.Struct, frozen=True):
    """What rows are made of besides the person: actions with `cross` parallel to them, the context and `at` in ms.

    `views` may hold `action_values` of the same actions, shape (actions, action features), made beforehand.
    """

    actions: Sequence[Action]
    cross: Sequence[CrossCounts]
    context: Context
    at: int
    views: Row | None = None


def fill(seen: Sequence[Observed], offer: Offer) -> Row:
    """One row per action of the offer, `seen` parallel to them: float32 of shape (actions, len(COLUMNS))."""
    rows = np.empty((len(offer.actions), len(COLUMNS)), dtype=np.float32)
    if not offer.actions:
        return rows
    rows[:, _SLICES["context"]] = context_values(offer.context, offer.at)
    rows[:, _SLICES["action"]] = [action_values(a) for a in offer.actions] if offer.views is None else offer.views
    rows[:, _SLICES["cross"]] = [_cross_list(a, c) for a, c in zip(offer.actions, offer.cross, strict=True)]
    # few people have more than two views of themselves, and few actions a category of their own: each is made once
    views: dict[int, int] = {}
    pairs: dict[tuple[int, str, str], int] = {}
    profiles: list[Row] = []
    histories: list[list[float]] = []
    whose, whats = [], []
    for one, action in zip(seen, offer.actions, strict=True):
        view = views.setdefault(id(one), len(profiles))
        if view == len(profiles):
            profiles.append(one.profile)
        last = one.visible.latest.get("action")
        key = (view, action.category, action.id if last is not None and last.value == action.id else "")
        pair = pairs.setdefault(key, len(histories))
        if pair == len(histories):
            histories.append(_pair_list(one.visible, action.category, action.id, offer.at))
        whose.append(view)
        whats.append(pair)
    rows[:, _SLICES["profile"]] = np.asarray(profiles)[whose]
    rows[:, _SLICES["pair"]] = np.asarray(histories, dtype=np.float32)[whats]
    return rows


def vectors(
    seen: Mapping[str, Visible], actions: Sequence[Action], context: Context, cross: Sequence[CrossCounts], at: int
) -> Row:
    """One row per action, each masked for its own action's purpose: float32 of shape (actions, len(COLUMNS)).

    `seen` maps a purpose to what may be seen for it; `cross` runs parallel to `actions`; `at` in ms.
    """
    made: dict[int, Observed] = {}
    for visible in (seen[action.purpose] for action in actions):
        if id(visible) not in made:
            made[id(visible)] = observe(visible, at)
    return fill([made[id(seen[action.purpose])] for action in actions], Offer(actions, cross, context, at))


def signals_by_name(seen: Visible, at: int) -> dict[str, float]:
    """The open profile features by column name: what rules may look at. Masked ones are absent."""
    return observe(seen, at).signals


def masked_columns(seen: Visible) -> tuple[str, ...]:
    """Columns that are NaN because a purpose is closed: the column's own, or that of the trait it shows."""
    views = ("profile", "pair")
    closed = tuple(f.name for view in views for f in BY_VIEW[view] if f.purpose not in seen.purposes)
    return (*closed, *(_SHOWING[name] for name in seen.hidden if name in _SHOWING))


_SHOWING = {trait: name for name, trait in TRAIT_OF.items()}
