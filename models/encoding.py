"""How a feature vector becomes what a booster reads: categories renumbered from 0 without gaps, and each one crossed
with the action. Knows nothing of learning; it is stored with the model and serving applies it the same way."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from features.spec import BUCKETS, CATEGORICAL, COLUMNS, FEATURES, INDEX

Rows = npt.NDArray[np.float32]
CATEGORIES = tuple(feature.name for feature in FEATURES if feature.kind == CATEGORICAL)
ACTION = "action_action"
# what an action is about does not vary for one action, so crossing the two says nothing new
BESIDE = tuple(f.name for f in FEATURES if f.kind == CATEGORICAL and f.view != "action")
ABOUT_ACTION = tuple(f.name for f in FEATURES if f.kind == CATEGORICAL and f.view == "action")


class Encoding(msgspec.Struct, frozen=True):
    """Columns in order; for each categorical one the buckets seen while learning, in order of their number; and for
    each that is crossed with the action the pairs seen, as action number times categories plus category number."""

    columns: tuple[str, ...]
    categories: dict[str, tuple[int, ...]]
    crosses: dict[str, tuple[int, ...]] = {}


def encoding_of(rows: Rows) -> Encoding:
    """The encoding that knows every category of these rows, shape (rows, len(COLUMNS)), and every pair."""
    categories = {name: _buckets(rows[:, INDEX[name]]) for name in CATEGORIES}
    encoded = Encoder(Encoding(COLUMNS, categories)).encode(rows)
    action = encoded[:, INDEX[ACTION]]
    pairs = {name: action * len(categories[name]) + encoded[:, INDEX[name]] for name in BESIDE}
    return Encoding(COLUMNS, categories, {name: _buckets(codes) for name, codes in pairs.items()})


def crossed_name(column: str) -> str:
    """What the crossed column is called in a booster."""
    return f"{ACTION}_x_{column}"


def _buckets(values: npt.NDArray[np.float32]) -> tuple[int, ...]:
    return tuple(int(value) for value in np.unique(values) if value >= 0.0)


class Encoder:
    """Applies an encoding. A category never seen, an absent and a masked one are all missing (NaN); so is every column
    that today's spec no longer has."""

    def __init__(self, encoding: Encoding) -> None:
        self._whole = encoding.columns == COLUMNS
        self._width = len(encoding.columns)
        self._to = [at for at, name in enumerate(encoding.columns) if name in INDEX]
        self._from = [INDEX[encoding.columns[at]] for at in self._to]
        self._places = np.asarray([encoding.columns.index(name) for name in encoding.categories], dtype=np.int64)
        self._tables = _tables(list(encoding.categories.values()))
        self._each = np.arange(len(self._places))
        crosses = list(encoding.crosses)
        self._action = encoding.columns.index(ACTION) if crosses else -1
        self._actions = len(encoding.categories[ACTION]) if crosses else 0
        self._beside = [encoding.columns.index(name) for name in crosses]
        sizes = [(len(encoding.categories[ACTION]), len(encoding.categories[name])) for name in crosses]
        tables = [_pairs(size, codes) for size, codes in zip(sizes, encoding.crosses.values(), strict=True)]
        # all of them in one array, so that one look finds every pair
        self._pairs = np.concatenate([table.ravel() for table in tables] or [np.empty(0, dtype=np.float32)])
        self._others = np.asarray([others for _, others in sizes], dtype=np.int64)
        self._starts = np.cumsum([0, *(table.size for table in tables)])[:-1]

    def encode(self, rows: Rows) -> Rows:
        """Shape (rows, len(COLUMNS)) to (rows, len(encoding.columns)), float32."""
        if self._whole:
            read = np.array(rows, dtype=np.float32)
        else:
            read = np.full((len(rows), self._width), np.nan, dtype=np.float32)
            read[:, self._to] = rows[:, self._from]
        found = read[:, self._places]
        slots = np.where(found >= 0.0, found, np.float32(BUCKETS)).astype(np.int64)
        read[:, self._places] = self._tables[self._each, slots]
        return read

    def cross(self, encoded: Rows) -> Rows:
        """Encoded rows with the crossed columns beside them: shape (rows, len(columns) + len(crosses))."""
        actions = _slots(encoded[:, self._action, None], self._actions)
        others = _slots(encoded[:, self._beside], self._others)
        made = self._pairs[self._starts + actions * (self._others + 1) + others]
        return np.concatenate([encoded, made], axis=1)

    def met(self, encoded: Rows) -> npt.NDArray[np.bool_]:
        """Whether each row's action was seen while learning: shape (rows,)."""
        return ~np.isnan(encoded[:, self._action])


def _slots(numbers: Rows, missing: int | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Numbers as places in a table, where `missing` is the place of what has none."""
    return np.where(np.isnan(numbers), missing, numbers).astype(np.int64)


def _pairs(size: tuple[int, int], codes: Sequence[int]) -> Rows:
    """(action number, category number) to the number of the pair, shape (actions + 1, categories + 1)."""
    actions, others = size
    table = np.full((actions + 1, others + 1), np.nan, dtype=np.float32)
    for number, code in enumerate(codes):
        table[divmod(code, others)] = number
    return table


def _tables(categories: Sequence[Sequence[int]]) -> Rows:
    """Bucket to number per column, shape (columns, BUCKETS + 1); the last slot stands for missing."""
    tables = np.full((len(categories), BUCKETS + 1), np.nan, dtype=np.float32)
    for table, buckets in zip(tables, categories, strict=True):
        table[list(buckets)] = np.arange(len(buckets))
    return tables
