"""`ackbook salvage`: what is proven of a damaged journal, in a new one, and what is lost."""

from __future__ import annotations

from pathlib import Path

import click

from ackbook.broker.exit_codes import ExitCode
from ackbook.journal import JournalError, SalvageReport
from ackbook.journal import salvage as salvage_journal
from ackbook.projections.facts import KINDS
from ackbook.tools.cli.options import json_option, place_option
from ackbook.tools.cli.output import bad, bold, emit, good, plain, poor, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.history.journal import as_failure


@click.command()
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="A directory that has no journal yet.",
)
@json_option
@place_option
def salvage(out: Path, as_json: bool, place: Place) -> int:
    """Save every record that is proven to be good into DIR/journal. This journal is not changed.

    Records keep their positions; where some are missing a record says so. The exit code is 0 when
    nothing that was acknowledged is lost, 7 when something is, or may be since HEAD is missing (the
    new journal is good all the same), 4 when nothing could be saved, 5 while a broker runs, 8 when
    DIR has a journal already, and 10 when a newer version wrote this one.
    """
    try:
        done = salvage_journal(place.journal(), out / "journal", kinds=KINDS)
    except JournalError as problem:
        raise as_failure(problem) from None
    if as_json:
        emit(
            {
                "directory": str(done.directory),
                "first_seq": done.first_seq,
                "last_seq": done.last_seq,
                "saved": done.saved,
                "lost_records": done.lost_records,
                "lost": done.lost,
                "notes": done.notes,
            }
        )
    else:
        _show(done)
    return ExitCode.LOST if done.lost or done.headless else ExitCode.DONE


def _show(done: SalvageReport) -> None:
    nothing = poor("nothing known to be lost") if done.headless else good("nothing lost")
    outcome = bad(f"{done.lost_records} lost") if done.lost else nothing
    tell(f"{bold(str(done.directory))}: {done.saved} records saved, {outcome}")
    for gap in done.lost:
        which = f"record {gap.first}" if gap.first == gap.last else f"{gap.first} to {gap.last}"
        tell(f"  {bad(which)}: {plain(gap.why)}")
    for note in done.notes:
        tell(f"  {poor('note:')} {plain(note)}")
    tell(f"  next:  ackbook verify --dir {done.directory.parent}")
