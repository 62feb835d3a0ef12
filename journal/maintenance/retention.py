"""How long the archives are kept: for ever, so many bytes, or so long.

Whole archives go, the oldest first, so that what is left is always everything from some record on.
The age of an archive is that of its last record, as told by the first line of what follows it.
"""

from pathlib import Path
from typing import Final

from msgspec import Struct

from ackbook.journal.format.compression import PackUnreadable, is_packed, unpack_start
from ackbook.journal.format.layout import ARCHIVE, Archived, Listing, list_directory, segment_name
from ackbook.journal.format.record import parse_line
from ackbook.journal.limits import SECOND_US
from ackbook.journal.storage.files import Files

_START_BYTES: Final = 64 * 1024
"""The first line of a segment is a small one, packed or not."""


class Retention(Struct, frozen=True):
    """What of the archives is kept at least; None is no bound. Nothing given keeps everything,
    `bytes_max=0` keeps nothing."""

    age_s_max: int | None = None
    bytes_max: int | None = None

    @property
    def keeps_any(self) -> bool:
        """Whether an archive is made at all."""
        return self.bytes_max != 0 and self.age_s_max != 0


FOREVER: Final = Retention()


def archives_to_forget(
    files: Files, directory: Path, keep: Retention, now: int
) -> tuple[Archived, ...]:
    """The oldest archives that the retention does not keep at the time `now` (microseconds UTC),
    in order. An archive whose segment is still there is not counted: it is not in use yet."""
    listing = list_directory(files, directory)
    archives = [each for each in listing.archives if each.first not in listing.segments]
    ends = [*(f"{ARCHIVE}/{each.name}" for each in archives[1:]), *_first_segment(listing)]
    kept_bytes = 0
    for place in reversed(range(len(archives))):
        kept_bytes += size_of(files, directory / ARCHIVE / archives[place].name)
        if keep.bytes_max is not None and kept_bytes > keep.bytes_max:
            return tuple(archives[: place + 1])
        if keep.age_s_max is not None and place < len(ends):
            ended = _started_at(files, directory / ends[place])
            if ended is not None and now - ended > keep.age_s_max * SECOND_US:
                return tuple(archives[: place + 1])
    return ()


def size_of(files: Files, path: Path) -> int:
    """The bytes of a file."""
    handle = files.open(path, "read")
    try:
        return files.size(handle)
    finally:
        files.close(handle)


def _first_segment(listing: Listing) -> list[str]:
    return [segment_name(base) for base in listing.segments[:1]]


def _started_at(files: Files, path: Path) -> int | None:
    """The `at` of the first line; None when it cannot be read, which makes nothing old."""
    handle = files.open(path, "read")
    try:
        start = files.read(handle, 0, _START_BYTES)
    finally:
        files.close(handle)
    try:
        start = unpack_start(path.name, start) if is_packed(path.name) else start
    except PackUnreadable:
        return None
    line = parse_line(start.partition(b"\n")[0])
    return line.at if line else None
