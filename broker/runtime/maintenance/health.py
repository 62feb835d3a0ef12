"""Health: whether the broker does all that it promises now, and if not, why and what to do.

`degraded` means that it serves and something is not as it should be: there is no room for new
messages, older history is damaged, a snapshot or a compaction did not come to its end, the package
on disk is of another version. Each reason goes away by itself when what it names is over. A broker
that cannot keep its promises at all does not say so here: it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from ackbook.broker.journal_endings import step_at_a_shell
from ackbook.broker.runtime.agents.holders import Holders
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.broker.runtime.maintenance.compaction_schedule import Compactor
from ackbook.broker.runtime.maintenance.scrub_schedule import Checker
from ackbook.broker.runtime.maintenance.snapshot_schedule import SnapshotSchedule
from ackbook.broker.runtime.system.package_version import RESTART, changed
from ackbook.broker.wire.replies import Reason
from ackbook.journal import JournalFull, Log

ROOM_BYTES_MIN = 256 * 1024
"""Half of what is always written ahead while the disk has room: less is left on a full one only."""


class HealthSources(msgspec.Struct, frozen=True):
    """Whoever knows of something that can be wrong."""

    engine: Engine
    snapshots: SnapshotSchedule
    compactor: Compactor
    checker: Checker
    holders: Holders

    async def reasons(self) -> tuple[Reason, ...]:
        """Why the broker is degraded; none when it is well."""
        full = await self.engine.attend(_full)
        package = await asyncio.to_thread(_other_version)
        told = [reason for reason in (full, package) if reason is not None]
        return (*told, *self._of_agents(), *self._of_history(), *self._of_upkeep())

    def _of_agents(self) -> Iterator[Reason]:
        for session in self.holders:
            if session.refused:
                what = f"the holder of {session.name} does not obey this broker: {session.refused}"
                step = f"ackbook release {session.name}, or end the broker that it obeys"
                yield Reason("agent_elsewhere", what, step)
        for stranger in self.holders.strangers:
            what = f"{stranger.name} runs (pid {stranger.pid}), and no record here names it"
            step = f"end it with: kill {stranger.holder_pid}"
            yield Reason("agent_of_another_history", what, step)

    def _of_history(self) -> Iterator[Reason]:
        for damage in self.checker.wrong:
            yield Reason("history_damaged", damage.place_and_proof, step_at_a_shell(damage.next))

    def _of_upkeep(self) -> Iterator[Reason]:
        following = "look into the log; it is tried again by itself"
        if why := self.snapshots.failed:
            yield Reason("snapshot_failed", f"the last snapshot was not made: {why}", following)
        if why := self.compactor.failed:
            what = f"the last compaction did not come to its end: {why}"
            yield Reason("compaction_failed", what, "ackbook compact tries it again")


def _other_version() -> Reason | None:
    """Said before anything fails: what the broker starts from here on is of that other version."""
    what = changed()
    return Reason("version_changed", what, RESTART) if what else None


def _full(journal: Log) -> Reason | None:
    """Asked for more than is written ahead, a full disk says no, and one with room makes some."""
    try:
        journal.secure(ROOM_BYTES_MIN)
    except JournalFull:
        what = f"the disk of {journal.directory} is full: new messages are or will be refused"
        following = "free some space; messages are taken again within a second"
        return Reason("journal_full", what, following)
    return None
