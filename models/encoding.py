"""How a feature vector becomes what a booster reads: categories renumbered from 0, and pairs of action and context as
columns of their own. Knows nothing of learning; it is stored with the model and serving applies it the same way."""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from features.spec import BUCKETS, CATEGORICAL, COLUMNS, FEATURES, INDEX

Rows = npt.NDArray[np.float32]
TIMES = " x "
ACTION = "action_action"
CATEGORIES = tuple(feature.name for feature in FEATURES if feature.kind == CATEGORICAL)
# An action's chance turns on who it is for and why they call; a tree needs many splits to find one such cell, and a
# column for the pair shows it whole.
CROSSED = tuple(name for name in CATEGORIES if name not in (ACTION, "action_category", "context_placement"))


class Encoding(msgspec.Struct, frozen=True):
    """Columns in order; for each categorical one the buckets seen while learning, in order of their number; and the
    pairs of categorical columns that make a column together."""

    columns: tuple[str, ...]
    categories: dict[str, tuple[int, ...]]
    crosses: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The booster's columns, as `Encoder.encode` orders them."""
        return (*self.columns, *(TIMES.join(pair) for pair in self.crosses))

    @property
    def categorical(self) -> tuple[str, ...]:
        return (*self.categories, *(TIMES.join(pair) for pair in self.crosses))


def encoding_of(rows: Rows) -> Encoding:
    """The encoding that knows every category of these rows, shape (rows, len(COLUMNS)), and crosses with the action."""
    categories = {name: tuple(_buckets(rows[:, INDEX[name]])) for name in CATEGORIES}
    crosses = tuple((ACTION, name) for name in CROSSED if len(categories[name]) > 1)
    return Encoding(COLUMNS, categories, crosses)


def _buckets(values: npt.NDArray[np.float32]) -> Iterator[int]:
    return (int(value) for value in np.unique(values) if value >= 0.0)


def parts(name: str) -> tuple[str, ...]:
    """The feature columns behind one of the booster's columns."""
    return tuple(name.split(TIMES))


class Encoder:
    """Applies an encoding. A category never seen, an absent and a masked one are all missing (NaN); so is every column
    that today's spec no longer has."""

    def __init__(self, encoding: Encoding) -> None:
        self._whole = encoding.columns == COLUMNS
        self._from = [INDEX[name] for name in encoding.columns if name in INDEX]
        self._to = [at for at, name in enumerate(encoding.columns) if name in INDEX]
        self._width = len(encoding.columns)
        names = list(encoding.categories)
        self._places = np.asarray([encoding.columns.index(name) for name in names], dtype=np.int64)
        self._codes = _tables([encoding.categories[name] for name in names])
        self._left = np.asarray([names.index(left) for left, _ in encoding.crosses], dtype=np.int64)
        self._right = np.asarray([names.index(right) for _, right in encoding.crosses], dtype=np.int64)
        self._sizes = np.asarray([len(encoding.categories[right]) for _, right in encoding.crosses], dtype=np.float32)

    def encode(self, rows: Rows) -> Rows:
        """Shape (rows, len(COLUMNS)) to (rows, len(encoding.names)), float32."""
        read = np.empty((len(rows), self._width + len(self._left)), dtype=np.float32)
        if self._whole:
            read[:, : self._width] = rows
        else:
            read[:, : self._width] = np.nan
            read[:, self._to] = rows[:, self._from]
        found = read[:, self._places]
        slots = np.where(found >= 0.0, found, np.float32(BUCKETS)).astype(np.int64)
        codes = self._codes[np.arange(len(self._places)), slots]
        read[:, self._places] = codes
        read[:, self._width :] = codes[:, self._left] * self._sizes + codes[:, self._right]
        return read


def _tables(categories: Sequence[Sequence[int]]) -> Rows:
    """Bucket to number per column, shape (columns, BUCKETS + 1); the last slot stands for missing."""
    tables = np.full((len(categories), BUCKETS + 1), np.nan, dtype=np.float32)
    for table, buckets in zip(tables, categories, strict=True):
        table[list(buckets)] = np.arange(len(buckets))
    return tables
