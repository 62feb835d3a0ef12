"""Replaying: the world that a broker begins with, while it answers that it is starting.

What is folded, and what is refused, is known to `history`; here it is done piece by piece on the
loop, and the memory is settled afterwards.
"""

from __future__ import annotations

import asyncio
import gc
from functools import partial
from pathlib import Path

from ackbook.broker.history.world_loading import begin_world, confirm_world, fold_rest
from ackbook.broker.runtime.maintenance.snapshot_schedule import SnapshotStart
from ackbook.journal import Log
from ackbook.projections.world.fold import World

COLLECTOR = (100_000, 50, 50)
"""After the replay the world is old and full of live objects; looking at it often finds nothing."""


async def replay(directory: Path, journal: Log) -> tuple[World, SnapshotStart]:
    """The world as the journal tells it, block by block so that `/health` answers, and what was
    folded beyond a snapshot. Raises `Corrupt` and `NewerFormat` as `fold_rest` does: a broker does
    not begin with less than all of it."""
    head, files = journal.head.seq, journal.files
    begin = partial(begin_world, directory, head, journal.snapshot, files=files)
    world, snapshot = await asyncio.to_thread(begin)
    folded = 0
    for size in confirm_world(directory, world, snapshot, files=files):
        folded += size
        await asyncio.sleep(0)
    for size in fold_rest(directory, world, head, files=files):
        folded += size
        await asyncio.sleep(0)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)
    return world, SnapshotStart(snapshot.seq if snapshot else 0, folded)
