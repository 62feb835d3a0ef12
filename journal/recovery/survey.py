"""Looks at a whole directory, changes nothing, and names everything that it finds.

The same look serves a start, `verify`, and a test that wants to know what a crash left behind. It
reads HEAD first, then the names, then the files: so whatever HEAD vouches for was there before the
files were read, and a writer that is at work meanwhile cannot be taken for damage. While a writer
has the journal open, nothing beyond that is judged.

A start that can load a snapshot does not read what came before it: of those segments it sees the
two ends, of the archives the names. What it has to fold because no snapshot vouches for it is read,
wherever it lies. `verify` reads everything.
"""

from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import Struct

from ackbook.journal.format.compression import PackUnreadable
from ackbook.journal.format.control import Reach
from ackbook.journal.format.head import HeadReading, read_head
from ackbook.journal.format.layout import Listing, list_directory, segment_name
from ackbook.journal.format.snapshot import SnapshotFile
from ackbook.journal.reading.snapshot_choice import FoldVersions, SnapshotChoice, newest_snapshots
from ackbook.journal.reading.sources import Source, read_source, sources_of
from ackbook.journal.recovery.decision_table import Finding, Observation, RecoveryAction, decide
from ackbook.journal.recovery.findings import Findings, is_judged, observe
from ackbook.journal.recovery.inspect_sealed import in_file, in_memory, look_at_sealed, skim_sealed
from ackbook.journal.recovery.inspect_tail import Flaw, Look, look_at_tail
from ackbook.journal.storage.files import Files, read_whole

_ATTEMPTS_MAX = 100
"""A compaction beside the survey makes and takes away files that were named a moment ago. What
seems wrong counts only when no name has changed meanwhile."""


class Survey(Struct, frozen=True):
    """Everything that was found. `looks` are the segments in order, the tail last; `archived` the
    archives before them, as far as they were read."""

    directory: Path
    listing: Listing
    head: HeadReading
    live: bool
    looks: tuple[Look, ...]
    observations: tuple[Observation, ...]
    archived: tuple[Look, ...] = ()
    snapshots: SnapshotChoice = SnapshotChoice()
    snapshot: SnapshotFile | None = None
    """The one that a start of this fold version loads."""

    @property
    def verdict(self) -> RecoveryAction:
        return decide(frozenset(each.finding for each in self.observations))[1]

    @property
    def decisive(self) -> Observation | None:
        """What the verdict rests on."""
        row = decide(frozenset(each.finding for each in self.observations))[0]
        return next((each for each in self.observations if each.finding is row), None)

    @property
    def tail(self) -> Look | None:
        return self.looks[-1] if self.looks else None

    @property
    def journal(self) -> str | None:
        started = next((look.started for look in self.looks if look.started), None)
        return started.journal if started else None

    @property
    def reach(self) -> Reach:
        """How far back the segments and the archives go, by what the journal says itself."""
        tail = self.tail
        return Reach(tail.compacted + 1, tail.forgotten + 1) if tail else Reach()

    @property
    def shown(self) -> int:
        """The last seq that may be shown while a writer is at work."""
        last = self.tail.last if self.tail else None
        return max(self.head.seq, last.d if last else 0)

    @property
    def closed_cleanly(self) -> bool:
        """HEAD says closed, at exactly the last line, which is exactly the end of the file."""
        tail = self.tail
        if tail is None or tail.last is None or not self.head.marks or tail.flaws:
            return False
        mark = self.head.marks[0]
        at_the_end = mark.closed and (mark.seq, mark.crc) == (tail.last.seq, tail.last.crc)
        return at_the_end and tail.size == tail.end


def survey(
    files: Files,
    directory: Path,
    *,
    live: bool,
    kinds: frozenset[str] | None = None,
    full: bool = False,
    archives: bool = False,
    fold_version: FoldVersions = None,
) -> Survey:
    """Look at everything. `live` says that another process may be writing meanwhile; `full` also
    checks every sha256; `archives` reads these, too, and every snapshot. With a `fold_version`,
    what a snapshot of such a version vouches for is not read."""
    for _ in range(_ATTEMPTS_MAX if live else 0):
        try:
            found = _Looking(files, directory, live, kinds, full).look(archives, fold_version)
        except FileNotFoundError:
            continue
        if found.verdict is RecoveryAction.KEEP or found.listing == list_directory(
            files, directory
        ):
            return found
    return _Looking(files, directory, live, kinds, full).look(archives, fold_version)


class _Looking:
    def __init__(
        self, files: Files, directory: Path, live: bool, kinds: frozenset[str] | None, full: bool
    ) -> None:
        self._files = files
        self._directory = directory
        self._live = live
        self._kinds = kinds
        self._full = full
        self._head = read_head(files, directory)
        self._listing = list_directory(files, directory)

    def look(self, archives: bool, fold_version: FoldVersions) -> Survey:
        tail = self._tail()
        snapshots = self._snapshots(tail, fold_version, archives)
        trusted = snapshots.usable[0] if fold_version is not None and snapshots.usable else None
        looks: tuple[Look, ...] = ()
        archived: tuple[Look, ...] = ()
        if tail is not None:
            looks = (*self._sealed(tail, trusted.seq if trusted else 0), tail)
            if archives:
                archived = tuple(self._archives(tail, 0))
            elif fold_version is not None:
                archived = tuple(self._archives(tail, trusted.seq if trusted else 0))
        observations = observe(
            Findings(
                directory=self._directory,
                listing=self._listing,
                head=self._head,
                looks=looks,
                archived=archived,
                archives_read=archives,
                snapshots=snapshots,
                trusted=trusted.seq if trusted else 0,
                needs_state=fold_version is not None,
            )
        )
        if self._live:
            observations = [each for each in observations if is_judged(each, looks, self._head)]
        return Survey(
            self._directory,
            self._listing,
            self._head,
            self._live,
            looks,
            tuple(observations),
            archived,
            snapshots,
            trusted,
        )

    def _tail(self) -> Look | None:
        if not self._listing.segments:
            return None
        base = self._listing.segments[-1]
        data = read_whole(self._files, self._directory / segment_name(base))
        return look_at_tail(data, base, self._kinds, {m.seq: m.crc for m in self._head.marks})

    def _snapshots(
        self, tail: Look | None, fold_version: FoldVersions, every: bool
    ) -> SnapshotChoice:
        if tail is None or tail.started is None or tail.last is None:
            return SnapshotChoice()
        return newest_snapshots(
            self._directory,
            fold_version,
            journal_id=tail.started.journal,
            head=tail.last.seq,
            count_max=len(self._listing.snapshots) if every else 1,
            files=self._files,
        )

    def _sealed(self, tail: Look, trusted: int) -> list[Look]:
        looks = []
        # What a compaction recorded as removed is left over, whether or not it is still there.
        bases = [base for base in self._listing.segments if base > tail.compacted]
        for base, following in pairwise(bases):
            path = self._directory / segment_name(base)
            with in_file(self._files, path) as content:
                look = None
                if following - 1 <= trusted and not self._full:
                    look = skim_sealed(content, base, self._kinds)
                if look is None:
                    look = look_at_sealed(content, base, self._kinds, full=self._full)
            looks.append(look)
        return looks

    def _archives(self, tail: Look, trusted: int) -> list[Look]:
        """Those that are part of the history, beyond what is trusted."""
        after = max(tail.forgotten, trusted)
        return [
            self._archive(source)
            for source in sources_of(msgspec.structs.replace(self._listing, segments=()))
            if source.last is not None and after < source.last <= tail.compacted
        ]

    def _archive(self, source: Source) -> Look:
        try:
            content = read_source(self._files, self._directory, source)
        except PackUnreadable as error:
            flaw = Flaw(Finding.BROKEN, 0, 0, str(error))
            return Look(source.base, 0, name=source.name, flaws=(flaw,))
        look = look_at_sealed(in_memory(content), source.base, self._kinds, full=self._full)
        return msgspec.structs.replace(look, name=source.name)
