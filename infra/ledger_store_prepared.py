"""SQL that is asked again and again, compiled once: building a statement anew costs several times its execution. Knows
SQLAlchemy's compiler and the driver's parameters; nothing of what is asked."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, CursorResult, Select
from sqlalchemy.sql.dml import UpdateBase


class _Text(msgspec.Struct, frozen=True):
    """A statement in one dialect: `order` names its parameters where they are told apart by place."""

    sql: str
    fixed: Mapping[str, Any]
    order: tuple[str, ...] | None

    def filled(self, values: Mapping[str, Any]) -> Any:
        named = {**self.fixed, **values}
        return named if self.order is None else tuple(named[name] for name in self.order)


class Prepared:
    """One statement for every dialect it meets. Values go to the driver as they are: numbers, text and bytes only."""

    def __init__(self, statement: Select[Any] | UpdateBase) -> None:
        self._statement = statement
        self._texts: dict[tuple[str, str], _Text] = {}

    def run(self, connection: Connection, **values: Any) -> CursorResult[Any]:
        """Executed with these values for its parameters. Raises what SQLAlchemy raises."""
        text = self._text(connection)
        return connection.exec_driver_sql(text.sql, text.filled(values))

    def run_each(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Executed once for each of one or more rows of values."""
        text = self._text(connection)
        connection.exec_driver_sql(text.sql, [text.filled(values) for values in rows])

    def _text(self, connection: Connection) -> _Text:
        dialect = connection.dialect
        key = (dialect.name, dialect.driver)
        if key not in self._texts:
            compiled: Any = self._statement.compile(dialect=dialect)
            order = tuple(compiled.positiontup) if compiled.positional else None
            self._texts[key] = _Text(str(compiled), dict(compiled.params), order)
        return self._texts[key]
