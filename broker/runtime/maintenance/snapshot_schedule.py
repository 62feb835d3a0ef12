"""Snapshots of a broker that runs: when one is due, by whom it is made, and how it comes to count.

One is due after so many records or bytes. A worker makes it from what is durable, as any reader
could; here it is read once more and recorded, between two batches. So appends never wait for it,
and each one proves that a start would come to a world. An attempt that fails is said and forgotten:
the next one comes a minute later, and the broker goes on without.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial

import msgspec

from ackbook.broker.core.commands import NoteUpkeep
from ackbook.broker.journal_endings import error_at_a_shell
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.broker.runtime.maintenance.snapshot_worker import snapshotter_command
from ackbook.broker.runtime.maintenance.worker_process import WorkFailed, wording, work
from ackbook.journal import JournalFull, Log, SnapshotFile, SnapshotUnusable, read_snapshot

log = logging.getLogger("ackbook")

LOOK_S = 1.0
"""How often somebody asks whether one is due."""

RETRY_S = 60.0
"""After a failed attempt; what made it fail seldom passes in a moment."""


class Upkeep(msgspec.Struct, frozen=True):
    """When a journal is looked after. A snapshot is due after so many records or bytes, which take
    a start about a second; a compaction, beyond so many bytes in sealed segments. One file of
    older history is checked every `check_s` seconds, and each of them again after `recheck_s`."""

    snapshot_records: int = 100_000
    snapshot_bytes: int = 32 * 1024 * 1024
    sealed_bytes_max: int = 256 * 1024 * 1024
    check_s: float = 10.0
    recheck_s: float = 24 * 3_600.0


class SnapshotStart(msgspec.Struct, frozen=True):
    """What the start found: the last record in the snapshot, and the bytes that stand behind it."""

    seq: int = 0
    bytes: int = 0


class SnapshotSchedule:
    """The snapshots of one journal. `run` is its life; only one is made at a time."""

    def __init__(self, engine: Engine, journal: Log, since: SnapshotStart, upkeep: Upkeep) -> None:
        self._engine = engine
        self._journal = journal
        self._upkeep = upkeep
        self._seq = since.seq
        self._written = journal.statistics().written_bytes - since.bytes
        self._retry_at = 0.0
        self.failed = ""
        """Why the last attempt came to nothing; empty where it did not."""
        self._making = asyncio.Lock()

    @property
    def newest(self) -> int:
        """The last record in the newest snapshot; 0 where there is none."""
        return self._seq

    async def run(self) -> None:
        """Make one whenever one is due, for ever. Raises what the disk raises while it records."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._is_due() and time.monotonic() >= self._retry_at:
                try:
                    await self.make()
                except WorkFailed as failed:
                    self._retry_at = time.monotonic() + RETRY_S
                    self.failed = str(failed)
                    log.warning("no snapshot was made: %s", failed)
                    self._engine.mention(NoteUpkeep(what="snapshot", error=wording(failed)))

    async def make(self) -> SnapshotFile:
        """A new one, verified and recorded. Raises `WorkFailed` where it could not be made, read
        back or recorded; the journal is unharmed, and another attempt may succeed."""
        async with self._making:
            written = self._journal.statistics().written_bytes
            answer = await work(snapshotter_command(self._journal.directory), self._journal.files)
            path = self._journal.directory / answer.decode().strip()
            try:
                read = partial(read_snapshot, path, files=self._journal.files)
                snapshot = await asyncio.to_thread(read)
                await self._engine.attend(lambda journal: journal.note_snapshot(snapshot))
            except (SnapshotUnusable, JournalFull, OSError) as error:
                raise WorkFailed(error_at_a_shell(error)) from error
            self._seq, self._written, self.failed = snapshot.seq, written, ""
            return snapshot

    def _is_due(self) -> bool:
        statistics, head = self._journal.statistics(), self._journal.head.seq
        many = head - self._seq >= self._upkeep.snapshot_records
        return many or statistics.written_bytes - self._written >= self._upkeep.snapshot_bytes
