"""`ackbook export`: one row for each delivery with its whole life, for tools that ask questions.

Rows go out as the journal is read, so that a long history needs no memory: what ended comes in the
order of ending, what is still open at the end. Bodies stay in the journal unless they are asked
for.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TextIO, get_args

import click
import msgspec

from ackbook.projections.analysis.delivery_record import RecordedOutcome
from ackbook.projections.names import match_key
from ackbook.tools.cli.atomic_file import check_free, whole_file
from ackbook.tools.cli.output import say
from ackbook.tools.cli.place import Place
from ackbook.tools.history.delivery_table import (
    COLUMNS,
    Cell,
    DeliveryFilter,
    TableRow,
    lives_of,
    read_audit,
    row_of,
)
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.moment_syntax import bound_of, since_option, until_option
from ackbook.tools.history.options import past_option
from ackbook.tools.history.sqlite_file import write_table

Format = Literal["jsonl", "csv", "sqlite"]

_STANDARD_OUTPUT = Path("-")

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula; ours come from strangers."""


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(get_args(Format)),
    help="jsonl unless the name of FILE says otherwise.",
)
@click.option(
    "-o",
    "--output",
    "path",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Standard output, unless said, or -; sqlite needs a file.",
)
@click.option("--force", is_flag=True, help="Replace FILE.")
@since_option
@until_option
@click.option("--agent", "agents", multiple=True, metavar="NAME", help="Repeatable.")
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    type=click.Choice(get_args(RecordedOutcome)),
    help="Repeatable.",
)
@click.option("--bodies", is_flag=True, help="With the text of each message.")
@past_option
def export(
    form: Format | None,
    path: Path | None,
    force: bool,
    since: str | None,
    until: str | None,
    agents: tuple[str, ...],
    outcomes: tuple[str, ...],
    bodies: bool,
    place: Place,
) -> None:
    """One row for each delivery: when it was enqueued, typed and settled, how, and what it waited
    for. Needs no broker.

    Spans are milliseconds; a time stands as text in UTC and as microseconds. In a SQLite file ask
    the table `deliveries` and the views `outcomes`, `slowest` and `by_hour`.
    """
    path = None if path == _STANDARD_OUTPUT else path
    form = form or _format_of(path)
    if form == "sqlite" and path is None:
        raise click.UsageError("a SQLite table needs a file: -o FILE")
    if path is not None:
        check_free(path, force=force, hint="replace it with --force")
    history = JournalHistory(place)
    wanted = DeliveryFilter(
        since=bound_of(history, since),
        until=bound_of(history, until),
        agents=frozenset(match_key(name) for name in agents),
        outcomes=frozenset(outcomes),
    )
    columns = [*COLUMNS, "body"] if bodies else [*COLUMNS]
    rows = _rows(history, wanted, bodies)
    if form == "sqlite":
        assert path is not None
        count = write_table(path, columns, rows, _meta(history, wanted))
    else:
        write = _write_csv if form == "csv" else _write_jsonl
        with nullcontext(sys.stdout) if path is None else _text_file(path) as file:
            count = write(file, columns, rows)
    if path is not None:
        say(f"{count} deliveries in {path}")


def _format_of(path: Path | None) -> Format:
    suffix = "" if path is None else path.suffix.lower()
    if suffix in (".sqlite", ".sqlite3", ".db"):
        return "sqlite"
    return "csv" if suffix == ".csv" else "jsonl"


def _rows(history: JournalHistory, wanted: DeliveryFilter, bodies: bool) -> Iterator[TableRow]:
    for life in lives_of(read_audit(history, wanted, bodies=bodies)):
        row = row_of(life)
        yield row | {"body": life.body} if bodies else row


def _write_jsonl(file: TextIO, columns: list[str], rows: Iterator[TableRow]) -> int:
    encode, count = msgspec.json.Encoder().encode, 0
    for row in rows:
        file.write(encode(row).decode() + "\n")
        count += 1
    return count


def _write_csv(file: TextIO, columns: list[str], rows: Iterator[TableRow]) -> int:
    writer, count = csv.writer(file, lineterminator="\n"), 0
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_harmless(row[name]) for name in columns])
        count += 1
    return count


def _harmless(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


@contextmanager
def _text_file(path: Path) -> Iterator[TextIO]:
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        yield file


def _meta(history: JournalHistory, wanted: DeliveryFilter) -> dict[str, Cell]:
    """Of which journal the table is, how far that went, and what was asked for."""
    return {
        "journal": history.journal_id(),
        "first_seq": history.oldest(),
        "last_seq": history.head(),
        "since_seq": None if wanted.since is None else wanted.since.seq,
        "since_us": None if wanted.since is None else wanted.since.at,
        "until_seq": None if wanted.until is None else wanted.until.seq,
        "until_us": None if wanted.until is None else wanted.until.at,
        "agents": ",".join(sorted(wanted.agents)) or None,
        "outcomes": ",".join(sorted(wanted.outcomes)) or None,
        "ackbook": version("ackbook"),
    }
