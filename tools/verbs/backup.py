"""`ackbook backup`: a consistent copy of the journal, also while its broker runs."""

from __future__ import annotations

from pathlib import Path

import click

from ackbook.journal import JournalError
from ackbook.journal import backup as backup_journal
from ackbook.projections.facts import KINDS
from ackbook.tools.cli.options import json_option, place_option
from ackbook.tools.cli.output import bold, dim, emit, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.history.journal import as_failure


@click.command()
@click.argument("target", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@json_option
@place_option
def backup(target: Path, as_json: bool, place: Place) -> None:
    """Copy the journal to DIR/journal, so that DIR is a directory like any other.

    The broker may run meanwhile; the copy ends at a record that was durable when it began, and is
    verified before it gets its name. The exit code is 8 when DIR has a journal already, and 4, 7 or
    10 when this journal is damaged or newer.
    """
    try:
        done = backup_journal(place.journal(), target / "journal", kinds=KINDS)
    except JournalError as problem:
        raise as_failure(problem) from None
    if as_json:
        emit(
            {
                "directory": str(done.directory),
                "head": str(done.head),
                "last_seq": done.head.seq,
                "segments": done.segments,
                "snapshots": done.snapshots,
                "archives": done.archives,
                "bytes": done.bytes,
            }
        )
        return
    files = f"{done.bytes} bytes in {done.segments + done.snapshots + done.archives} files"
    tell(f"{bold(str(done.directory))}: records up to {done.head.seq} {dim(f'({files})')}")
    tell(f"head {done.head}")
