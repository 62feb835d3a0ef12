"""`ackbook cat`: records as they stand in the journal, one a line, chosen by a few questions."""

from __future__ import annotations

import sys

import click

from ackbook.tools.cli.options import json_option
from ackbook.tools.cli.output import plain, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.options import past_option
from ackbook.tools.history.record_filter import RecordFilter


@click.command()
@click.option("--from", "first", type=click.IntRange(min=1), default=1, metavar="SEQ")
@click.option("--to", "last", type=click.IntRange(min=1), metavar="SEQ")
@click.option(
    "--kind", "kinds", multiple=True, metavar="K", help="Repeatable; with * as in 'delivery.*'."
)
@click.option("--agent", metavar="NAME", help="Records that name this agent.")
@click.option("--id", "identity", metavar="ID", help="Records of this message or delivery.")
@json_option
@past_option
def cat(
    first: int,
    last: int | None,
    kinds: tuple[str, ...],
    agent: str | None,
    identity: str | None,
    as_json: bool,
    place: Place,
) -> None:
    """Print records of the journal, each as the JSON object that it is. Needs no broker."""
    wanted = RecordFilter(kinds=kinds, agent=agent, identity=identity)
    shown = plain if sys.stdout.isatty() and not as_json else str
    history = JournalHistory(place)
    if first > 1:
        history.lean_on([first])
    for line in history.lines(first - 1, last):
        if wanted(line):
            tell(shown(line.raw.decode()))
