"""What each segment of a journal holds, what of it is still live, and what keeps it in place.

Live is whatever the caller's state still refers to; the caller says how much of that stands between
two seqs, since the journal does not know what a record means. A segment is pinned while a
compaction may not take it; why, the plan of a compaction says. It reads every segment once and
changes nothing.
"""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from ackbook.journal.format.layout import ARCHIVE, list_directory
from ackbook.journal.format.record import parse_line
from ackbook.journal.maintenance.compaction import plan_compaction
from ackbook.journal.reading.blocks import LinePosition, SegmentBlocks
from ackbook.journal.reading.snapshot_choice import FoldVersions
from ackbook.journal.reading.sources import Source, sources_of
from ackbook.journal.storage.files import Files, OsFiles


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
    directory: Path,
    *,
    live: Callable[[int, int], int],
    fold_version: FoldVersions = None,
    files: Files | None = None,
) -> tuple[SegmentStatistics, ...]:
    """Every segment and archive in order. `live(first, last)` counts what the state refers to;
    `fold_version` is that of the snapshots that a compaction may rest on."""
    files = files or OsFiles()
    directory = directory.absolute()
    plan = plan_compaction(directory, fold_version=fold_version, now=0, files=files)
    pins = {pinned.name: pinned.why for pinned in plan.pinned}
    sources = sources_of(list_directory(files, directory))
    return tuple(
        _read(files, directory, source, live, pins.get(source.name, "")) for source in sources
    )


def _read(
    files: Files, directory: Path, source: Source, live: Callable[[int, int], int], pin: str
) -> SegmentStatistics:
    path = directory / source.name
    blocks = SegmentBlocks(files, path, LinePosition(source.base, source.base))
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
        pinned_by=pin,
        wrong=blocks.wrong or "",
    )
