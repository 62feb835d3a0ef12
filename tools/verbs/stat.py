"""`ackbook stat`: what each file of the journal holds, what of it still matters, what pins it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import click
from rich.table import Table

from ackbook.broker.history.world_loading import LOADABLE
from ackbook.journal import JournalError, SegmentStatistics, statistics
from ackbook.tools.cli.options import json_option, place_option
from ackbook.tools.cli.output import console, emit, full_time
from ackbook.tools.cli.place import Place
from ackbook.tools.history.journal import JournalHistory, as_failure
from ackbook.tools.history.worlds import world_at


@click.command()
@json_option
@place_option
def stat(as_json: bool, place: Place) -> None:
    """Show each segment: its records and bytes, how many of its messages are not settled yet, and
    what keeps a compaction from taking it. Needs no broker and changes nothing.

    A damaged file has its damage in its row. The exit code is 4 when a file stands where a
    directory belongs or the other way round, and 10 when a newer version wrote one of the records.
    """
    history = JournalHistory(place)
    world = world_at(history, history.head())
    unsettled = sorted(message.seq for message in world.messages())

    def live(first: int, last: int) -> int:
        return bisect_right(unsettled, last) - bisect_left(unsettled, first)

    try:
        rows = statistics(history.directory, live=live, fold_version=LOADABLE)
    except JournalError as problem:
        raise as_failure(problem) from None
    if as_json:
        emit({"segments": rows})
    else:
        _show(rows)


def _show(rows: tuple[SegmentStatistics, ...]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("file", "from", "to", "records", "bytes", "live"):
        table.add_column(name, justify="left" if name == "file" else "right", no_wrap=True)
    table.add_column("since")
    table.add_column("pinned by")
    for row in rows:
        table.add_row(
            row.file,
            str(row.first_seq),
            str(row.last_seq),
            str(row.records),
            str(row.bytes),
            str(row.live),
            full_time(row.started_at) if row.started_at else "-",
            f"damage: {row.wrong}" if row.wrong else row.pinned_by or "nothing",
        )
    console().print(table)
