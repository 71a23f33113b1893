"""How a feature vector becomes what a booster reads: categories renumbered from 0 without gaps. Knows nothing of
learning; it is stored with the model and serving applies it the same way."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from features.spec import BUCKETS, CATEGORICAL, COLUMNS, FEATURES, INDEX

Rows = npt.NDArray[np.float32]
CATEGORIES = tuple(feature.name for feature in FEATURES if feature.kind == CATEGORICAL)


class Encoding(msgspec.Struct, frozen=True):
    """Columns in order, and for each categorical one the buckets seen while learning, in order of their number."""

    columns: tuple[str, ...]
    categories: dict[str, tuple[int, ...]]


def encoding_of(rows: Rows) -> Encoding:
    """The encoding that knows every category of these rows, shape (rows, len(COLUMNS))."""
    return Encoding(COLUMNS, {name: _buckets(rows[:, INDEX[name]]) for name in CATEGORIES})


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


def _tables(categories: Sequence[Sequence[int]]) -> Rows:
    """Bucket to number per column, shape (columns, BUCKETS + 1); the last slot stands for missing."""
    tables = np.full((len(categories), BUCKETS + 1), np.nan, dtype=np.float32)
    for table, buckets in zip(tables, categories, strict=True):
        table[list(buckets)] = np.arange(len(buckets))
    return tables
