"""From a journal to the world that it tells: the newest snapshot that loads, and every entry since.

The start of a broker and the process that makes snapshots share it, so each snapshot is also a
test of the next start. A snapshot that verifies and yet cannot be loaded is passed over for an
older one, and at last for the first record: a snapshot is worth time, never truth. What cannot be
read is never taken for nothing, nor gone over, wherever it stands: then it raises, and no world
comes of it.

It knows no loop; whoever has one gets a chance between two blocks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from ackbook.journal import (
    Corrupt,
    Damage,
    DamageFound,
    Lost,
    NewerFormat,
    OsFiles,
    Reader,
    SnapshotFile,
    SnapshotUnusable,
    newest_snapshots,
)
from ackbook.journal.format.control import SEGMENT, SegmentStarted, read_control
from ackbook.journal.format.layout import ARCHIVE, archive_name, list_directory, segment_name
from ackbook.journal.format.record import parse_line
from ackbook.journal.next_step import verify_step
from ackbook.journal.reading.reader import Gap
from ackbook.journal.reading.sources import sources_of
from ackbook.projections.codec import decode_block
from ackbook.projections.world.fold import World, fold_all
from ackbook.projections.world.serialization import FOLD_VERSION, UnreadableWorld, load

log = logging.getLogger("ackbook")


def begin_world(
    journal: Path, through: int, first: SnapshotFile | None = None
) -> tuple[World, SnapshotFile | None]:
    """The world of the newest snapshot at or before `through` that can be loaded, and which one
    that was; an empty world and None where there is none. `first` is tried before all others."""
    for snapshot in _candidates(journal, through, first):
        try:
            world = load(snapshot.blocks())
        except (SnapshotUnusable, UnreadableWorld) as error:
            log.warning("%s is passed over: %s", snapshot.name, error)
            continue
        if world.seq == snapshot.seq:
            return world, snapshot
        log.warning("%s is passed over: it holds the state at %d", snapshot.name, world.seq)
    return World(), None


def begin_audit(journal: Path, oldest: int, before: Callable[[SnapshotFile], bool]) -> World:
    """The world that somebody begins with who wants everything that came later.

    That of the newest snapshot that lies `before` it; where there is none, an empty one, or where
    records are kept only from `oldest` on, that of the oldest snapshot.
    """
    usable = newest_snapshots(journal, FOLD_VERSION).usable
    fitting = [snapshot for snapshot in usable if before(snapshot)]
    if not fitting and oldest > 1:
        fitting = list(usable[-1:])
    return begin_world(journal, 0, fitting[0])[0] if fitting else World()


def fold_rest(journal: Path, world: World, through: int) -> Iterator[int]:
    """Fold everything after the world's own record through `through`; the bytes of each block,
    when it is folded.

    Nothing is folded that stands behind a hole or behind damage: raises `Corrupt` where something
    up to there cannot be read or is not what it followed, `Lost` where the file that held it is not
    there, `NewerFormat` where a record has a shape that is not known here.
    """
    reader, chain = Reader(journal), _Chain()
    for block in reader.blocks(world.seq, through):
        _refuse_holes(journal, reader)
        chain.follow(journal, block)
        try:
            entries = decode_block(block)
        except msgspec.DecodeError as error:
            raise NewerFormat(_unknown(journal, world, error)) from None
        fold_all(world, entries)
        yield len(block)
    _refuse_holes(journal, reader)
    if world.seq != through:
        raise Corrupt(reader.damage[0] if reader.damage else _unreachable(journal, world, through))


class _Chain:
    """That each file goes on from the one that was read before it, as its first line says."""

    def __init__(self) -> None:
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
                raise Corrupt(_unchained(journal, line.seq, started))
            self._journal = started.journal
        self._last = block[block.rfind(b"\n", 0, -1) + 1 : -1]


def _refuse_holes(journal: Path, reader: Reader) -> None:
    """What stands at the end of the newest file is not passed over by going on: nothing follows."""
    if reader.damage:
        newest = segment_name(reader.bases[-1])
        for each in reader.damage:
            if each.file != newest:
                raise Corrupt(each)
    for gap in reader.gaps:
        raise _missing(journal, gap)


def _candidates(journal: Path, through: int, first: SnapshotFile | None) -> Iterator[SnapshotFile]:
    if first is not None:
        yield first
    # Only asked when the first one did not do: each of them is read whole to be verified.
    for snapshot in newest_snapshots(journal, FOLD_VERSION, head=through).usable:
        if first is None or snapshot.seq < first.seq:
            yield snapshot


def _missing(journal: Path, gap: Gap) -> DamageFound:
    listing = list_directory(OsFiles(), journal)
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


def _unchained(journal: Path, seq: int, started: SegmentStarted) -> Damage:
    sources = sources_of(list_directory(OsFiles(), journal))
    return Damage(
        file=next((each.name for each in sources if each.base == seq), str(journal)),
        line=1,
        byte=0,
        what=f"record {seq} begins a file that does not follow the one before it",
        proof=f"it is of journal {started.journal} and follows {started.previous_crc or 'nothing'}",
        next=verify_step(journal),
    )


def _unknown(journal: Path, world: World, error: msgspec.DecodeError) -> Damage:
    return Damage(
        file=str(journal),
        line=0,
        byte=0,
        what=f"a record after {world.seq} has a shape that this version does not know",
        proof=str(error),
        next=verify_step(journal, after=" says which; use the version that wrote it"),
    )


def _unreachable(journal: Path, world: World, through: int) -> Damage:
    return Damage(
        file=str(journal),
        line=0,
        byte=0,
        what=f"the records that lead to {through} cannot all be read",
        proof=f"the state is known through {world.seq}",
        next=verify_step(journal),
    )


SNAPSHOTS_MAX = 64
"""More than a journal keeps."""


class SnapshotWorlds:
    """The worlds of one journal's snapshots, up to the record `head`."""

    def __init__(self, directory: Path, head: int) -> None:
        self._directory = directory
        self._head = head
        self._found: dict[int, SnapshotFile] | None = None

    def at(self, seq: int) -> World | None:
        """The world after this record; None where no snapshot that can be loaded stands there."""
        if self._found is None:
            found = newest_snapshots(
                self._directory, FOLD_VERSION, head=self._head, count_max=SNAPSHOTS_MAX
            )
            self._found = {each.seq: each for each in found.usable}
        snapshot = self._found.get(seq)
        if snapshot is None:
            return None
        try:
            return load(snapshot.blocks())
        except (SnapshotUnusable, UnreadableWorld):
            return None
