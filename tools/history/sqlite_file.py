"""An SQLite file of deliveries, for questions that nobody has thought of yet.

It is built beside its name and gets it when it is whole, so that a file of this name is never half
a table. `deliveries` has one row a delivery, `meta` says of which journal and which range, and the
views answer what is asked most. This module knows columns and cells, not what they mean.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

from ackbook.tools.cli.atomic_file import whole_file
from ackbook.tools.history.delivery_table import Cell, TableRow

_INDEXES = ("event_id", "agent", "outcome", "enqueued_us", "ended_us")

_VIEWS = """
CREATE VIEW outcomes AS
  SELECT agent, outcome, reason, count(*) AS deliveries,
         round(avg(to_typed_ms), 1) AS to_typed_ms_mean,
         round(max(to_typed_ms), 1) AS to_typed_ms_max
  FROM deliveries GROUP BY agent, outcome, reason ORDER BY agent, deliveries DESC;
CREATE VIEW slowest AS
  SELECT delivery_id, agent, sender, outcome, round(coalesce(to_ended_ms, waited_ms), 1) AS ms,
         enqueued_at FROM deliveries ORDER BY ms DESC;
CREATE VIEW by_hour AS
  SELECT substr(enqueued_at, 1, 13) AS hour, count(*) AS deliveries,
         sum(outcome = 'verified') AS verified, sum(outcome = 'unverified') AS unverified,
         sum(outcome NOT IN ('verified', 'unverified', 'open', 'unknown')) AS not_delivered
  FROM deliveries GROUP BY hour ORDER BY hour;
"""


def write_table(
    path: Path, columns: Iterable[str], rows: Iterable[TableRow], meta: Mapping[str, Cell]
) -> int:
    """Write the file, in the place of one that is there; how many rows it has. Raises
    OSError where it cannot be written; then what was there is there still."""
    names = list(columns)
    try:
        with whole_file(path) as partial:
            return _fill(partial, names, rows, meta)
    except sqlite3.Error as error:
        raise OSError(None, f"the table was not written: {error}", str(path)) from error


def _fill(path: Path, names: list[str], rows: Iterable[TableRow], meta: Mapping[str, Cell]) -> int:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        columns = ", ".join(f"{name} {_type_of(name)}" for name in names)
        connection.execute(f"CREATE TABLE deliveries ({columns}) STRICT")
        connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) STRICT")
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        marks = ", ".join(f":{name}" for name in names)
        insert = f"INSERT INTO deliveries VALUES ({marks})"
        count = 0
        for row in rows:
            connection.execute(insert, row)
            count += 1
        for name in _INDEXES:
            connection.execute(f"CREATE INDEX deliveries_{name} ON deliveries ({name})")
        connection.execute("COMMIT")
        connection.executescript(_VIEWS)
        return count
    finally:
        connection.close()


def _type_of(name: str) -> str:
    if name == "delivery_id":
        return "TEXT PRIMARY KEY"
    if name.endswith("_ms"):
        return "REAL"
    counted = name.endswith(("_seq", "_us")) or name in _COUNTED
    return "INTEGER" if counted else "TEXT"


_COUNTED = frozenset({"priority", "body_bytes", "attempts", "retries", "restarts", "whole"})
