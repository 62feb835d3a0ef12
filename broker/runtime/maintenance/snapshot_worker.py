"""Makes a snapshot in a process of its own, so that folding takes no time from the broker.

`python -m ackbook.broker.runtime.maintenance.snapshot_worker JOURNAL [SEQ]` reads the newest
snapshot and the durable rest like any reader, folds, writes the snapshot of the last durable record
(or of the record SEQ, which has to be durable), reads it back, and prints its name. The
directory may be handed over. It takes no lock: to record the snapshot is the business of whoever
holds it. Where it fails it says why on standard error and ends with the exit code of the error;
what is left over is garbage for the next start. It ends early when the process that started it is
gone.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.history.world_loading import begin_world, confirm_world, fold_rest
from ackbook.broker.journal_endings import error_at_a_shell, exit_code_of
from ackbook.journal import (
    AttemptFailed,
    Files,
    JournalError,
    Position,
    Reader,
    SnapshotFile,
    write_snapshot,
)
from ackbook.journal.maintenance.handed_over import handed_over
from ackbook.journal.next_step import verify_step
from ackbook.projections.world.fold import World
from ackbook.projections.world.serialization import FOLD_VERSION, dump

NICE = 10
"""Whoever waits for an answer of the broker comes first."""

LINES_PER_LOOK = 4_096
"""How many lines are written between two looks at whether anybody still waits."""


def snapshotter_command(journal: Path, through: int | None = None) -> list[str]:
    """What to run to make a snapshot."""
    module = [
        sys.executable,
        "-P",
        "-m",
        "ackbook.broker.runtime.maintenance.snapshot_worker",
        str(journal),
    ]
    return module if through is None else [*module, str(through)]


def _always() -> bool:
    return True


def make_snapshot(
    journal: Path,
    through: int | None = None,
    *,
    is_wanted: Callable[[], bool] = _always,
    files: Files | None = None,
) -> SnapshotFile:
    """Fold, write, read back. `is_wanted` is asked as it goes: no ends it.

    Raises `JournalError`, and the journal itself is unharmed: `AttemptFailed` where there is no
    record, it was not wanted any more or could not be written, `Corrupt` and `NewerFormat` where
    what is there cannot be folded.
    """
    reader = Reader(journal, files=files)
    head = reader.head() if through is None else through
    journal_id = reader.journal_id
    if journal_id is None or head == 0:
        raise AttemptFailed(f"there is nothing in {journal}", verify_step(None, after=" says more"))
    world, begun = begin_world(journal, head, files=files)
    for _ in confirm_world(journal, world, begun, files=files):
        _check_wanted(is_wanted)
    for _ in fold_rest(journal, world, head, files=files):
        _check_wanted(is_wanted)
    return write_snapshot(
        journal,
        journal_id=journal_id,
        position=_position(reader, head),
        fold_version=FOLD_VERSION,
        lines=_lines(world, is_wanted),
        maker=os.getpid(),
        files=files,
    )


def _position(reader: Reader, seq: int) -> Position:
    for line in reader.lines(after=seq - 1, through=seq):
        return Position(line.seq, line.at, line.crc)
    raise AttemptFailed(f"record {seq} cannot be read", verify_step(None, after=" says more"))


def _lines(world: World, is_wanted: Callable[[], bool]) -> Iterator[bytes]:
    for number, line in enumerate(dump(world)):
        if number % LINES_PER_LOOK == 0:
            _check_wanted(is_wanted)
        yield line


def _check_wanted(is_wanted: Callable[[], bool]) -> None:
    if not is_wanted():
        raise AttemptFailed("nobody waits for the snapshot any more", "start the broker again")


def main(arguments: list[str]) -> ExitCode:
    """The command; see the head of this module."""
    os.nice(NICE)
    gc.disable()  # it lives for one world, and all of that stays
    directory, *through = arguments
    parent, seq = os.getppid(), int(through[0]) if through else None
    try:
        journal = Path(directory)
        files = handed_over(journal)
        made = make_snapshot(journal, seq, is_wanted=lambda: os.getppid() == parent, files=files)
    except (JournalError, OSError, MemoryError) as error:
        sys.stderr.write(f"{error_at_a_shell(error)}\n")
        return exit_code_of(error)
    sys.stdout.write(f"{made.name}\n")
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
