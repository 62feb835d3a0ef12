"""A journal that is open for writing.

It promises that what `commit` returned for is durable, that what is recovered is a prefix of what
was staged, and that a position, once told, is never told again for something else. It does not
know what a record means, who waits for it, or what follows from it.

One caller at a time: decide, `secure`, `stage`, and `commit` when there is nothing left to stage.
Nothing may be shown to anyone before `commit` has returned.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from ackbook.journal.errors import RecordRefused
from ackbook.journal.format.control import Closed, Opened, Reach
from ackbook.journal.format.record import Draft, Position, measure_draft, measure_drafts
from ackbook.journal.format.snapshot import SnapshotFile
from ackbook.journal.limits import SECOND_US
from ackbook.journal.storage.commit_thread import Committer
from ackbook.journal.storage.held_directory import HeldDirectory
from ackbook.journal.writing.preallocator import Preallocator
from ackbook.journal.writing.removal import HistoryRemover
from ackbook.journal.writing.writer import Writer
from ackbook.journal.writing.writer_lock import WriterLock


class LogStatistics(Struct, frozen=True):
    """What this log did since it was opened. `room_bytes` is what ordinary records may use."""

    records: int
    batches: int
    written_bytes: int
    room_bytes: int
    segments: int
    mean_sync_us: float


class Log:
    """Made by `open_log`, which holds the lock until `close`."""

    __slots__ = (
        "_closed",
        "_committer",
        "_in_flight",
        "_lock",
        "_remover",
        "_writer",
        "because",
        "lineage",
        "recovery",
        "snapshot",
    )

    def __init__(
        self,
        lock: WriterLock,
        writer: Writer,
        opened: Opened,
        snapshot: SnapshotFile | None,
    ) -> None:
        self._lock = lock
        self._writer = writer
        self._committer = Committer()
        self._in_flight = False
        self._closed = False
        self.recovery = opened.recovery
        """What the start found and did; `journal.opened` holds it, too."""
        self.lineage, self.because = opened.lineage, opened.because
        """The journal was put back from a copy: the tag of the history that began with this start,
        and what showed it. Empty where nothing did, also after a start that began one."""
        self.snapshot = snapshot
        """The state to begin with; None: fold from the first line."""
        self._remover = HistoryRemover(lock.files, writer, snapshot)

    @property
    def directory(self) -> Path:
        return self._writer.directory

    @property
    def files(self) -> HeldDirectory:
        """The door to this journal's directory, wherever that is by now: whoever reads it for the
        log goes through it, by the names in `directory`."""
        return self._lock.files

    @property
    def journal_id(self) -> str:
        return self._writer.journal_id

    @property
    def epoch(self) -> int:
        """One more than at the last start."""
        return self._writer.epoch

    @property
    def head(self) -> Position:
        """The last durable line."""
        return self._writer.head

    @property
    def next_seq(self) -> int:
        """The seq of the next record that is staged. Between batches the log may take seqs for
        records of its own, so ask again after each commit."""
        return self._writer.next_seq

    @property
    def reach(self) -> Reach:
        """How far back the segments and the archives go."""
        return self._writer.reach

    @property
    def staged(self) -> int:
        """Records staged and not yet committed."""
        return self._writer.staged

    @property
    def batch_bytes_max(self) -> int:
        """What one batch may hold; `secure` says no beyond it."""
        return self._writer.batch_bytes_max

    @property
    def poisoned(self) -> bool:
        """A write or sync failed: end the process."""
        return self._writer.poison.taken

    def now(self) -> int:
        """The `at` for the next decision: microseconds UTC that never go back, leap or stand."""
        return self._writer.ticker.now()

    def measure(self, draft: Draft) -> int:
        """An upper bound of the bytes that its line takes."""
        return measure_draft(draft)

    def secure(self, size: int, *, reserve: bool = False) -> bool:
        """Whether `size` more bytes can be staged now. False: commit first, then ask again.

        Raises `JournalFull` when nothing is staged and the disk has no room. `reserve` opens the
        part that is kept for records that make the state smaller, so that a full disk can drain.
        """
        self._check_turn()
        return self._writer.secure(size, reserve=reserve)

    def stage(self, drafts: Sequence[Draft], at: int, *, expect: int) -> None:
        """Put records into the batch, all or none, after their room was secured.

        Raises `RecordRefused`, with nothing staged, for a record that no reader could take, and
        when `expect` is not `next_seq`; `Poisoned` after a write or a sync that failed.
        """
        self._check_turn()
        self._writer.poison.check()
        self._writer.stage(drafts, at, expect=expect)

    def offer(self, drafts: Sequence[Draft], at: int) -> bool:
        """`secure` and `stage` in one pass, which is the quickest way for many records. False,
        with nothing staged: commit first, or offer less at a time.

        Raises what both raise.
        """
        self._check_turn()
        return self._writer.offer(drafts, at)

    def too_large(self, drafts: Sequence[Draft]) -> RecordRefused:
        """What to raise where `offer` said no and nothing was staged: no batch holds these."""
        text = f"{measure_drafts(drafts)} bytes; a batch is {self.batch_bytes_max}"
        return RecordRefused("too_large", text)

    def commit(self) -> Position:
        """Make everything that is staged durable, and wait for it.

        Raises `DiskFailed` when that fails, for whatever reason: then nobody knows what is
        durable, and the process has to end.
        """
        self._check_turn()
        return self._writer.commit()

    async def commit_async(self, *, idle: bool = True) -> Position:
        """The same on a loop. `idle` says that nothing else waits for this loop: then a quick
        disk is waited for right here, else on the writer thread. Cancelling the caller does not
        cancel the commit; until it is over, nothing can be staged. Raises what `commit` raises."""
        done = self.begin_commit(idle=idle)
        if done is not None:
            await done
        return self.head

    def begin_commit(self, *, idle: bool) -> "asyncio.Future[None] | None":
        """Commit at once and give None, or hand it to the writer thread and give a future.

        Raises `DiskFailed` as `commit` does, here or out of the future.
        """
        self._check_turn()
        if not self._writer.staged:
            return None
        if idle and self._writer.is_quick:
            self._commit_and_lend()
            return None
        self._in_flight = True
        return self._committer.submit(self._commit_in_flight)

    def begin_preallocation(self) -> Preallocator | None:
        """Work that no batch has to wait for, for whoever has a thread to lend: `step` until it
        is over. `begin_commit` lends its own; commits without a loop do the same work when it is
        due. None when there is nothing to begin now. Raises `DiskFailed` when what was
        preallocated before could not be taken over."""
        self._check_turn()
        return self._writer.begin_preallocation()

    def sync_head(self) -> None:
        """Make HEAD durable. Commits do it once a second as they go; whoever holds an open log
        calls this about once a second, too, so that a quiet journal has its witness. Raises
        `DiskFailed`."""
        if not self._in_flight:
            self._writer.sync_head()

    def seal(self) -> Position:
        """End the segment between batches, so that everything up to now may be compacted. Gives
        the place of its last line. Raises `JournalFull` when there is no room for the next."""
        self._check_turn()
        return self._writer.seal()

    def note_snapshot(self, snapshot: SnapshotFile) -> None:
        """Record a snapshot between batches, and delete those older than the two newest.

        A `SnapshotFile` was verified when it was made, which may be in a thread or another
        process; see `read_snapshot`. Raises `SnapshotUnusable` for one of another journal or of
        the future, and `JournalFull`.
        """
        self._check_turn()
        self._remover.note_snapshot(snapshot)

    def remove_history(
        self,
        through: int,
        snapshot: SnapshotFile,
        *,
        archived: tuple[str, ...] = (),
        forgotten: int | None = None,
    ) -> None:
        """Record between batches that segments up to `through` and archives up to `forgotten` go,
        and delete them. It blocks for a sync and the deletes. `compaction` knows when it may.

        Raises `SnapshotUnusable` for a snapshot of another journal or of the future,
        `AttemptFailed` when its name is not durable, and `JournalFull`; then nothing has gone.
        `DiskFailed` when a file that was recorded as gone could not be deleted.
        """
        self._check_turn()
        if forgotten is None:
            forgotten = self.reach.archived_from - 1
        self._remover.remove_history(through, snapshot, archived, forgotten)

    def close(self) -> None:
        """End cleanly: what was staged and not committed is dropped, the room is cut off, HEAD
        says closed. A poisoned log only lets go of its files. Again is nothing. Raises
        `DiskFailed` when the last words could not be written; the files are let go of then, too."""
        if self._closed:
            return
        self._closed = True
        self._committer.close()
        try:
            if not self._writer.poison.taken:
                apart = self._writer.ticker.wall_apart(SECOND_US)
                self._writer.finish(Closed(self.epoch, apart))
        finally:
            self._writer.release()
            self._lock.release()

    def statistics(self) -> LogStatistics:
        """Figures for people and tests."""
        writer = self._writer
        return LogStatistics(
            records=writer.records,
            batches=writer.batches,
            written_bytes=writer.written_bytes,
            room_bytes=writer.room,
            segments=writer.segments,
            mean_sync_us=writer.mean_sync.microseconds,
        )

    def _commit_in_flight(self) -> None:
        try:
            self._commit_and_lend()
        finally:
            self._in_flight = False

    def _commit_and_lend(self) -> None:
        self._writer.commit()
        if (preallocator := self._writer.begin_preallocation()) is not None:
            self._committer.lend(preallocator.step)

    def _check_turn(self) -> None:
        assert not self._closed, "the log is open"
        assert not self._in_flight, "one batch at a time"
