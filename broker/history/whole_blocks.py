"""Records for a fold: in order, and none behind a hole, wherever it stands.

A reader goes on past what it cannot read, and says so; what decides on a world must not. So whoever
folds a start, a snapshot or what confirms one reads here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ackbook.journal import (
    Corrupt,
    Damage,
    DamageFound,
    Files,
    Lost,
    NewerFormat,
    OsFiles,
    Reader,
)
from ackbook.journal.format.control import SEGMENT, SegmentStarted, read_control
from ackbook.journal.format.layout import ARCHIVE, archive_name, list_directory, segment_name
from ackbook.journal.format.record import parse_line
from ackbook.journal.next_step import verify_step
from ackbook.journal.reading.reader import Gap
from ackbook.journal.reading.sources import sources_of
from ackbook.projections.codec import Entry, decode_block


def whole_blocks(
    journal: Path, after: int, through: int, *, files: Files | None = None
) -> Iterator[tuple[int, list[Entry]]]:
    """The size and the entries of each block after one record through another.

    Nothing is given that stands behind a hole or behind damage, unless a record accepts the loss:
    raises `Corrupt` where something up to there cannot be read or is not what it followed, `Lost`
    where an archive that held it is not there, `NewerFormat` where a record has a shape that is not
    known here.
    """
    files = files or OsFiles()
    reader, chain, reached = Reader(journal, files=files), _Chain(files), after
    for block in reader.blocks(after, through):
        _refuse_holes(journal, reader, files)
        chain.follow(journal, block)
        try:
            entries = decode_block(block)
        except msgspec.DecodeError as error:
            raise NewerFormat(_unknown(journal, reached, error)) from None
        reached = entries[-1].seq
        yield len(block), entries
    _refuse_holes(journal, reader, files)
    if reached != through:
        damage = reader.damage
        raise Corrupt(damage[0] if damage else _unreachable(journal, reached, through))


class _Chain:
    """That each file goes on from the one that was read before it, as its first line says."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._journal = ""
        self._last = b""

    def follow(self, journal: Path, block: bytes) -> None:
        """Take the next block of whole lines. Raises `Corrupt` where it begins a file that belongs
        to another journal or follows another line."""
        line = parse_line(block[: block.index(b"\n")])
        started = read_control(line) if line is not None and line.kind == SEGMENT else None
        if line is not None and isinstance(started, SegmentStarted):
            last = parse_line(self._last)
            other = self._journal not in ("", started.journal)
            if other or (last is not None and last.crc != started.previous_crc):
                raise Corrupt(_unchained(journal, line.seq, started, self._files))
            self._journal = started.journal
        self._last = block[block.rfind(b"\n", 0, -1) + 1 : -1]


def _refuse_holes(journal: Path, reader: Reader, files: Files) -> None:
    """What stands at the end of the newest file is not passed over by going on: nothing follows."""
    if reader.damage:
        newest = segment_name(reader.bases[-1])
        for each in reader.damage:
            if each.file != newest:
                raise Corrupt(each)
    for gap in reader.gaps:
        raise _missing(journal, gap, files)


def _missing(journal: Path, gap: Gap, files: Files) -> DamageFound:
    listing = list_directory(files, journal)
    archived = bool(listing.archives) and gap.last < min(listing.segments, default=gap.last + 1)
    name = archive_name(gap.first, gap.last, "*") if archived else segment_name(gap.first)
    damage = Damage(
        file=f"{ARCHIVE}/{name}" if archived else name,
        line=0,
        byte=0,
        what=f"records {gap.first} to {gap.last} are in no file",
        proof="what follows them cannot be folded without them",
        next=verify_step(journal, "bring the missing files back from a backup, then "),
    )
    return Lost(damage) if archived else Corrupt(damage)


def _unchained(journal: Path, seq: int, started: SegmentStarted, files: Files) -> Damage:
    sources = sources_of(list_directory(files, journal))
    return Damage(
        file=next((each.name for each in sources if each.base == seq), str(journal)),
        line=1,
        byte=0,
        what=f"record {seq} begins a file that does not follow the one before it",
        proof=f"it is of journal {started.journal} and follows {started.previous_crc or 'nothing'}",
        next=verify_step(journal),
    )


def _unknown(journal: Path, seq: int, error: msgspec.DecodeError) -> Damage:
    return Damage(
        file=str(journal),
        line=0,
        byte=0,
        what=f"a record after {seq} has a shape that this version does not know",
        proof=str(error),
        next=verify_step(journal, after=" says which; use the version that wrote it"),
    )


def _unreachable(journal: Path, reached: int, through: int) -> Damage:
    return Damage(
        file=str(journal),
        line=0,
        byte=0,
        what=f"the records that lead to {through} cannot all be read",
        proof=f"they can be read through {reached}",
        next=verify_step(journal),
    )
