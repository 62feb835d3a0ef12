"""A journal, a disk that forgets, and somebody who remembers everything that was promised.

`Story` does one thing after another to a journal on a simulated disk, in the same process, and
checks after each that the promises hold:

- what was acknowledged is there, byte for byte, after any crash;
- what is there is a prefix of what was submitted, in order, nothing twice and nothing else;
- nobody sees a record before it is durable;
- a crash alone is never called damage; damage is never passed over in silence.

It is driven by a random generator in `campaign` and by Hypothesis in `test_state_machine`.
"""

from collections import Counter
from pathlib import Path
from random import Random

import msgspec

from journal import (
    Corrupt,
    DiskFailed,
    Draft,
    JournalError,
    JournalFull,
    Limits,
    Log,
    Lost,
    Reader,
    open_log,
    verify,
)
from journal.clock import Clock
from journal.files import Files
from tests.support.disk import Crash, CrashKind, SimulatedClock, SimulatedDisk

DIRECTORY = Path("/sim/journal")
KIND = "thing.happened"

SMALL = Limits(
    line_bytes_max=2048,
    batch_bytes_max=4096,
    segment_bytes_max=2500,
    room_bytes_min=700,
    room_bytes_max=1500,
    reserve_bytes=2600,
    control_bytes=1200,
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
    both by number. Numbers are never used twice, so a phantom is known by its number."""

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

    # What can be done. Each may end in a crash, and says so.

    def open(self) -> bool:
        """Start; False when the disk failed meanwhile or there was a crash."""
        assert self.log is None
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
            DIRECTORY, files=files, clock=clock, limits=self.limits, trusted=True, new_id="5eed"
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

    def sync_head(self) -> None:
        """What somebody does once a second."""
        assert self.log is not None
        try:
            self.log.sync_head()
        except Crash:
            self._died()
        except DiskFailed:
            self._poisoned()

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

    def rot(self) -> None:
        """One byte of one segment changes while nobody writes. Either somebody says so, or nothing
        that was promised is missing. Sometimes HEAD is gone, too: then only lines can bear
        witness, and the last batch has none. Afterwards everything is put back."""
        assert self.log is None
        self.disk.clear_faults()
        lines = list(Reader(DIRECTORY, files=self.disk).lines())
        names = [name for name in self.disk.names(DIRECTORY) if name.endswith(".jsonl")]
        path = DIRECTORY / self.random.choice(sorted(names))
        before = self.disk.content(path)
        position = self.random.randrange(max(1, len(before.rstrip(b"\n"))))
        flipped = before[position] ^ (1 << self.random.randrange(8))
        saved = self.disk.snapshot()
        self.disk.overwrite(path, before[:position] + bytes([flipped]) + before[position + 1 :])
        seq = int(path.stem) + before.count(b"\n", 0, position)
        witnessed = True
        if self.random.random() < 0.3:
            self.disk.remove(DIRECTORY / "HEAD")
            witnessed = any(line.d >= seq for line in lines)
        try:
            log = self.opened(self.disk, self.clock)
        except JournalError:
            self.tally["rot_refused"] += 1
        else:
            log.close()
            seen = self._read()
            if witnessed and seen[: len(self.promised)] != self.promised:
                raise Broken("silent", f"byte {position} of {path.name} changed; {seen} is left")
            self.tally["rot_passed"] += 1
        self.disk.restore(saved)

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
        try:
            seen = self._read()
        except Crash:
            self._died()
            return
        if seen[: len(self.promised)] != self.promised:
            raise Broken("lost", f"promised {self.promised}, found {seen}")
        further = seen[len(self.promised) :]
        if further != self.hoped[: len(further)]:
            raise Broken("phantom", f"{further} is no beginning of {self.hoped}")
        self.tally["kept_unacknowledged"] += len(further)
        self.tally["cut_unacknowledged"] += len(self.hoped) - len(further)
        # From here on others act on what was found: it is promised now.
        self.promised, self.hoped = seen, []

    def _read(self) -> list[int]:
        reader = Reader(DIRECTORY, files=self.disk)
        seen, expected, at = [], 1, 0
        for line in reader.lines():
            if line.seq != expected or line.at < at or not line.d < line.seq:
                raise Broken("phantom", f"line {line.seq} at {line.at} follows {expected - 1}")
            expected, at = line.seq + 1, line.at
            if line.kind == KIND:
                seen.append(msgspec.json.decode(line.data, type=_Thing).n)
        if reader.damage:
            raise Broken("false_corrupt", str(reader.damage))
        return seen

    def _has_directory(self) -> bool:
        try:
            return bool(self.disk.names(DIRECTORY))
        except FileNotFoundError:
            return False

    def _look_before_sync(self) -> None:
        # The first sync of a commit is that of its batch: all of it is written, none is durable.
        if self._unsynced:
            self._unsynced = False
            self.tally["looks_before_sync"] += 1
            self.look()

    def _died(self) -> None:
        self.log = None
        self.tally["crash_in_writing"] += 1

    def _poisoned(self) -> None:
        self.tally["poisoned"] += 1
        assert self.log is not None
        assert self.log.poisoned
        self.log.close()
        self.log = None
