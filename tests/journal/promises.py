"""What a journal promises about its records, and somebody who remembers all that was promised.

- what was acknowledged is there, byte for byte, after any crash;
- what is there is a prefix of what was submitted, in order, nothing twice and nothing else;
- nobody sees a record before it is durable;
- the state that a start loads from a snapshot and folds on from is that of a full replay;
- a snapshot that was recorded can be used, and history is only missing where it was let go;
- a crash alone is never called damage; damage is never passed over in silence.

`Witness` looks at the simulated disk and raises `Broken` where one of them does not hold. What is
done to the journal stands in `story`.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from ackbook.journal import Line, Log, Reader, verify
from ackbook.journal.format.layout import list_directory
from ackbook.journal.writing.removal import left_over
from tests.support.disk import SimulatedDisk

DIRECTORY = Path("/sim/journal")
KIND = "thing.happened"

Breach = Literal["lost", "phantom", "false_corrupt", "early", "silent"]


class Broken(AssertionError):
    """A promise does not hold."""

    def __init__(self, kind: Breach, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


class Thing(msgspec.Struct):
    """The content of every record. The state that is folded is the list of all numbers."""

    n: int
    pad: str = ""


class Witness:
    """`promised` are the records that somebody was told of, `hoped` those that were staged since;
    both by number. Numbers are never used twice, so a phantom is known by its number."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.promised: list[int] = []
        self.hoped: list[int] = []
        self.tally: Counter[str] = Counter()
        self.seqs: dict[int, int] = {}
        """Where each number was staged."""
        self.noted = 0
        """The newest snapshot that was recorded."""
        self.let_go = 0
        """Records up to this one may have been removed for good."""

    def check_untouched(self) -> None:
        """Before anything is repaired: a crash is not damage."""
        report = verify(DIRECTORY, files=self.disk) if self._has_directory() else None
        if report is not None and report.verdict not in ("keep", "cut"):
            raise Broken("false_corrupt", str(report.damage))

    def check_recovered(self, log: Log) -> None:
        """After a start: what it found is what was promised, and perhaps some of what was hoped.
        From here on others act on what was found, so all of that is promised now."""
        seen = self.read()
        state, said = state_of(self.disk, log)
        listing = list_directory(self.disk, DIRECTORY)
        if seen[: len(self.promised)] != self.promised:
            raise Broken("lost", f"promised {self.promised}, found {seen}")
        further = seen[len(self.promised) :]
        if further != self.hoped[: len(further)]:
            raise Broken("phantom", f"{further} is no beginning of {self.hoped}")
        if said or state != seen:
            raise Broken("lost", f"a start has the state {state}, a replay has {seen}")
        loaded = log.snapshot.seq if log.snapshot else 0
        if loaded < self.noted:
            raise Broken("lost", f"snapshot {self.noted} was recorded, {loaded} can be used")
        if left_over(listing, log.reach):
            raise Broken("lost", f"a compaction was not finished: {listing}")
        self.tally["starts_from_a_snapshot"] += bool(loaded)
        self.tally["kept_unacknowledged"] += len(further)
        self.tally["cut_unacknowledged"] += len(self.hoped) - len(further)
        self.promised, self.hoped = seen, []

    def check_seen(self) -> None:
        """A reader beside the writer sees what was promised, and nothing else."""
        seen = self.read()
        if seen != self.promised:
            kind: Breach = "early" if len(seen) > len(self.promised) else "lost"
            raise Broken(kind, f"a reader sees {seen}, promised are {self.promised}")

    def check_closed(self) -> None:
        """After a clean close everything that was promised is there, and nothing is wrong."""
        report = verify(DIRECTORY, files=self.disk)
        if not report.ok:
            raise Broken("false_corrupt", f"after a clean close: {report.damage}")
        self.tally["rolls"] += report.segments - 1
        if self.read() != self.promised:
            raise Broken("lost", "a clean close lost something")

    def read(self) -> list[int]:
        """Every number, as far as a reader gives it; what was let go is known to the witness."""
        reader = Reader(DIRECTORY, files=self.disk)
        expected, at = max(1, reader.first_seq), 0
        if expected > self.let_go + 1:
            raise Broken("lost", f"history begins with {expected}, nothing let it go")
        seen = [n for n in self.promised if self.seqs[n] < expected]
        for line in reader.lines(expected - 1):
            if line.seq != expected or line.at < at or not line.d < line.seq:
                raise Broken("phantom", f"line {line.seq} at {line.at} follows {expected - 1}")
            expected, at = line.seq + 1, line.at
            if line.kind == KIND:
                seen.append(msgspec.json.decode(line.data, type=Thing).n)
        if reader.damage or reader.gaps:
            raise Broken("false_corrupt", str(reader.damage or reader.gaps))
        return seen

    def _has_directory(self) -> bool:
        try:
            return bool(self.disk.entries(DIRECTORY))
        except FileNotFoundError:
            return False


def state_of(disk: SimulatedDisk, log: Log) -> tuple[list[int], bool]:
    """What a start has, and whether something said that it is not everything."""
    state: list[int] = []
    after = 0
    if log.snapshot is not None:
        after = log.snapshot.seq
        loaded = b"".join(log.snapshot.blocks()).splitlines()
        state = [msgspec.json.decode(line, type=Thing).n for line in loaded]
    reader = Reader(DIRECTORY, files=disk)
    state += numbers_of(reader.lines(after))
    return state, bool(reader.damage or reader.gaps)


def numbers_of(lines: Iterable[Line]) -> list[int]:
    """The numbers of the things among these lines, in order."""
    return [msgspec.json.decode(line.data, type=Thing).n for line in lines if line.kind == KIND]
