"""A journal, a disk that forgets, and one thing after another done to it, in the same process.

After each of them it is checked that what `promises` names holds. A story is driven by a random
generator in `campaign` and by Hypothesis in `test_state_machine`.
"""

from pathlib import Path
from random import Random

import msgspec

from ackbook.journal import (
    FOREVER,
    AttemptFailed,
    Corrupt,
    DiskFailed,
    Draft,
    JournalFull,
    Limits,
    Log,
    Lost,
    Position,
    Retention,
    SnapshotFile,
    compact,
    open_log,
    write_snapshot,
)
from ackbook.journal.storage.clock import Clock
from ackbook.journal.storage.files import Files
from ackbook.journal.writing.preallocator import Preallocator
from tests.journal.promises import DIRECTORY, KIND, Broken, Thing, Witness
from tests.support.disk import Crash, CrashKind, SimulatedClock, SimulatedDisk, nothing

FOLD = 1
RETENTIONS = (FOREVER, FOREVER, Retention(bytes_max=1500), Retention(bytes_max=0))

SMALL = Limits(
    line_bytes_max=2048,
    batch_bytes_max=4096,
    segment_bytes_max=2500,
    room_bytes_min=700,
    room_bytes_max=1500,
    step_bytes=150,
    reserve_bytes=4400,
    control_bytes=2000,
)


class _MakerKilled(BaseException):
    """A process that made a snapshot ends here, and nothing else does."""


class Story(Witness):
    """What can be done to a journal. Each step may end in a crash, and the tally says so."""

    def __init__(self, seed: int, *, limits: Limits = SMALL) -> None:
        super().__init__(SimulatedDisk(seed))
        self.random = Random(seed)
        self.clock = SimulatedClock(seed)
        self.limits = limits
        self.log: Log | None = None
        self.numbers = 0
        self.grounds: list[Preallocator] = []
        """What a thread is still at, as far as it knows."""
        self.backup: dict[Path, bytes] = {}
        self._unsynced = False

    def open(self) -> bool:
        """Start; False when the disk failed meanwhile or there was a crash."""
        assert self.log is None
        self.grounds.clear()
        try:
            self.log = self.opened(self.disk, self.clock)
        except Crash:
            self.tally["crash_in_recovery"] += 1
            return False
        except (Corrupt, Lost) as error:
            raise Broken("false_corrupt", str(error)) from error
        except DiskFailed:
            self.tally["failed_start"] += 1
            return False
        self.tally["opens"] += 1
        try:
            self.check_recovered(self.log)
        except Crash:
            self._died()
        return True

    def opened(self, files: Files, clock: Clock) -> Log:
        """How the log is opened; mutations replace it."""
        return open_log(
            DIRECTORY,
            files=files,
            clock=clock,
            limits=self.limits,
            trusted=True,
            new_id="5eed",
            fold_version=FOLD,
        )

    def append(self, sizes: list[int], *, reserve: bool = False) -> None:
        """Stage records one by one, as far as there is room, committing where that is asked."""
        assert self.log is not None
        for size in sizes:
            thing = Thing(self.numbers + 1, "x" * size)
            draft = Draft(KIND, msgspec.json.encode(thing))
            try:
                if not self.log.secure(self.log.measure(draft), reserve=reserve):
                    self.commit()
                    if self.log is None:
                        return
                    self.log.secure(self.log.measure(draft), reserve=reserve)
            except JournalFull:
                self.tally["refused_full"] += 1
                self.clock.advance(1_100_000)
                continue
            except Crash:
                self._died()
                return
            except DiskFailed:
                self._poisoned()
                return
            self.log.stage([draft], self.log.now(), expect=self.log.next_seq)
            self.numbers += 1
            self.hoped.append(self.numbers)
            self.seqs[self.numbers] = self.log.next_seq - 1

    def commit(self) -> None:
        """Commit, and remember what was promised by it."""
        assert self.log is not None
        self._unsynced = bool(self.log.staged) and self.random.random() < 0.3
        self.disk.before_sync = self._look_before_sync
        try:
            self.log.commit()
        except Crash:
            self._died()
        except DiskFailed:
            self._poisoned()
        else:
            self.tally["acknowledged"] += len(self.hoped)
            self.promised += self.hoped
            self.hoped = []

    def begin_preallocation(self) -> None:
        """A step of what a thread does beside the batches, begun now or at any time before."""
        assert self.log is not None
        try:
            if (preallocator := self.log.begin_preallocation()) is not None:
                self.tally["grounds"] += 1
                self.grounds.append(preallocator)
            self._step_ground()
        except Crash:
            self._died()
        except DiskFailed:
            self._poisoned()

    def close(self) -> None:
        """A clean end."""
        assert self.log is not None
        try:
            self.log.close()
        except Crash:
            self._died()
        except DiskFailed:
            self._poisoned()
        else:
            self.log = None
            self.tally["closes"] += 1
            assert not any(preallocator.step() for preallocator in self.grounds), "it is closed"
            if not self.backup or self.random.random() < 0.3:
                names = [name for name in self.disk.entries(DIRECTORY) if name[0] == "0"]
                self.backup = {DIRECTORY / n: self.disk.content(DIRECTORY / n) for n in names}

    def sync_head(self) -> None:
        """What somebody does once a second."""
        assert self.log is not None
        try:
            self.log.sync_head()
        except Crash:
            self._died()
        except DiskFailed:
            self._poisoned()

    def seal(self) -> Position | None:
        """End the segment, as a compaction does that wants all of it; None when it failed."""
        assert self.log is not None
        try:
            return self.log.seal()
        except JournalFull:
            self.tally["refused_full"] += 1
        except Crash:
            self._died()
        except DiskFailed:
            self._poisoned()
        return None

    def snapshot(self, position: Position | None = None, *, maker_is_killed: bool = False) -> None:
        """Make a snapshot of a durable position (the head) and record it. A maker that is killed
        leaves a name that is not synced, and nobody who knows of it."""
        self._commit_first()
        if self.log is None:
            return
        position = position or self.log.head
        try:
            if maker_is_killed:
                self._make_half(position)
                return
            self.log.note_snapshot(self._make(position))
        except Crash:
            self._died()
        except (AttemptFailed, JournalFull):
            self.tally["failed_snapshot"] += 1
        except DiskFailed:
            self._poisoned()
        else:
            self.tally["snapshots"] += 1
            self.noted = max(self.noted, position.seq)

    def compact(self, keep_audit: Retention = FOREVER, *, wholly: bool = False) -> None:
        """Let the front of the history go; `wholly` up to this moment."""
        self._commit_first()
        if wholly and self.log is not None:
            sealed = self.seal()
            for position in (sealed, None) if sealed else ():
                if self.log is not None:
                    self.snapshot(position)
        if self.log is None:
            return
        if keep_audit != FOREVER:
            self.let_go = self.log.head.seq
        try:
            done = compact(self.log, fold_version=FOLD, keep_audit=keep_audit, files=self.disk)
        except Crash:
            self._died()
        except (AttemptFailed, JournalFull):
            self.tally["failed_compaction"] += 1
        except DiskFailed:
            self._poisoned()
        else:
            self.tally["compacted_segments"] += len(done.removed)
            self.tally["archives_made"] += len(done.archived)
            self.tally["archives_forgotten"] += len(done.forgotten)

    def crash(self, kind: CrashKind) -> None:
        """The process or the machine ends now, whatever was going on."""
        self.log = None
        self.disk.reboot(kind)
        if kind == "power":
            self.clock.restart()
        self.tally[f"crash_{kind}"] += 1
        self.check_untouched()

    def look(self) -> None:
        """A reader beside the writer sees what was promised, and nothing else."""
        if self.log is None or self.log.poisoned:
            return
        try:
            self.check_seen()
        except Crash:
            self._died()

    def finish(self) -> None:
        """The end of a story: the disk heals, and everything promised is there."""
        self.disk.capacity = None
        if self.log is not None or self.disk.crashed:
            self.crash(self.random.choice(("process", "power")))
        self.disk.clear_faults()
        if not self.open():
            raise Broken("lost", "it does not open any more")
        assert self.log is not None
        self.close()
        self.check_closed()

    def _make(self, position: Position) -> SnapshotFile:
        return write_snapshot(
            DIRECTORY,
            journal_id="5eed",
            position=position,
            fold_version=FOLD,
            lines=[b'{"n":%d}' % n for n in self.promised if self.seqs[n] <= position.seq],
            files=self.disk,
        )

    def _make_half(self, position: Position) -> None:
        def killed() -> None:
            raise _MakerKilled

        self.disk.before_sync_dir = killed
        try:
            self._make(position)
        except _MakerKilled:
            self.tally["makers_killed"] += 1
        finally:
            self.disk.before_sync_dir = nothing

    def _commit_first(self) -> None:
        if self.log is not None and self.log.staged:
            self.commit()

    def _step_ground(self) -> None:
        if self.grounds:
            preallocator = self.random.choice(self.grounds)
            self.tally["ground_steps"] += 1
            if not preallocator.step():
                self.grounds.remove(preallocator)

    def _look_before_sync(self) -> None:
        # The first sync of a commit is that of its batch: all of it is written, none is durable.
        if self._unsynced:
            self._unsynced = False
            self.tally["looks_before_sync"] += 1
            self.look()
            self._step_ground()

    def _died(self) -> None:
        self.log = None
        self.tally["crash_in_writing"] += 1

    def _poisoned(self) -> None:
        self.tally["poisoned"] += 1
        assert self.log is not None
        assert self.log.poisoned
        self.log.close()
        self.log = None
