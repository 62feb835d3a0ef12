"""What a journal on a disk tells: its worlds, its snapshots, and a byte of it that is another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ackbook.broker.history.world_loading import begin_world, fold_rest
from ackbook.journal import Reader, SnapshotFile, read_snapshot
from ackbook.projections.codec import decode
from ackbook.projections.world.fold import World, fold


def segments(journal: Path) -> list[str]:
    """The names of the segments, in order; the last one is in use."""
    return sorted(path.name for path in journal.glob("0*.jsonl"))


def archives(journal: Path) -> list[str]:
    """The names in the archive, in order."""
    return sorted(path.name for path in journal.glob("archive/*"))


def snapshots_of(journal: Path) -> list[SnapshotFile]:
    """All of them, oldest first."""
    return [read_snapshot(path) for path in sorted(journal.glob("snapshot-*.jsonl"))]


def replayed(journal: Path, through: int) -> World:
    """The world by every record from the first one on."""
    world = World()
    for line in Reader(journal).lines(0, through):
        fold(world, decode(line.raw))
    return world


def started(journal: Path, through: int) -> World:
    """The world as a start makes it."""
    world, _ = begin_world(journal, through)
    for _ in fold_rest(journal, world, through):
        pass
    return world


@contextlib.contextmanager
def damaged(path: Path, place: int) -> Iterator[None]:
    """One byte is another one for the length of the block."""
    with path.open("r+b", buffering=0) as file:
        file.seek(place)
        before = file.read(1)
        file.seek(place)
        file.write(bytes([before[0] ^ 1]))
        yield
        file.seek(place)
        file.write(before)
