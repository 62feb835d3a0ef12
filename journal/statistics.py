"""What each segment of a journal holds, what of it is still live, and what keeps it in place.

Live is whatever the caller's state still refers to; the caller says how much of that stands between
two seqs, since the journal does not know what a record means. A segment is pinned while a
compaction may not take it: the tail always, any other until two good snapshots stand at its end or
behind it. It reads every segment once and changes nothing.
"""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from journal.blocks import Place, SegmentBlocks
from journal.files import Files, OsFiles
from journal.layout import ARCHIVE, list_directory
from journal.record import parse_line
from journal.snapshots import KEPT, newest_snapshots
from journal.sources import Source, sources_of


class SegmentStatistics(Struct, frozen=True):
    """One file. `started_at` is microseconds UTC; `pinned_by` is empty where nothing pins it;
    `wrong` says why it cannot be read to its end."""

    file: str
    first_seq: int
    last_seq: int
    records: int
    bytes: int
    started_at: int
    archived: bool
    live: int
    pinned_by: str
    wrong: str = ""


def statistics(
    directory: Path, *, live: Callable[[int, int], int], files: Files | None = None
) -> tuple[SegmentStatistics, ...]:
    """Every segment and archive in order. `live(first, last)` counts what the state refers to."""
    files = files or OsFiles()
    directory = directory.absolute()
    snapshots = newest_snapshots(directory, None, files=files).usable
    floor = snapshots[KEPT - 1].seq if len(snapshots) >= KEPT else 0
    sources = sources_of(list_directory(files, directory))
    found = []
    for source in sources:
        row = _read(files, directory, source, live)
        if source is sources[-1] and not row.archived:
            row = replace(row, pinned_by="it is the tail")
        elif not row.archived and row.last_seq > floor:
            row = replace(row, pinned_by=f"no {KEPT} snapshots at {row.last_seq} or behind it")
        found.append(row)
    return tuple(found)


def _read(
    files: Files, directory: Path, source: Source, live: Callable[[int, int], int]
) -> SegmentStatistics:
    path = directory / source.name
    blocks = SegmentBlocks(files, path, Place(source.base, source.base))
    last, started_at = 0, 0
    for block in blocks:
        if not started_at:
            line = parse_line(block.data.partition(b"\n")[0])
            started_at = line.at if line else 0
        last = block.last.seq
    handle = files.open(path, "read")
    try:
        size = files.size(handle)
    finally:
        files.close(handle)
    return SegmentStatistics(
        file=source.name,
        first_seq=source.base,
        last_seq=last,
        records=blocks.place.count,
        bytes=size,
        started_at=started_at,
        archived=source.name.startswith(f"{ARCHIVE}/"),
        live=live(source.base, last),
        pinned_by="",
        wrong=blocks.wrong or "",
    )
