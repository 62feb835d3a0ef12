"""Checks one file of older history, so that a journal can be gone through a little at a time.

A start that loads a snapshot does not read what stands before it. This is the look that it spares:
every byte of one sealed segment or archive, its seal and sha256, and whether the next file is the
one that follows it. `holes` needs no file to be read: it sees by the names what is not there. It
changes nothing and takes no lock; what goes away meanwhile was compacted, and is no damage.
"""

from itertools import pairwise
from pathlib import Path

import msgspec

from ackbook.journal.errors import Damage
from ackbook.journal.format.compression import PackUnreadable
from ackbook.journal.format.control import Reach, SegmentStarted, read_control
from ackbook.journal.format.layout import Listing, list_directory
from ackbook.journal.format.record import parse_line
from ackbook.journal.reading.blocks import LinePosition, SegmentBlocks
from ackbook.journal.reading.sources import Source, read_source, sources_of
from ackbook.journal.recovery.decision_table import Finding
from ackbook.journal.recovery.findings import missing_archives, missing_front, observe_pair
from ackbook.journal.recovery.inspect_sealed import in_memory, look_at_sealed
from ackbook.journal.recovery.inspect_tail import Flaw, Look
from ackbook.journal.storage.files import Files, OsFiles


def older_files(listing: Listing) -> tuple[tuple[str, int], ...]:
    """Every file but the tail, each with the seq at which the next one begins: what is checked
    once needs no second look while both are the same."""
    return tuple((one.name, other.base) for one, other in pairwise(sources_of(listing)))


def holes(directory: Path, listing: Listing, reach: Reach) -> tuple[Damage, ...]:
    """What should stand in front of everything that is there, and between the archives."""
    found = missing_archives(directory, listing, reach)
    first = min(listing.segments, default=0)
    if first > reach.kept_from:
        found.append(missing_front(directory, first, reach.kept_from))
    return tuple(each.damage for each in found)


def check_file(directory: Path, name: str, *, files: Files | None = None) -> Damage | None:
    """The first thing that is wrong in this file, or between it and the next one."""
    files = files or OsFiles()
    directory = directory.absolute()
    for source, following in pairwise(sources_of(list_directory(files, directory))):
        if source.name == name:
            try:
                look = _look_at(files, directory, source)
                start = _start_of(files, directory, following)
            except FileNotFoundError:
                return None
            return next((each.damage for each in observe_pair(directory, look, start)), None)
    return None


def _look_at(files: Files, directory: Path, source: Source) -> Look:
    try:
        content = read_source(files, directory, source)
    except FileNotFoundError:
        raise
    except (PackUnreadable, OSError) as error:
        flaw = Flaw(Finding.BROKEN, 0, 0, f"it cannot be read: {error}")
        return Look(source.base, 0, name=_archive(source), flaws=(flaw,))
    look = look_at_sealed(in_memory(content), source.base, None, full=True)
    return msgspec.structs.replace(look, name=_archive(source))


def _start_of(files: Files, directory: Path, source: Source) -> Look:
    """As much of a segment as says what comes before it; what is wrong with it is its own turn."""
    started = None
    blocks = SegmentBlocks(files, directory / source.name, LinePosition(source.base, source.base))
    for block in blocks:
        line = parse_line(block.data.partition(b"\n")[0])
        started = read_control(line) if line else None
        break
    known = started if isinstance(started, SegmentStarted) else None
    return Look(source.base, 0, started=known, name=_archive(source))


def _archive(source: Source) -> str:
    """The name of an archive; a segment has the name that its base gives it."""
    return "" if source.last is None else source.name
