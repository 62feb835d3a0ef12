"""Looks after the segments that a compaction recorded as removed and left behind: a start deletes
them, and before that each has to be dispensable.

Its archive was read back before the record that removed it, so only rot can have spoilt that since.
Then the segment is the better copy: a good one is packed again into the place of the archive, and
one that is damaged, too, goes to `quarantine/`. What was done stands in the recovery report. Doing
it again after an interruption gives the same files.
"""

from msgspec import Struct, structs

from ackbook.journal.format.compression import pack
from ackbook.journal.format.layout import ARCHIVE, QUARANTINE, archive_name
from ackbook.journal.reading.sources import Source, gives_all, readable, sources_of
from ackbook.journal.recovery.inspect_sealed import in_memory, look_at_sealed
from ackbook.journal.recovery.survey import Survey
from ackbook.journal.storage.files import Files, install, read_whole


class LeftOvers(Struct, frozen=True):
    """What was done: archives that were made anew, and segments that were set aside, by name."""

    renewed: tuple[str, ...] = ()
    set_aside: tuple[str, ...] = ()


def look_after(files: Files, found: Survey) -> LeftOvers:
    """Make each left-over segment dispensable; see the head of this module."""
    renewed, set_aside = [], []
    for source in sources_of(found.listing):
        if source.base >= found.reach.kept_from or source.last is not None or not source.twins:
            continue
        archive = structs.replace(source.twins[0], twins=source.twins[1:])
        if gives_all(files, found.directory, readable(files, found.directory, archive)):
            continue
        name = _renew(files, found, source)
        if name:
            renewed.append(name)
        else:
            files.make_dir(found.directory / QUARANTINE)
            content = read_whole(files, found.directory / source.name)
            install(files, found.directory / QUARANTINE / f"left-{source.name}", content)
            set_aside.append(f"{QUARANTINE}/left-{source.name}")
    return LeftOvers(tuple(renewed), tuple(set_aside))


def _renew(files: Files, found: Survey, source: Source) -> str:
    """Pack the segment again; the name of the archive, empty where the segment is not good."""
    content = read_whole(files, found.directory / source.name)
    look = look_at_sealed(in_memory(content), source.base, None, full=True)
    if look.flaws or look.last is None:
        return ""
    suffix, packed = pack(content)
    name = f"{ARCHIVE}/{archive_name(source.base, look.last.seq, suffix)}"
    install(files, found.directory / name, packed)
    for twin in source.twins:
        if twin.name != name:
            files.unlink(found.directory / twin.name)
    return name
