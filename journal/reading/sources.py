"""Where each part of the history lies: in a segment, or, once compacted, in an archive.

Whoever reads asks here and need not know the difference. Where both are there (a compaction was
interrupted) the segment is meant.
"""

from pathlib import Path

from msgspec import Struct

from ackbook.journal.format.compression import is_packed, unpack
from ackbook.journal.format.layout import ARCHIVE, Listing, segment_name
from ackbook.journal.storage.files import Files, read_whole


class Source(Struct, frozen=True):
    """The lines from `base` on. The last seq is known of an archive only; its name says it."""

    base: int
    name: str
    last: int | None = None


def sources_of(listing: Listing) -> tuple[Source, ...]:
    """Everything that can be read, in order."""
    found = {
        each.first: Source(each.first, f"{ARCHIVE}/{each.name}", each.last)
        for each in reversed(listing.archives)
    }
    found |= {base: Source(base, segment_name(base)) for base in listing.segments}
    return tuple(found[base] for base in sorted(found))


def oldest_of(sources: tuple[Source, ...]) -> int:
    """The oldest seq from which on nothing is missing, as far as names can tell; 0 for none."""
    oldest = 0
    for source in reversed(sources):
        if oldest and source.last is not None and source.last + 1 != oldest:
            break
        oldest = source.base
    return oldest


def read_source(files: Files, directory: Path, source: Source) -> bytes:
    """The whole content, unpacked. Raises `PackUnreadable` and `OSError`."""
    data = read_whole(files, directory / source.name)
    return unpack(source.name, data) if is_packed(source.name) else data
