"""Opens a journal for writing: lock, look, decide, repair what a crash left, and say so in a line.

Nothing is written before it is known that nothing acknowledged is missing. A journal that is not
there is made; one that is there and cannot be read never starts empty. What each state of a
directory means stands in `decision_table`, what is done about it in `restore`.
"""

import contextlib
import errno
import os
import secrets
from hashlib import sha256
from pathlib import Path

from ackbook.journal.errors import (
    DiskFailed,
    JournalError,
    ReadOnly,
)
from ackbook.journal.format.control import (
    SEGMENT,
    Opened,
    RecoveryReport,
    SegmentStarted,
    control_draft,
)
from ackbook.journal.format.handover import start_of
from ackbook.journal.format.head import Head
from ackbook.journal.format.layout import COPY, segment_name
from ackbook.journal.format.record import Position, encode_line, time_part
from ackbook.journal.format.validation import Door
from ackbook.journal.limits import FORMAT, LINEAGE_BYTES, SECOND_US, Limits
from ackbook.journal.next_step import verify_step
from ackbook.journal.reading.snapshot_choice import FoldVersions
from ackbook.journal.recovery.put_back import put_back_because
from ackbook.journal.recovery.restore import refuse, replaces_tail, restore
from ackbook.journal.recovery.survey import Survey, survey
from ackbook.journal.storage.clock import Clock, OsClock, Ticker
from ackbook.journal.storage.files import READ_ONLY_ERRORS, Files, OsFiles
from ackbook.journal.writing.log import Log
from ackbook.journal.writing.preallocator import RunningHash
from ackbook.journal.writing.removal import discard, left_over, remove
from ackbook.journal.writing.tail import Preparation, Tail
from ackbook.journal.writing.writer import Writer
from ackbook.journal.writing.writer_lock import WriterLock, take_lock


def open_log(
    directory: Path,
    *,
    kinds: frozenset[str] | None = None,
    version: str = "",
    files: Files | None = None,
    clock: Clock | None = None,
    limits: Limits | None = None,
    trusted: bool = False,
    allow_network_fs: bool = False,
    accept_cut: bool = False,
    new_id: str | None = None,
    new_lineage: str | None = None,
    fold_version: FoldVersions = None,
) -> Log:
    """Open the journal in `directory`, or make one there.

    `kinds` are the kinds that the caller knows: others are refused, in a record and in the
    journal, except `x.*`. `trusted` says that the caller's encoder makes valid JSON on one line.
    `accept_cut` agrees to a cut that is larger than a crash explains. `new_id` names a new
    journal, `new_lineage` the history that begins where a copy of one was put back: 4 to 16 of
    0-9a-f, random ones by default. `fold_version` says that the caller folds a state and can load
    a snapshot of that version, or of any of these: `Log.snapshot` is the one to load.

    Raises `Locked`, `Corrupt`, `Lost`, `NewerFormat`, `TornTail`, `ReadOnly`, `NetworkFileSystem`
    and `DiskFailed`; after each of them the records in the directory are what they were.
    """
    files = files or OsFiles()
    clock = clock or OsClock()
    limits = limits or Limits()
    directory = directory.absolute()
    try:
        lock = take_lock(files, directory, allow_network_fs)
        try:
            found = survey(
                lock.files, directory, live=False, kinds=kinds, fold_version=fold_version
            )
            refuse(found, limits, accept_cut=accept_cut)
            door = Door(kinds, trusted, limits)
            starting = _Starting(lock.files, clock, limits, door, found, version)
            new_id = new_id or secrets.token_hex(8)
            return starting.start(lock, new_id, new_lineage or secrets.token_hex(LINEAGE_BYTES))
        except BaseException:
            with contextlib.suppress(OSError):
                lock.release()
            raise
    except OSError as error:
        raise _explain(directory, error) from error


class _Starting:
    """The steps from a directory that may be written to a log."""

    def __init__(
        self,
        files: Files,
        clock: Clock,
        limits: Limits,
        door: Door,
        found: Survey,
        version: str,
    ) -> None:
        self._files = files
        self._clock = clock
        self._limits = limits
        self._door = door
        self._found = found
        self._directory = found.directory
        self._version = version

    def start(self, lock: WriterLock, new_id: str, new_lineage: str) -> Log:
        for name in self._found.listing.temporary:
            discard(self._files, self._directory / name)
        before, reach = self._found.tail, self._found.reach
        because = put_back_because(lock, self._found)
        if before is None:
            lock.sign(os.getpid(), 1)  # a LOCK that says nothing beside a record is that of a copy
            journal, epoch, report = new_id, 1, RecoveryReport(verdict="new")
            ticker = Ticker(self._clock, 0)
            tail, head = self._next_segment(SegmentStarted(journal, FORMAT, 1, 1), 0, ticker.now())
        else:
            assert self._found.journal is not None, "its first line is good"
            journal, epoch = self._found.journal, before.epoch + 1
            if because:
                lock.disown()
            elif replaces_tail(lock.files, self._found):
                lock.waive_tail()
            report, tail, head = self._resume()
            # Only now is the record that says so known to be on the disk.
            remove(self._files, self._directory, left_over(self._found.listing, reach))
        head_file = Head.open(self._files, self._directory, journal, head.seq, head.crc)
        writer = Writer(
            self._clock,
            self._limits,
            self._door,
            lock=lock,
            journal_id=journal,
            epoch=epoch,
            tail=tail,
            head=head,
            head_file=head_file,
            reach=reach,
        )
        writer.begin()
        if tail.room < 2 * self._limits.control_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        apart = writer.ticker.wall_apart(SECOND_US)
        lineage = new_lineage if because else ""
        opened = Opened(epoch, os.getpid(), self._version, report, apart, lineage, because)
        writer.record(opened)
        if self._found.listing.has_copy_mark:
            remove(self._files, self._directory, (COPY,))
        lock.sign(os.getpid(), epoch)
        return Log(lock, writer, opened, self._found.snapshot)

    def _resume(self) -> tuple[RecoveryReport, Tail, Position]:
        look = self._found.tail
        assert look is not None, "there is a segment"
        assert look.last is not None, "its first line is good"
        report, content = restore(self._files, self._found)
        if look.seal is None:
            handle = self._files.open(self._directory / segment_name(look.base), "write")
            tail = Tail(self._files, handle, self._directory, look.base, look.started_at)
            tail.resume(content, look.count, look.running, look.kinds)
            return report, tail, report.head
        started = start_of(
            self._found.journal or "",
            look.last.seq + 1,
            look.epoch,
            self._found.reach,
            look.last.crc,
            sha256(content).hexdigest(),
        )
        at = Ticker(self._clock, look.last.at).now()
        return report, *self._next_segment(started, look.last.seq, at)

    def _next_segment(self, started: SegmentStarted, d: int, at: int) -> tuple[Tail, Position]:
        line, running = encode_line(control_draft(started), started.base, time_part(at, d), 0)
        path = self._directory / segment_name(started.base)
        preparation = Preparation(self._files, path, 0, 0, RunningHash())
        tail = preparation.publish(started.base, line, running, SEGMENT, at)
        return tail, Position(started.base, at, line[-11:-3].decode())


def _explain(directory: Path, error: OSError) -> JournalError:
    if error.errno in READ_ONLY_ERRORS:
        step = verify_step(directory, "make it writable, or only read: ")
        return ReadOnly(f"{directory} cannot be written: {error}", step)
    step = verify_step(directory, "look after the disk (space, health), then ")
    return DiskFailed(f"{directory} cannot be opened: {error}", step)
