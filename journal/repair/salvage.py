"""Saves what is proven of a damaged journal into a new one. The verb that may lose; it says what.

Every line whose checksum holds is saved, also behind the damage, under its own seq; in the place of
what is missing stands a record that says so. So the new journal verifies, and a seq that was told
to anyone still means the same record or none. The source is read and never changed.

Not saved: lines of another journal, a second version of a seq (the one of the earlier file stays),
and an end that was never acknowledged. What a fold makes of history with a hole in it is not known
here; a snapshot that was taken behind the hole is kept, since it knows what stood there.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from ackbook.journal.errors import (
    Corrupt,
    Damage,
    Locked,
    NewerFormat,
    SnapshotUnusable,
)
from ackbook.journal.format.compression import PackUnreadable
from ackbook.journal.format.control import (
    CONTROL_PREFIX,
    Compacted,
    Reach,
    SegmentStarted,
    is_control,
    read_control,
)
from ackbook.journal.format.copy_mark import CopyMark, write_mark
from ackbook.journal.format.layout import LOCK, snapshot_name
from ackbook.journal.format.record import Line
from ackbook.journal.format.snapshot import SnapshotFile, read_snapshot, write_snapshot
from ackbook.journal.format.validation import knows
from ackbook.journal.maintenance.verify import verify
from ackbook.journal.next_step import NextStep
from ackbook.journal.reading.scanner import proof_of_durability
from ackbook.journal.reading.sources import Source, read_source, sources_of
from ackbook.journal.recovery.decision_table import TABLE, Finding, RecoveryAction
from ackbook.journal.recovery.inspect_sealed import EDITED
from ackbook.journal.recovery.survey import Survey, survey
from ackbook.journal.repair.atomic_directory import begin_directory, publish_directory
from ackbook.journal.repair.salvage_lines import glean
from ackbook.journal.repair.segment_rebuilder import Rebuilder
from ackbook.journal.storage.files import Files, OsFiles

_UNACKNOWLEDGED = frozenset({Finding.TORN, Finding.UNFINISHED, Finding.SEALED, Finding.NEWER})
"""Findings that leave no doubt about any line before them."""


class LostRecords(Struct, frozen=True):
    """Records that are not in the new journal, and what became of them."""

    first: int
    last: int
    why: str


class SalvageReport(Struct, frozen=True):
    """What the new journal holds, and what it does not."""

    directory: Path
    journal: str
    first_seq: int
    last_seq: int
    saved: int
    segments: int
    lost: tuple[LostRecords, ...]
    notes: tuple[str, ...]
    headless: bool = False
    """Nothing says whether records after the last one were acknowledged: HEAD was gone."""

    @property
    def lost_records(self) -> int:
        return sum(gap.last - gap.first + 1 for gap in self.lost)


def salvage(
    source: Path,
    out: Path,
    *,
    kinds: frozenset[str] | None = None,
    files: Files | None = None,
) -> SalvageReport:
    """Make a journal in `out`, which must not be there yet or be empty, of what is good here.

    Raises `Locked` while a writer has the source open, `NewerFormat` where only a newer version
    knows what is good, `Corrupt` where no line at all is proven, and `TargetTaken`.
    """
    files = files or OsFiles()
    source, out = source.absolute(), out.absolute()
    if files.locked(source / LOCK):
        raise Locked(f"{source} is open for writing", "end that process first, or take a backup")
    found = survey(files, source, live=False, kinds=kinds, full=True, archives=True)
    if found.verdict is RecoveryAction.NEWER:
        assert found.decisive is not None, "a verdict rests on something"
        raise NewerFormat(found.decisive.damage)
    return _Salvage(files, found, kinds).run(out)


class _Salvage:
    def __init__(self, files: Files, found: Survey, kinds: frozenset[str] | None) -> None:
        self._files = files
        self._kinds = kinds
        self._edited = {e.damage.file for e in found.observations if EDITED in e.damage.what}
        self._found = found
        sources = sources_of(found.listing)
        ids = {source: self._read_id(source) for source in sources}
        self._journal = _most_named(ids.values(), [mark.journal for mark in found.head.marks])
        self._sources = [each for each in sources if ids[each] in ("", self._journal)]
        self._foreign = [each for each in sources if each not in self._sources]
        self._twice = 0
        self._snapshots = self._usable_snapshots()

    def run(self, out: Path) -> SalvageReport:
        if next(self._lines(), None) is None:
            raise self._nothing()
        partial = begin_directory(self._files, out)
        wanted = frozenset(snapshot.seq for snapshot in self._snapshots)
        rebuilder = Rebuilder(self._files, partial, self._journal, self._reach(), wanted)
        for line in self._lines():
            rebuilder.take(line)
        rebuilder.finish(self._witness())
        kept = self._keep_snapshots(partial, rebuilder)
        write_mark(self._files, partial, CopyMark(self._journal, rebuilder.last.seq, "salvage"))
        made = verify(partial, kinds=self._kinds, files=self._files)
        assert not made.damage, made.damage
        publish_directory(self._files, partial, out)
        return SalvageReport(
            directory=out,
            journal=self._journal,
            first_seq=made.first_seq,
            last_seq=made.last_seq,
            saved=rebuilder.saved,
            segments=rebuilder.segments,
            lost=tuple(
                LostRecords(first, last, self._why(first)) for first, last in rebuilder.gaps
            ),
            notes=(*self._notes(), *kept),
            headless=self._is_headless(),
        )

    def _nothing(self) -> Corrupt:
        """There is no line to be saved, whatever there may have been."""
        what = "no line in it is proven to be good"
        following = NextStep("bring the files back from a backup")
        return Corrupt(Damage(str(self._found.directory), 0, 0, what, "", following))

    def _lines(self) -> Iterator[Line]:
        """Every proven line of this journal once, seqs rising."""
        last = self._twice = 0
        for source in self._sources:
            for line in self._proven(source):
                if line.seq > last:
                    yield line
                    last = line.seq
                else:
                    self._twice += 1

    def _proven(self, source: Source) -> Iterable[Line]:
        """What is proven of a file; where others hold the same lines, of all of them together."""
        beyond = self._is_acknowledged(source)
        if not source.twins:
            lines = glean(self._read(source), source.base, beyond=beyond)
            return filter(self._is_known, lines) if source.name in self._edited else lines
        found: dict[int, Line] = {}
        for each in (source, *source.twins):
            for line in glean(self._read(each), each.base, beyond=beyond):
                found.setdefault(line.seq, line)
        return [found[seq] for seq in sorted(found)]

    def _is_known(self, line: Line) -> bool:
        """Whether an edited segment may be believed in this: no newer version wrote it."""
        return is_control(line.kind) or knows(self._kinds, line.kind)

    def _read_id(self, source: Source) -> str:
        """The journal that its first line names; empty where that cannot be read."""
        for each in (source, *source.twins):
            first = next(glean(self._read(each), each.base, beyond=False), None)
            started = read_control(first) if first else None
            if isinstance(started, SegmentStarted):
                return started.journal
        return ""

    def _read(self, source: Source) -> bytes:
        try:
            return read_source(self._files, self._found.directory, source)
        except PackUnreadable:
            return b""

    def _is_acknowledged(self, source: Source) -> bool:
        """Whether anything says that lines behind the first bad one were durable."""
        tail = self._found.tail
        if tail is None or source.base != tail.base:
            return True
        first_bad = tail.last.seq + 1 if tail.last else tail.base
        flawed = any(flaw.finding not in _UNACKNOWLEDGED for flaw in tail.flaws)
        return flawed or self._is_headless() or self._witness() >= first_bad

    def _is_headless(self) -> bool:
        return any(each.finding is Finding.HEADLESS for each in self._found.observations)

    def _witness(self) -> int:
        """The highest seq that is known to have been durable."""
        seqs = [mark.seq for mark in self._found.head.marks if mark.journal == self._journal]
        seqs += [snapshot.seq for snapshot in self._snapshots]
        tail = self._found.tail
        if tail is not None and (tail.started is None or tail.started.journal == self._journal):
            proof = proof_of_durability(tail.rest, tail.last.seq + 1 if tail.last else tail.base)
            seqs.append(proof.d if proof else 0)
        return max(seqs, default=0)

    def _reach(self) -> Reach:
        """What was removed on purpose, by what the saved records say."""
        kept, archived = 1, 1
        for source in self._sources:
            for line in self._proven(source):
                match read_control(line) if line.kind.startswith(CONTROL_PREFIX) else None:
                    case SegmentStarted() as started:
                        kept = max(kept, started.kept_from)
                        archived = max(archived, started.archived_from)
                    case Compacted() as compacted:
                        kept = max(kept, compacted.through + 1)
                        archived = max(archived, compacted.forgotten + 1)
                    case _:
                        pass
        return Reach(kept, archived)

    def _usable_snapshots(self) -> list[SnapshotFile]:
        usable = []
        for seq in self._found.listing.snapshots:
            try:
                path = self._found.directory / snapshot_name(seq)
                snapshot = read_snapshot(path, files=self._files)
            except SnapshotUnusable:
                continue
            if snapshot.journal_id == self._journal:
                usable.append(snapshot)
        return usable

    def _keep_snapshots(self, partial: Path, rebuilder: Rebuilder) -> list[str]:
        """A snapshot names the checksum of its line, which may be another one now."""
        notes = []
        for snapshot in self._snapshots:
            position = rebuilder.watched.get(snapshot.seq)
            if position is None:
                notes.append(f"{snapshot.name} is left out: its record is not saved")
                continue
            write_snapshot(
                partial,
                journal_id=self._journal,
                position=position,
                fold_version=snapshot.fold_version,
                lines=(line for block in snapshot.blocks() for line in block[:-1].split(b"\n")),
                files=self._files,
            )
            notes.append(f"{snapshot.name} is kept")
        return notes

    def _why(self, seq: int) -> str:
        """What is known of the place where this record should be."""
        name = next((s.name for s in reversed(self._sources) if s.base <= seq), "")
        order = [finding for finding, _ in TABLE]
        for each in sorted(self._found.observations, key=lambda seen: order.index(seen.finding)):
            damage = each.damage
            if damage.file == name:
                place = f", line {damage.line}, byte {damage.byte}" if damage.line else ""
                return f"{damage.file}{place}: {damage.what}"
        return "no file holds them"

    def _notes(self) -> Iterator[str]:
        if self._is_headless():
            yield "HEAD is missing: whether records after the last one were acknowledged is unknown"
        for name in sorted(self._edited):
            yield f"{name} was edited by somebody who made its checksums anew: none of it is proven"
        for source in self._foreign:
            yield f"{source.name} is left out: it belongs to another journal"
        if self._twice:
            yield f"{self._twice} lines are left out: an earlier file holds their seqs"
        tail = self._found.tail
        for source in self._sources[-1:]:
            own = tail is not None and tail.base == source.base
            rest = tail.rest if own and tail else b""
            if rest and not self._is_acknowledged(source):
                yield f"{len(rest)} bytes at the end are left out: they were never acknowledged"


def _most_named(ids: Iterable[str], head: list[str]) -> str:
    """The id that most segments carry; HEAD's where they do not agree or cannot be read."""
    counts = Counter(filter(None, ids))
    most = max(counts.values(), default=0)
    candidates = [each for each, count in counts.items() if count == most]
    known = next((each for each in head if each in candidates or not candidates), None)
    return known or next(iter(candidates), "0")
