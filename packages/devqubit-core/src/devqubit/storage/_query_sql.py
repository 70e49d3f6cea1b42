"""A query as SQL over the index. Whatever a user wrote is bound, never text of the SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from devqubit.storage._query import (
    MOMENTS,
    Both,
    Comparison,
    Either,
    Exists,
    Node,
    Not,
    Value,
    parse_field,
)
from devqubit.storage._rows import instant, storable

__all__ = ["search"]

# The columns of `runs` that a field is, by its name. A group has an id and a name.
_COLUMNS: Final = {
    "adapter": ("adapter",),
    "backend": ("backend_name",),
    "created_at": ("created_at",),
    "ended_at": ("ended_at",),
    "fingerprint": ("fingerprint",),
    "group": ("group_id", "group_name"),
    "name": ("run_name",),
    "project": ("project",),
    "status": ("status",),
}
_MOMENT_COLUMNS: Final = {"created_at": "created", "ended_at": "ended"}
_NEWEST: Final = "r.created DESC, r.run_id DESC"
_NUMERIC: Final = frozenset({"=", ">", ">=", "<", "<="})

_FEW: Final = 2_000
"""Up to so many runs, a condition on a field is looked up once and kept as a set; a field
that more have is looked at in each run, newest first, until enough are found."""


class Sql(NamedTuple):
    """Text of SQL, and the values bound to it, in order."""

    text: str
    values: tuple[Any, ...] = ()


def search(
    connection: sqlite3.Connection,
    node: Node | None,
    *,
    sort_by: str | None,
    descending: bool,
    limit: int,
    offset: int,
) -> list[tuple[str, bytes]]:
    """Version and record of the runs that match.

    Args:
        connection: The index.
        node: The query; None for all.
        sort_by: A field; None sorts by creation. Runs without it come last.
        descending: Largest first.
        limit: How many at most.
        offset: How many to pass over first.

    Raises:
        QueryParseError: `sort_by` is no field.
    """
    field = parse_field(sort_by or "created_at")
    parts: list[Node] = list(node.parts) if isinstance(node, Both) else [node] if node else []
    compiler = _Compiler(connection)
    source, where, order = compiler.sorted_runs(field, "DESC" if descending else "ASC", parts)
    text = f"SELECT r.id FROM {source.text} WHERE {where.text} ORDER BY {order} LIMIT ? OFFSET ?"
    found = connection.execute(text, (*source.values, *where.values, limit, offset)).fetchall()
    return [_record(connection, run) for (run,) in found]


def _record(connection: sqlite3.Connection, run: int) -> tuple[str, bytes]:
    statement = "SELECT version, record FROM runs JOIN records USING (id) WHERE id = ?"
    version, record = connection.execute(statement, (run,)).fetchone()
    return version, record


class _Compiler:
    """Writes conditions on the rows `r` of `runs`, by what is in the index."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def sorted_runs(self, field: str, direction: str, parts: list[Node]) -> tuple[Sql, Sql, str]:
        """What to select from, under which conditions, in which order."""
        driver = next((part for part in parts if _gives_order(part, field)), None)
        if isinstance(driver, Comparison):
            # The field that sorts is limited too: its index gives those runs, in order.
            rest = [self._condition(part) for part in parts if part is not driver]
            test = _value_test(driver.operator, driver.value)
            first = Sql(f"s.name = ? AND s.{test.text}", (self._name(field), *test.values))
            source = Sql("fields s CROSS JOIN runs r ON r.id = s.run")
            return source, _joined(" AND ", [first, *rest]), f"s.number {direction}, {_NEWEST}"
        where = _joined(" AND ", [Sql("1"), *map(self._condition, parts)])
        if "." in field:
            join = "runs r LEFT JOIN fields s ON s.run = r.id AND s.name = ?"
            # Numbers, then texts; a text that is a number is equal to it.
            text = "CASE WHEN s.number IS NULL THEN s.text END"
            none = "s.number IS NULL AND s.text IS NULL"
            order = f"s.number IS NULL, s.number {direction}, {none}, {text} {direction}"
            return Sql(join, (self._name(field),)), where, f"{order}, {_NEWEST}"
        return Sql("runs r"), where, _column_order(field, direction)

    def _condition(self, node: Node) -> Sql:
        if isinstance(node, Not):
            inner = self._condition(node.inner)
            return Sql(f"NOT {inner.text}", inner.values)
        if isinstance(node, Both):
            return _joined(" AND ", map(self._condition, node.parts))
        if isinstance(node, Either):
            return _joined(" OR ", map(self._condition, node.parts))
        return self._on_field(node) if "." in node.field else _on_columns(node)

    def _on_field(self, node: Comparison | Exists) -> Sql:
        """A condition on what a run logged: on one of its rows of `fields`."""
        test = Sql("1") if isinstance(node, Exists) else _value_test(node.operator, node.value)
        values = (self._name(node.field), *test.values)
        few = self._connection.execute(
            f"SELECT 1 FROM fields WHERE name = ? AND {test.text} LIMIT 1 OFFSET {_FEW}", values
        )
        if few.fetchone() is None:
            return Sql(f"r.id IN (SELECT run FROM fields WHERE name = ? AND {test.text})", values)
        return Sql(
            f"EXISTS (SELECT 1 FROM fields WHERE run = r.id AND name = ? AND {test.text})", values
        )

    def _name(self, field: str) -> int:
        """The number of a field's name, or one that none has."""
        found = self._connection.execute("SELECT id FROM names WHERE name = ?", (storable(field),))
        return int((found.fetchone() or (-1,))[0])


def _gives_order(part: Node, field: str) -> bool:
    return (
        "." in field
        and isinstance(part, Comparison)
        and part.field == field
        and part.operator in _NUMERIC
        and part.value.number is not None
    )


def _value_test(operator: str, value: Value) -> Sql:
    if operator == "~":
        return _contains("coalesce(text, number)", value)
    column, bound = (
        ("text", storable(value.text)) if value.number is None else ("number", value.number)
    )
    return Sql(f"{column} {'IS NOT' if operator == '!=' else operator} ?", (bound,))


def _on_columns(node: Comparison | Exists) -> Sql:
    columns = _COLUMNS[node.field]
    if isinstance(node, Exists):
        return _joined(" OR ", (Sql(f"ifnull(r.{column}, '') != ''") for column in columns))
    if node.operator == "!=":
        equal = _on_columns(Comparison(node.field, "=", node.value))
        some = _on_columns(Exists(node.field))
        return _joined(" AND ", [some, Sql(f"NOT {equal.text}", equal.values)])
    return _joined(" OR ", (_column_test(node, column) for column in columns))


def _column_test(node: Comparison, column: str) -> Sql:
    if node.operator == "~":
        test = _contains(f"r.{column}", node.value)
        return Sql(f"ifnull({test.text} AND r.{column} != '', 0)", test.values)
    if node.field in MOMENTS:
        moment = instant(node.value.text)
        column = _MOMENT_COLUMNS[node.field]
        test_text = f"r.{column} {node.operator} ? AND r.{column} > -9e999"
        return Sql(f"(({test_text}) IS TRUE)", (moment.timestamp() if moment else None,))
    text = storable(node.value.text)
    if node.operator == "=":  # IS knows no NULL, and uses the column's index
        return Sql(f"r.{column} IS ?", (text,)) if text else Sql("0")
    return Sql(f"((r.{column} {node.operator} ? AND r.{column} != '') IS TRUE)", (text,))


def _contains(text: str, value: Value) -> Sql:
    part = (storable(value.text) or "").casefold()
    # SQLite's own lower() knows ASCII only, and is much faster than a call of Python's.
    other = Sql(f"{text} GLOB '*[^ -~]*' AND instr(fold({text}), ?) > 0", (part,))
    if not part.isascii():
        return other
    return Sql(f"(instr(lower({text}), ?) > 0 OR {other.text})", (part, part))


def _column_order(field: str, direction: str) -> str:
    if field == "created_at":
        # Runs without a time are at minus infinity, so only one direction must move them.
        return _NEWEST if direction == "DESC" else "r.created = -9e999, r.created, r.run_id DESC"
    column = "r.ended" if field == "ended_at" else f"nullif(r.{_COLUMNS[field][0]}, '')"
    return f"{column} IS NULL, {column} {direction}, {_NEWEST}"


def _joined(word: str, parts: Iterable[Sql]) -> Sql:
    found = list(parts)
    values = tuple(value for part in found for value in part.values)
    return Sql(f"({word.join(part.text for part in found)})", values)
