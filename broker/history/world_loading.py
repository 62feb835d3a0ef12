"""From a journal to the world that it tells: the newest snapshot that loads, and every entry since.

The start of a broker and the process that makes snapshots share it, so each snapshot is also a
test of the next start. A snapshot that verifies and yet cannot be loaded is passed over for an
older one, and at last for the first record: a snapshot is worth time, never truth. What cannot be
read is never taken for nothing: then it raises, and no world comes of it.

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
    Files,
    NewerFormat,
    Reader,
    SnapshotFile,
    SnapshotUnusable,
    newest_snapshots,
)
from ackbook.journal.next_step import verify_step
from ackbook.projections.codec import decode_block
from ackbook.projections.world.fold import World, fold_all
from ackbook.projections.world.serialization import FOLD_VERSION, UnreadableWorld, load

log = logging.getLogger("ackbook")


def begin_world(
    journal: Path,
    through: int,
    first: SnapshotFile | None = None,
    *,
    files: Files | None = None,
) -> tuple[World, SnapshotFile | None]:
    """The world of the newest snapshot at or before `through` that can be loaded, and which one
    that was; an empty world and None where there is none. `first` is tried before all others."""
    for snapshot in _candidates(journal, through, first, files):
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


def fold_rest(
    journal: Path, world: World, through: int, *, files: Files | None = None
) -> Iterator[int]:
    """Fold everything after the world's own record through `through`; the bytes of each block,
    when it is folded. Raises `Corrupt` where something of that cannot be read, `NewerFormat` where
    a record has a shape that is not known here."""
    reader, begun = Reader(journal, files=files), world.seq
    for block in reader.blocks(begun, through):
        try:
            entries = decode_block(block)
        except msgspec.DecodeError as error:
            raise NewerFormat(_unknown(journal, world, error)) from None
        fold_all(world, entries)
        yield len(block)
    if any(gap.first == begun + 1 for gap in reader.gaps) or world.seq != through:
        raise Corrupt(reader.damage[0] if reader.damage else _unreachable(journal, world, through))


def _candidates(
    journal: Path, through: int, first: SnapshotFile | None, files: Files | None
) -> Iterator[SnapshotFile]:
    if first is not None:
        yield first
    # Only asked when the first one did not do: each of them is read whole to be verified.
    for snapshot in newest_snapshots(journal, FOLD_VERSION, head=through, files=files).usable:
        if first is None or snapshot.seq < first.seq:
            yield snapshot


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
