"""Which segments may leave the front of a journal, and the order in which they do.

1. Whole sealed segments at or below the second newest snapshot that verifies now may go; whoever
   asks may set the floor lower. Every other one is pinned, and the plan says by what.
2. Each gets its archive first: packed, durable, read back (`archive`).
3. Then `journal.compacted` says so, and is durable.
4. Then the segments are deleted, the oldest first, and the directory is synced.
5. Archives that the retention does not keep go the same way: the record first.

A few segments at a time, so that a full disk gets room early and nobody waits long. After a crash
between any two steps the next start finishes what its record says, and undoes the rest. No record
is ever taken from between others.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from msgspec import Struct

from ackbook.journal.format.layout import Archived, list_directory, segment_name
from ackbook.journal.format.snapshot import SnapshotFile
from ackbook.journal.maintenance.archive import ArchiveFile, archive_segment
from ackbook.journal.maintenance.retention import FOREVER, Retention, archives_to_forget, size_of
from ackbook.journal.reading.snapshot_choice import KEPT, FoldVersions, newest_snapshots
from ackbook.journal.storage.files import Files, OsFiles
from ackbook.journal.writing.log import Log

SEGMENTS_A_STEP: Final = 4
"""Their names fit one small record. To delete one of 16 MiB takes a file system 8 ms, and the
writer waits meanwhile."""


class Piece(Struct, frozen=True):
    """A sealed segment with its first and last seq."""

    first: int
    last: int
    bytes: int

    @property
    def name(self) -> str:
        return segment_name(self.first)


class Pinned(Struct, frozen=True):
    """A segment that stays, and why."""

    name: str
    bytes: int
    why: str


class CompactionPlan(Struct, frozen=True):
    """`goes` in order; `snapshot` is the second newest that verifies, None when there are not two.
    `through` is the last seq that goes, 0 when nothing does."""

    goes: tuple[Piece, ...]
    pinned: tuple[Pinned, ...]
    snapshot: SnapshotFile | None
    forgets: tuple[Archived, ...] = ()
    """Archives that the retention does not keep any more, as of now."""

    @property
    def through(self) -> int:
        return self.goes[-1].last if self.goes else 0

    @property
    def bytes(self) -> int:
        return sum(piece.bytes for piece in self.goes)


class CompactionReport(Struct, frozen=True):
    """What a run did: `removed` segments with their bytes, the archives that were made, and the
    archives that were deleted."""

    through: int
    removed: tuple[str, ...]
    removed_bytes: int
    archived: tuple[str, ...]
    archived_bytes: int
    forgotten: tuple[str, ...]
    pinned: tuple[Pinned, ...]


class CompactionProgress(Struct, frozen=True):
    """One segment more has its archive."""

    done: int
    total: int
    piece: Piece


def plan_compaction(
    directory: Path,
    *,
    fold_version: FoldVersions,
    floor: int | None = None,
    keep_audit: Retention = FOREVER,
    now: int,
    files: Files | None = None,
) -> CompactionPlan:
    """What a compaction would do now; it changes nothing and reads both snapshots whole.

    `floor` is the last seq that whoever asks lets go of. `now` (microseconds UTC) is what the age
    of an archive is measured against.
    """
    files = files or OsFiles()
    directory = directory.absolute()
    listing = list_directory(files, directory)
    usable = newest_snapshots(directory, fold_version, count_max=KEPT, files=files).usable
    snapshot = usable[KEPT - 1] if len(usable) == KEPT else None
    goes: list[Piece] = []
    pinned: list[Pinned] = []
    for base, following in pairwise((*listing.segments, None)):
        assert base is not None, "only the last of the pairs has no successor"
        size = size_of(files, directory / segment_name(base))
        last = base if following is None else following - 1
        why = _pin(last, following is None, snapshot, floor)
        if why:
            pinned.append(Pinned(segment_name(base), size, why))
        else:
            goes.append(Piece(base, last, size))
    forgets = archives_to_forget(files, directory, keep_audit, now)
    return CompactionPlan(tuple(goes), tuple(pinned), snapshot, forgets)


class Compaction:
    """One run beside a writer: archive what is `due`, wherever that is done, then `step` between
    two batches; at the end `forget`. It may be dropped after any step."""

    def __init__(
        self,
        log: Log,
        plan: CompactionPlan,
        *,
        keep_audit: Retention = FOREVER,
        files: Files | None = None,
    ) -> None:
        self._log = log
        self._files = files or log.files
        self._snapshot = plan.snapshot
        self._pending = list(plan.goes)
        self._pinned = plan.pinned
        self._retention = keep_audit
        self._removed: list[Piece] = []
        self._archived: list[ArchiveFile] = []
        self._forgotten: list[str] = []

    @property
    def due(self) -> tuple[Piece, ...]:
        """The segments of the next step; none when all are gone."""
        return tuple(self._pending[:SEGMENTS_A_STEP])

    @property
    def needs_archives(self) -> bool:
        """Whether what is due has to be archived: a retention of nothing keeps none."""
        return self._retention.keeps_any

    def step(self, archived: Sequence[ArchiveFile]) -> None:
        """Record and delete what was due, between two batches. `archived` are its archives, made
        by `archive_segment`, and empty when none are needed. Raises what `Log.remove_history`
        raises: `AttemptFailed`, `JournalFull`, `SnapshotUnusable`, `DiskFailed`."""
        due = self.due
        if not due:
            return
        assert self._snapshot is not None, "nothing goes without two snapshots"
        if self.needs_archives:
            ranges = [(each.first, each.last) for each in archived]
            assert ranges == [(piece.first, piece.last) for piece in due], "each has its archive"
        self._log.remove_history(
            due[-1].last,
            self._snapshot,
            archived=tuple(each.name for each in archived),
            forgotten=None if self.needs_archives else due[-1].last,
        )
        del self._pending[: len(due)]
        self._removed += due
        self._archived += archived

    def forget(self) -> None:
        """Delete the archives that the retention does not keep, between two batches. Raises what
        `step` raises."""
        log = self._log
        gone = archives_to_forget(self._files, log.directory, self._retention, log.now())
        if gone and self._snapshot is not None:
            through = log.reach.kept_from - 1
            log.remove_history(through, self._snapshot, forgotten=gone[-1].last)
            self._forgotten += [each.name for each in gone]

    def report(self) -> CompactionReport:
        """What was done so far."""
        return CompactionReport(
            through=self._removed[-1].last if self._removed else 0,
            removed=tuple(piece.name for piece in self._removed),
            removed_bytes=sum(piece.bytes for piece in self._removed),
            archived=tuple(each.name for each in self._archived),
            archived_bytes=sum(each.bytes for each in self._archived),
            forgotten=tuple(self._forgotten),
            pinned=self._pinned,
        )


def compact(
    log: Log,
    *,
    fold_version: FoldVersions,
    floor: int | None = None,
    keep_audit: Retention = FOREVER,
    progress: Callable[[CompactionProgress], None] | None = None,
    dry_run: bool = False,
    files: Files | None = None,
) -> CompactionReport:
    """All of it at once, for one who has the log to himself. Call it between batches.

    To free as much as can be: `Log.seal`, then a snapshot at the seal and one at the head. Raises
    `AttemptFailed` when an archive could not be made, and `JournalFull` when there is no room for
    the record that says what goes: what was removed before stays removed. `DiskFailed` ends the
    log, as in every commit.
    """
    files = files or log.files
    plan = plan_compaction(
        log.directory,
        fold_version=fold_version,
        floor=floor,
        keep_audit=keep_audit,
        now=log.now(),
        files=files,
    )
    run = Compaction(log, plan, keep_audit=keep_audit, files=files)
    if dry_run:
        return _foretell(plan)
    done = 0
    while due := run.due:
        archived = []
        for piece in due:
            if run.needs_archives:
                archived.append(archive_segment(log.directory, piece.first, files=files))
            done += 1
            if progress is not None:
                progress(CompactionProgress(done, len(plan.goes), piece))
        run.step(archived)
    run.forget()
    return run.report()


def _pin(last: int, is_tail: bool, snapshot: SnapshotFile | None, floor: int | None) -> str:
    """Why a segment stays; nothing when it may go."""
    if is_tail:
        return "it is being written"
    if snapshot is None:
        return f"fewer than {KEPT} snapshots verify"
    if last > snapshot.seq:
        return f"the older one of the two snapshots stands at {snapshot.seq}, before its end {last}"
    if floor is not None and last > floor:
        return f"it is asked to keep everything after {floor}"
    return ""


def _foretell(plan: CompactionPlan) -> CompactionReport:
    return CompactionReport(
        through=plan.through,
        removed=tuple(piece.name for piece in plan.goes),
        removed_bytes=plan.bytes,
        archived=(),
        archived_bytes=0,
        forgotten=tuple(each.name for each in plan.forgets),
        pinned=plan.pinned,
    )
