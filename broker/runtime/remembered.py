"""Remembered: worlds that a journal knows without its records, from its snapshots.

Behind records that cannot be read no world is known, since a fold that goes over a hole makes up
what it does not know. A snapshot that stands behind the hole knows it again. It is looked for when
it is first asked for, so that a whole journal is not searched for what it does not need.
"""

from __future__ import annotations

from pathlib import Path

from ackbook.journal import SnapshotFile, SnapshotUnusable, newest_snapshots
from ackbook.projections.world.fold import World
from ackbook.projections.world.serialization import FOLD_VERSION, UnreadableWorld, load

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
