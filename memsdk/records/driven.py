"""Statements that every write makes, run by the driver: through SQLAlchemy they took most of a write's time.

They are written with SQLAlchemy and rendered once, when they are first run. Values are given as they are stored: ids as 32 hex digits, times as
microseconds (`to_micros`), kinds as their text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import itemgetter

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.sql.compiler import SQLCompiler

from memsdk.records.database import SqlValue

Row = tuple[SqlValue, ...]
_DIALECT = sqlite.dialect(paramstyle="named")
_BY_PLACE = sqlite.dialect(paramstyle="qmark")


class Statement:
    """One statement for the driver, its parameters by name."""

    def __init__(self, statement: sa.sql.expression.ClauseElement) -> None:
        self._statement = statement

    @cached_property
    def _rendered(self) -> tuple[str, dict[str, SqlValue]]:
        """The text, and the parameters that are the same each time."""
        compiled = self._statement.compile(dialect=_DIALECT)
        return str(compiled), _constant(compiled)

    @cached_property
    def _positional(self) -> tuple[str, list[str], dict[str, SqlValue]]:
        """The text with marks for parameters, which these are, and those that are the same each time."""
        compiled = self._statement.compile(dialect=_BY_PLACE)
        assert isinstance(compiled, SQLCompiler)  # for the type checker
        return str(compiled), list(compiled.positiontup or ()), _constant(compiled)

    def run(self, connection: Connection, values: Mapping[str, SqlValue]) -> list[Row]:
        """Run it inside the connection's transaction; returns the rows it gives."""
        text, constant = self._rendered
        return driver_of(connection).execute(text, {**constant, **values}).fetchall()

    def run_many(self, connection: Connection, rows: Sequence[Mapping[str, SqlValue]]) -> None:
        """Run it once a row of values."""
        text, names, constant = self._positional
        values = map(itemgetter(*names), [{**constant, **row} for row in rows] if constant else rows)
        # by place: to look up each of a record's 23 names took as long as to insert it
        driver_of(connection).executemany(text, values if len(names) > 1 else zip(values))


class LookUp:
    """A SELECT by many values of one column."""

    def __init__(self, select: sa.Select[tuple[object, ...]], column: sa.ColumnElement[object]) -> None:
        self._select, self._column = select, column

    @cached_property
    def _text(self) -> str:
        joined = "WHERE" if self._select.whereclause is None else "AND"
        return f"{self._select.compile(dialect=_DIALECT)} {joined} {self._column} IN "

    def run(self, connection: Connection, values: Sequence[SqlValue]) -> list[Row]:
        """The rows whose column has one of the values; at most some hundreds of them."""
        return (
            driver_of(connection).execute(f"{self._text}({', '.join('?' * len(values))})", values).fetchall()
        )


def _constant(compiled: sa.Compiled) -> dict[str, SqlValue]:
    """The parameters that have a value of their own."""
    return {name: value for name, value in compiled.params.items() if value is not None}


def driver_of(connection: Connection) -> sqlite3.Connection:
    """The driver's connection, inside the transaction that SQLAlchemy's began."""
    if not connection.in_transaction():
        connection.begin()
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # for the type checker
    return driver
