"""Feature rows as Delta tables, one per stored view, made anew as a whole: what Feast's offline store reads. Knows the
tables' shape; nothing of how a row comes to be."""

import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from features.compute import Row
from features.views import TIMESTAMP, View

ROWS_PER_FILE = 50_000


def schema_of(view: View) -> pa.Schema:
    """Join keys, the time a change was applied (UTC), float32 columns that are null where a purpose is closed."""
    keys = [(key, pa.string()) for key in view.join_keys]
    return pa.schema([*keys, (TIMESTAMP, pa.timestamp("us", "UTC")), *((name, pa.float32()) for name in view.names)])


class FeatureTable:
    """Collects rows and puts the new table in the old one's place at the end; after an error the old one stays.

    The place is changed by renaming, not by Delta's overwrite: Feast's reader takes every Parquet file it finds, also
    those an overwrite has only marked as gone.
    """

    def __init__(self, path: Path, view: View) -> None:
        self._path = path
        self._fresh = path.with_name(f".{path.name}.new")
        self._view = view
        self._schema = schema_of(view)
        self._keys: list[tuple[str, ...]] = []
        self._times: list[int] = []
        self._values: list[Row] = []
        self.rows = 0

    def add(self, key: tuple[str, ...], at: int, values: Row) -> None:
        """One row as of `at` (ms); `values` is float32 of shape (columns,), NaN for null."""
        self._keys.append(key)
        self._times.append(at)
        self._values.append(values)
        if len(self._keys) >= ROWS_PER_FILE:
            self._write()

    def _write(self) -> None:
        if not self._keys:
            return
        keys = [pa.array(column, pa.string()) for column in zip(*self._keys, strict=True)]
        times = pa.array(np.asarray(self._times, dtype=np.int64) * 1000).cast(self._schema.field(TIMESTAMP).type)
        values = [pa.array(column, pa.float32(), from_pandas=True) for column in np.stack(self._values).T]
        write_deltalake(str(self._fresh), pa.table([*keys, times, *values], schema=self._schema), mode="append")
        self.rows += len(self._keys)
        self._keys, self._times, self._values = [], [], []

    def __enter__(self) -> Self:
        shutil.rmtree(self._fresh, ignore_errors=True)
        self._fresh.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write()
            self._replace()
        shutil.rmtree(self._fresh, ignore_errors=True)

    def _replace(self) -> None:
        old = self._path.with_name(f".{self._path.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if self._path.exists():
            self._path.rename(old)
        if self._fresh.exists():
            self._fresh.rename(self._path)
        shutil.rmtree(old, ignore_errors=True)
