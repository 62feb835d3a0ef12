"""Which snapshots of a directory a start may build on, and why the others are set aside.

A snapshot is usable when it verifies, belongs to this journal, stands on a line that is really
there with this checksum, and was made by a version of the fold that whoever asks can load. One that
verifies and stands beyond the last line is no use but a witness: what it was made of is gone.
Nothing is ever deleted here.
"""

from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from ackbook.journal.errors import SnapshotUnusable
from ackbook.journal.format.layout import list_directory, snapshot_name
from ackbook.journal.format.snapshot import SnapshotFile, read_snapshot
from ackbook.journal.reading.reader import Reader
from ackbook.journal.storage.files import Files, OsFiles

KEPT: int = 2
"""The newest verified ones that are kept; compaction never goes beyond the older of them."""


FoldVersions: TypeAlias = int | frozenset[int] | None
"""The versions of the fold whose snapshots can be loaded. None: any, for those who ask what is
sound rather than what they can load."""


class SetAside(Struct, frozen=True):
    """A snapshot that is not used, and the reason. It stays where it is."""

    name: str
    why: str


class SnapshotChoice(Struct, frozen=True):
    """`usable` and `beyond` are in order, the newest first."""

    usable: tuple[SnapshotFile, ...] = ()
    aside: tuple[SetAside, ...] = ()
    beyond: tuple[SnapshotFile, ...] = ()
    """Good ones of this journal that stand beyond its last line: records are missing."""


def newest_snapshots(
    directory: Path,
    fold_version: FoldVersions,
    *,
    journal_id: str | None = None,
    head: int | None = None,
    count_max: int = KEPT,
    files: Files | None = None,
) -> SnapshotChoice:
    """Look at the snapshots from the newest on, until `count_max` of them are usable.

    `journal_id` and `head` (the last line) are looked up when not given.
    """
    files = files or OsFiles()
    directory = directory.absolute()
    reader = Reader(directory, files=files)
    journal_id = reader.journal_id if journal_id is None else journal_id
    head = reader.head() if head is None else head
    usable: list[SnapshotFile] = []
    aside: list[SetAside] = []
    beyond: list[SnapshotFile] = []
    for seq in reversed(list_directory(files, directory).snapshots):
        if len(usable) == count_max:
            break
        name = snapshot_name(seq)
        try:
            snapshot = read_snapshot(directory / name, files=files)
        except SnapshotUnusable as error:
            aside.append(SetAside(name, error.what.partition(": ")[2]))
            continue
        why = ""
        if snapshot.journal_id != journal_id:
            why = f"it belongs to another journal, {snapshot.journal_id}"
        elif seq > head:
            why = f"it is of the future: the last record here is {head}"
            beyond.append(snapshot)
        elif not stands_on(reader, snapshot):
            why = f"it belongs to another history: record {seq} is another one here, or not here"
        elif not _is_loadable(snapshot.fold_version, fold_version):
            why = (
                f"it was made by version {snapshot.fold_version} of the fold, "
                f"not {_told(fold_version)}"
            )
        if why:
            aside.append(SetAside(name, why))
        else:
            usable.append(snapshot)
    return SnapshotChoice(tuple(usable), tuple(aside), tuple(beyond))


def _is_loadable(version: int, wanted: FoldVersions) -> bool:
    return wanted is None or version in _each(wanted)


def _each(wanted: int | frozenset[int]) -> frozenset[int]:
    return frozenset({wanted}) if isinstance(wanted, int) else wanted


def _told(wanted: FoldVersions) -> str:
    return "any" if wanted is None else " or ".join(map(str, sorted(_each(wanted))))


def stands_on(reader: Reader, snapshot: SnapshotFile) -> bool:
    """Whether the line that it names is there, byte for byte as far as a checksum can tell."""
    seq = snapshot.seq
    return any(
        (line.crc, line.at) == (snapshot.position.crc, snapshot.position.at)
        for line in reader.lines(after=seq - 1, through=seq)
    )
