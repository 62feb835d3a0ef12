"""A journal, a disk that forgets, and somebody who remembers everything that was promised.

`Story` does one thing after another to a journal on a simulated disk, in the same process, and
checks after each that the promises hold:

- what was acknowledged is there, byte for byte, after any crash;
- what is there is a prefix of what was submitted, in order, nothing twice and nothing else;
- nobody sees a record before it is durable;
- the state that a start loads from a snapshot and folds on from is that of a full replay;
- a snapshot that was recorded can be used, and history is only missing where it was let go;
- a crash alone is never called damage; damage is never passed over in silence.

It is driven by a random generator in `campaign` and by Hypothesis in `test_state_machine`.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

import msgspec

from journal import (
    FOREVER,
    AttemptFailed,
    Corrupt,
    DiskFailed,
    Draft,
    JournalFull,
    Limits,
    Line,
    Log,
    Lost,
    Position,
    Reader,
    Retention,
    compact,
    open_log,
    verify,
    write_snapshot,
)
from journal.clock import Clock
from journal.files import Files
from journal.groundwork import Groundwork
from journal.layout import list_directory
from journal.tidying import left_over
from tests.support.disk import Crash, CrashKind, SimulatedClock, SimulatedDisk

DIRECTORY = Path("/sim/journal")
KIND = "thing.happened"
FOLD = 1
RETENTIONS = (FOREVER, FOREVER, Retention(bytes_max=1500), Retention(bytes_max=0))

SMALL = Limits(
    line_bytes_max=2048,
    batch_bytes_max=4096,
    segment_bytes_max=2500,
    room_bytes_min=700,
    room_bytes_max=1500,
    step_bytes=500,
    reserve_bytes=4400,
    control_bytes=2000,
)


class Broken(AssertionError):
    """A promise does not hold; `kind` is lost, phantom, false_corrupt, early or silent."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


class _Thing(msgspec.Struct):
    n: int
    pad: str = ""


class Story:
    """`promised` are the records that somebody was told of, `hoped` those that were staged since;
    both by number. Numbers are never used twice, so a phantom is known by its number. The state
    that is folded is the list of all numbers."""

    def __init__(self, seed: int, *, limits: Limits = SMALL) -> None:
        self.random = Random(seed)
        self.disk = SimulatedDisk(seed)
        self.clock = SimulatedClock(seed)
        self.limits = limits
        self.log: Log | None = None
        self.promised: list[int] = []
        self.hoped: list[int] = []
        self.numbers = 0
        self.tally: Counter[str] = Counter()
        self._unsynced = False
        self.seqs: dict[int, int] = {}
        """Where each number was staged."""
        self._noted = 0
        """The newest snapshot that was recorded."""
        self.grounds: list[Groundwork] = []
        """What a thread is still at, as far as it knows."""
        self._let_go = 0
        """Records up to this one may have been removed for good."""
        self.backup: dict[Path, bytes] = {}

    # What can be done. Each may end in a crash, and says so.

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
        self._check_recovered()
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
            thing = _Thing(self.numbers + 1, "x" * size)
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

    def lay_ground(self) -> None:
        """A step of what a thread does beside the batches, begun now or at any time before."""
        assert self.log is not None
        try:
            if (ground := self.log.lay_ground()) is not None:
                self.tally["grounds"] += 1
                self.grounds.append(ground)
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
            assert not any(ground.step() for ground in self.grounds), "it is closed"
            if not self.backup or self.random.random() < 0.3:
                names = [name for name in self.disk.names(DIRECTORY) if name[0] == "0"]
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

    def snapshot(self, position: Position | None = None) -> None:
        """Make a snapshot of a durable position (the head) and record it."""
        self._commit_first()
        if self.log is None:
            return
        position = position or self.log.head
        state = [b'{"n":%d}' % n for n in self.promised if self.seqs[n] <= position.seq]
        try:
            made = write_snapshot(
                DIRECTORY,
                journal_id="5eed",
                position=position,
                fold_version=FOLD,
                lines=state,
                files=self.disk,
            )
            self.log.note_snapshot(made)
        except Crash:
            self._died()
        except (AttemptFailed, JournalFull):
            self.tally["failed_snapshot"] += 1
        except DiskFailed:
            self._poisoned()
        else:
            self.tally["snapshots"] += 1
            self._noted = max(self._noted, position.seq)

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
            self._let_go = self.log.head.seq
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
            seen = self._read()
        except Crash:
            self._died()
            return
        if seen != self.promised:
            kind = "early" if len(seen) > len(self.promised) else "lost"
            raise Broken(kind, f"a reader sees {seen}, promised are {self.promised}")

    # What must hold.

    def check_untouched(self) -> None:
        """Before anything is repaired: a crash is not damage."""
        report = verify(DIRECTORY, files=self.disk) if self._has_directory() else None
        if report is not None and report.exit_code not in (0, 1):
            raise Broken("false_corrupt", str(report.damage))

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
        report = verify(DIRECTORY, files=self.disk)
        if not report.ok:
            raise Broken("false_corrupt", f"after a clean close: {report.damage}")
        self.tally["rolls"] += report.segments - 1
        if self._read() != self.promised:
            raise Broken("lost", "a clean close lost something")

    def _check_recovered(self) -> None:
        assert self.log is not None
        try:
            seen = self._read()
            state, said = state_of(self, self.log)
            listing = list_directory(self.disk, DIRECTORY)
        except Crash:
            self._died()
            return
        if seen[: len(self.promised)] != self.promised:
            raise Broken("lost", f"promised {self.promised}, found {seen}")
        further = seen[len(self.promised) :]
        if further != self.hoped[: len(further)]:
            raise Broken("phantom", f"{further} is no beginning of {self.hoped}")
        if said or state != seen:
            raise Broken("lost", f"a start has the state {state}, a replay has {seen}")
        loaded = self.log.snapshot.seq if self.log.snapshot else 0
        if loaded < self._noted:
            raise Broken("lost", f"snapshot {self._noted} was recorded, {loaded} can be used")
        if left_over(listing, self.log.reach):
            raise Broken("lost", f"a compaction was not finished: {listing}")
        self.tally["starts_from_a_snapshot"] += bool(loaded)
        self.tally["kept_unacknowledged"] += len(further)
        self.tally["cut_unacknowledged"] += len(self.hoped) - len(further)
        # From here on others act on what was found: it is promised now.
        self.promised, self.hoped = seen, []

    def _read(self) -> list[int]:
        """Every number, as far as a reader gives it; what was let go is known to the story."""
        reader = Reader(DIRECTORY, files=self.disk)
        expected, at = max(1, reader.first_seq), 0
        if expected > self._let_go + 1:
            raise Broken("lost", f"history begins with {expected}, nothing let it go")
        seen = [n for n in self.promised if self.seqs[n] < expected]
        for line in reader.lines(expected - 1):
            if line.seq != expected or line.at < at or not line.d < line.seq:
                raise Broken("phantom", f"line {line.seq} at {line.at} follows {expected - 1}")
            expected, at = line.seq + 1, line.at
            if line.kind == KIND:
                seen.append(msgspec.json.decode(line.data, type=_Thing).n)
        if reader.damage or reader.gaps:
            raise Broken("false_corrupt", str(reader.damage or reader.gaps))
        return seen

    def _commit_first(self) -> None:
        if self.log is not None and self.log.staged:
            self.commit()

    def _has_directory(self) -> bool:
        try:
            return bool(self.disk.names(DIRECTORY))
        except FileNotFoundError:
            return False

    def _step_ground(self) -> None:
        if self.grounds:
            ground = self.random.choice(self.grounds)
            self.tally["ground_steps"] += 1
            if not ground.step():
                self.grounds.remove(ground)

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


def state_of(story: Story, log: Log) -> tuple[list[int], bool]:
    """What a start has, and whether something said that it is not everything."""
    state: list[int] = []
    after = 0
    if log.snapshot is not None:
        after = log.snapshot.seq
        loaded = b"".join(log.snapshot.blocks()).splitlines()
        state = [msgspec.json.decode(line, type=_Thing).n for line in loaded]
    reader = Reader(DIRECTORY, files=story.disk)
    state += numbers_of(reader.lines(after))
    return state, bool(reader.damage or reader.gaps)


def numbers_of(lines: Iterable[Line]) -> list[int]:
    """The numbers of the things among these lines, in order."""
    return [msgspec.json.decode(line.data, type=_Thing).n for line in lines if line.kind == KIND]
