"""Cuts a torn tail when a person asks for it, as a start would; shows first what it would cut.

A start cuts by itself what a crash explains. A longer tail it leaves alone and names this verb.
Whatever was durable once is never cut: a journal that is corrupt, or whose end is missing, is
refused with its proof, and `salvage` is the way out. What is cut stays in `quarantine/`, with a
report. Doing it again, also after an interruption, changes nothing more. What shows that the
journal is a copy is left to the next start.
"""

from pathlib import Path

from msgspec import Struct

from ackbook.journal.errors import Damage, Locked
from ackbook.journal.format.layout import LOCK
from ackbook.journal.limits import Limits
from ackbook.journal.recovery.decision_table import RecoveryAction
from ackbook.journal.recovery.put_back import put_back_because
from ackbook.journal.recovery.restore import refuse, restore
from ackbook.journal.recovery.survey import Survey, survey
from ackbook.journal.storage.files import Files, OsFiles
from ackbook.journal.writing.writer_lock import take_lock


class Repair(Struct, frozen=True):
    """What was cut, or would be. `damage` is None where nothing is torn; `kept` names the file in
    which the cut bytes are, once they are cut, empty when they were zeros or newlines only."""

    damage: Damage | None
    last_seq: int
    cut_bytes: int = 0
    kept: str = ""
    done: bool = False


def repair(
    directory: Path,
    *,
    kinds: frozenset[str] | None = None,
    files: Files | None = None,
    dry_run: bool = False,
    allow_network_fs: bool = False,
) -> Repair:
    """Cut the torn end of the tail; with `dry_run` only say what that would be.

    Raises `Locked` while a writer has the journal open, and `Corrupt`, `Lost` or `NewerFormat`
    where a cut would destroy what was acknowledged; then nothing was changed. Without `dry_run`
    also `NetworkFileSystem`, unless that is allowed.
    """
    files = files or OsFiles()
    directory = directory.absolute()
    if dry_run:
        if files.locked(directory / LOCK):
            raise Locked(f"{directory} is open for writing", "end that process first")
        return _plan(_look(files, directory, kinds))
    lock = take_lock(files, directory, allow_network_fs)
    try:
        found = _look(lock.files, directory, kinds)
        planned = _plan(found)
        if planned.damage is None:
            return planned
        if put_back_because(lock, found):
            lock.disown()
        else:
            lock.waive_tail()
        report, _ = restore(lock.files, found)
        return Repair(
            damage=planned.damage,
            last_seq=planned.last_seq,
            cut_bytes=report.cut_bytes,
            kept=report.quarantined,
            done=True,
        )
    finally:
        lock.release()


def _look(files: Files, directory: Path, kinds: frozenset[str] | None) -> Survey:
    found = survey(files, directory, live=False, kinds=kinds)
    refuse(found, Limits(), accept_cut=True)
    return found


def _plan(found: Survey) -> Repair:
    tail = found.tail
    last = tail.last.seq if tail and tail.last else 0
    if found.verdict is not RecoveryAction.CUT or found.decisive is None or tail is None:
        return Repair(None, last)
    return Repair(found.decisive.damage, last, len(tail.rest))
