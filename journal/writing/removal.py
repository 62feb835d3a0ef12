"""What a writer removes for good, and in which order: the record first, then the files.

Every removal is a record before it is done, so that a start after a crash can finish it, and a
reader can tell what was removed on purpose from what is missing. Nothing is removed that two
snapshots which verified do not make dispensable. All of it happens between batches.
"""

import contextlib
from pathlib import Path
from typing import Final

from ackbook.journal.errors import AttemptFailed, SnapshotUnusable
from ackbook.journal.format.control import Compacted, Reach, Snapshotted
from ackbook.journal.format.layout import (
    ARCHIVE,
    Listing,
    list_directory,
    segment_name,
    snapshot_name,
)
from ackbook.journal.format.snapshot import SnapshotFile
from ackbook.journal.reading.snapshot_choice import KEPT
from ackbook.journal.storage.files import Files
from ackbook.journal.writing.writer import Writer

_REMOVED_MAX: Final = 8
"""At a time, so that the record that names them stays small."""


class HistoryRemover:
    """The part of a log that lets history go. `snapshot` is the one that the start found."""

    __slots__ = ("_files", "_verified", "_writer")

    def __init__(self, files: Files, writer: Writer, snapshot: SnapshotFile | None) -> None:
        self._files = files
        self._writer = writer
        self._verified: dict[int, SnapshotFile] = {snapshot.seq: snapshot} if snapshot else {}

    def note_snapshot(self, snapshot: SnapshotFile) -> None:
        """See `Log.note_snapshot`. Raises `SnapshotUnusable` and `JournalFull`."""
        self._check(snapshot)
        known = {**self._verified, snapshot.seq: snapshot}
        newest = sorted(known)[-KEPT:]
        listing = list_directory(self._files, self._writer.directory)
        older = [seq for seq in listing.snapshots if len(newest) == KEPT and seq < newest[0]]
        names = tuple(snapshot_name(seq) for seq in older)[:_REMOVED_MAX]
        self._writer.record(Snapshotted(snapshot.name, snapshot.seq, snapshot.sha256, names))
        self._verified = {seq: known[seq] for seq in newest}
        self._remove(names)

    def remove_history(
        self, through: int, snapshot: SnapshotFile, archived: tuple[str, ...], forgotten: int
    ) -> None:
        """See `Log.remove_history`. Raises `SnapshotUnusable`, `AttemptFailed`, `JournalFull`."""
        self._check(snapshot)
        before = self._writer.reach
        assert before.kept_from - 1 <= through <= snapshot.seq, "a snapshot stands at or beyond it"
        assert before.archived_from - 1 <= forgotten <= through, "archives go after their segments"
        # Its name may stand in memory alone: whoever made it was killed before it was synced.
        self._sync_names(snapshot)
        self._writer.record(Compacted(through, snapshot.name, archived, forgotten))
        listing = list_directory(self._files, self._writer.directory)
        self._remove(removed_by(listing, self._writer.reach))

    def _check(self, snapshot: SnapshotFile) -> None:
        writer = self._writer
        if snapshot.journal_id != writer.journal_id or snapshot.seq > writer.head.seq:
            raise SnapshotUnusable(f"{snapshot.name} is not of {writer.directory}", "make another")

    def _sync_names(self, snapshot: SnapshotFile) -> None:
        try:
            self._files.sync_dir(self._writer.directory)
        except OSError as error:
            raise AttemptFailed(f"{snapshot.name} is not durable: {error}", "try again") from error

    def _remove(self, names: tuple[str, ...]) -> None:
        with self._writer.poison:
            remove(self._files, self._writer.directory, names)


def left_over(listing: Listing, reach: Reach) -> tuple[str, ...]:
    """The names of everything that a start removes, in order."""
    undone = [
        f"{ARCHIVE}/{each.name}"
        for each in listing.archives
        if each.first >= reach.kept_from and each.first in listing.segments
    ]
    return (*removed_by(listing, reach), *undone)


def removed_by(listing: Listing, reach: Reach) -> tuple[str, ...]:
    """What is still there and removed by a record: segments before archives, oldest first."""
    segments = [segment_name(base) for base in listing.segments if base < reach.kept_from]
    archives = [f"{ARCHIVE}/{e.name}" for e in listing.archives if e.last < reach.archived_from]
    return (*segments, *archives)


def remove(files: Files, directory: Path, names: tuple[str, ...]) -> None:
    """Delete these, in this order, and make that durable."""
    folders = dict.fromkeys((directory / name).parent for name in names)
    for name in names:
        discard(files, directory / name)
    for folder in folders:
        files.sync_dir(folder)


def discard(files: Files, path: Path) -> None:
    """Delete what nobody needs. A worker that outlived its broker may have given a `.tmp` its name
    a moment ago; then there is nothing left to delete."""
    with contextlib.suppress(FileNotFoundError):
        files.unlink(path)
