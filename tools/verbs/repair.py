"""`ackbook repair`: cuts a torn end off the journal, and shows first what that would be."""

from __future__ import annotations

import click

from ackbook.journal import JournalError
from ackbook.journal import repair as repair_journal
from ackbook.projections.facts import KINDS
from ackbook.tools.cli.options import json_option, place_option
from ackbook.tools.cli.output import bold, dim, emit, plain, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.history.journal import as_failure


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be cut.")
@json_option
@place_option
def repair(dry_run: bool, as_json: bool, place: Place) -> None:
    """Cut the torn end that a crash left, which nobody was told of. It is kept in quarantine/.

    The broker does the same when it starts, unless the end is longer than a crash explains. Damage
    to what was acknowledged is never cut: the exit code is then 4, 7 or 10, nothing is changed, and
    `ackbook salvage` is the way out. It is 5 while a broker runs.
    """
    directory = place.journal()
    if not dry_run:
        place.check_private()
    try:
        found = repair_journal(directory, kinds=KINDS, dry_run=dry_run)
    except JournalError as problem:
        raise as_failure(problem) from None
    damage = found.damage
    if as_json:
        emit(
            {
                "torn": damage is not None,
                "done": found.done,
                "last_seq": found.last_seq,
                "cut_bytes": found.cut_bytes,
                "kept": found.kept or None,
                "damage": damage,
            }
        )
        return
    if damage is None:
        tell(f"{bold(str(directory))}: nothing is torn, the last record is {found.last_seq}")
        return
    verb = "cut" if found.done else "would cut"
    tell(f"{bold(str(directory))}: {verb} {found.cut_bytes} bytes after record {found.last_seq}")
    tell(f"  {damage.file}, line {damage.line}, byte {damage.byte}: {plain(damage.what)}")
    if found.kept:
        tell(f"  {dim('kept as')} {found.kept}")
    if not found.done:
        tell(f"  next:  ackbook repair {place.flag()}")
