"""Where each part of the history lies: in a segment, or, once compacted, in an archive.

Whoever reads asks here and need not know the difference. Where both are there (a compaction was
interrupted) the segment is meant, and what it does not give any more is in the archive.
"""

from pathlib import Path

from msgspec import Struct, structs

from ackbook.journal.format.compression import is_packed, unpack
from ackbook.journal.format.layout import ARCHIVE, Listing, segment_name
from ackbook.journal.reading.blocks import LinePosition, SegmentBlocks
from ackbook.journal.storage.files import Files, read_whole


class Source(Struct, frozen=True):
    """The lines from `base` on. The last seq is known of an archive only; its name says it.
    `twins` are other files that hold the same lines."""

    base: int
    name: str
    last: int | None = None
    twins: tuple["Source", ...] = ()


def sources_of(listing: Listing) -> tuple[Source, ...]:
    """Everything that can be read, in order."""
    found = {base: [Source(base, segment_name(base))] for base in listing.segments}
    for each in listing.archives:
        archive = Source(each.first, f"{ARCHIVE}/{each.name}", each.last)
        found.setdefault(each.first, []).append(archive)
    return tuple(
        structs.replace(found[base][0], twins=tuple(found[base][1:])) for base in sorted(found)
    )


def oldest_of(sources: tuple[Source, ...]) -> int:
    """The oldest seq from which on nothing is missing, as far as names can tell; 0 for none."""
    oldest = 0
    for source in reversed(sources):
        if oldest and source.last is not None and source.last + 1 != oldest:
            break
        oldest = source.base
    return oldest


def readable(files: Files, directory: Path, source: Source) -> Source:
    """Of the files that hold the same lines the first that gives all of them; the first where there
    is only one, or none does."""
    last = max((twin.last or 0 for twin in source.twins), default=0)
    for each in (source, *source.twins) if source.twins else ():
        if gives_all(files, directory, each, last):
            return each
    return source


def gives_all(files: Files, directory: Path, source: Source, last: int = 0) -> bool:
    """Whether this file can be read to its end, and up to the record that its name or `last`
    says."""
    blocks = SegmentBlocks(files, directory / source.name, LinePosition(source.base, source.base))
    for _ in blocks:
        pass
    return blocks.wrong is None and blocks.place.expected > max(last, source.last or 0)


def read_source(files: Files, directory: Path, source: Source) -> bytes:
    """The whole content, unpacked. Raises `PackUnreadable` and `OSError`."""
    data = read_whole(files, directory / source.name)
    return unpack(source.name, data) if is_packed(source.name) else data
