"""Compaction of a broker that runs: by itself beyond a size, and whenever somebody asks.

The packing is a worker's, the deleting is the journal's, between two batches; here stands only
what comes after what. A run that was asked for makes the most of it: it ends the segment in use
and makes the snapshots that allow to let it go. One that begins by itself takes what the snapshots
at hand allow, and keeps every archive. A run that fails leaves what it had done and says why; the
journal is whole after every step.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from pathlib import Path

import msgspec

from ackbook.broker.core.commands import NoteUpkeep
from ackbook.broker.history.world_loading import LOADABLE
from ackbook.broker.journal_endings import error_at_a_shell
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.broker.runtime.maintenance.snapshot_schedule import SnapshotSchedule, Upkeep
from ackbook.broker.runtime.maintenance.worker_process import WorkFailed, wording, work
from ackbook.journal import (
    FOREVER,
    ArchiveFile,
    AttemptFailed,
    Compaction,
    CompactionPlan,
    CompactionReport,
    JournalFull,
    Log,
    Reader,
    Retention,
    SnapshotUnusable,
    plan_compaction,
)
from ackbook.journal.maintenance.archive_worker import read_answer, worker_command

log = logging.getLogger("ackbook")

LOOK_S = 10.0
"""How often sealed segments are measured; a disk that is full sooner than that is full anyway."""

SEALED_BYTES_MIN = 16 * 1024
"""A segment in use that holds less is not worth an archive of its own."""

RUNS_KEPT = 8
"""Runs that can still be asked about."""

SNAPSHOTS = 2
"""As many as have to stand behind a segment before it may go."""


class CompactionRequest(msgspec.Struct, frozen=True):
    """`thorough`: end the segment in use and make the snapshots that are needed."""

    keep_audit: Retention = FOREVER
    dry_run: bool = False
    thorough: bool = True


class Run:
    """One compaction: what was asked for, how far it came (`done` of `total` segments), what it did
    once it is `over`, and why where it `failed`."""

    def __init__(self, number: int, command: CompactionRequest) -> None:
        self.number = number
        self.command = command
        self.done = 0
        self.total = 0
        self.report: CompactionReport | None = None
        self.failed = ""
        self.over = asyncio.Event()


class Compactor:
    """The compactions of one journal, one after the other. `run` is its life."""

    def __init__(
        self, engine: Engine, journal: Log, snapshots: SnapshotSchedule, upkeep: Upkeep
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._snapshots = snapshots
        self._sealed_bytes_max = upkeep.sealed_bytes_max
        self._waiting: deque[Run] = deque()
        self._runs: dict[int, Run] = {}
        self._roused = asyncio.Event()
        self.failed = ""
        """Why the last run came to nothing; empty where it did not."""
        self._tried = (0, 0)
        """The segments and the snapshot at the last run that began by itself."""

    def begin(self, command: CompactionRequest) -> Run:
        """Ask for a run; the same command twice is one run while that is not over."""
        for run in self._runs.values():
            if run.command == command and not run.over.is_set():
                return run
        run = Run(max(self._runs, default=0) + 1, command)
        self._runs[run.number] = run
        while len(self._runs) > RUNS_KEPT:
            del self._runs[min(self._runs)]
        self._waiting.append(run)
        self._roused.set()
        return run

    def find(self, number: int) -> Run | None:
        """A run that was begun not long ago."""
        return self._runs.get(number)

    async def run(self) -> None:
        """Compact when it is asked for or due, for ever. Raises what the disk raises when the
        journal itself cannot be written."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._roused.wait()
            self._roused.clear()
            if not self._waiting and await self._is_due():
                self.begin(CompactionRequest(thorough=False))
            while self._waiting:
                await self._carry_out(self._waiting.popleft())

    async def _carry_out(self, run: Run) -> None:
        try:
            plan = await self._plan(run.command)
            if run.command.dry_run:
                run.report = await asyncio.to_thread(foretell, self._reader(), plan)
            else:
                await self._compact(run, await self._prepare(run.command, plan))
                self.failed = ""
        except (WorkFailed, AttemptFailed, JournalFull, SnapshotUnusable, OSError) as error:
            why = str(error) if isinstance(error, WorkFailed) else error_at_a_shell(error)
            run.failed = self.failed = why
            log.warning("the compaction did not come to its end: %s", why)
            self._engine.mention(NoteUpkeep(what="compaction", error=wording(why)))
        finally:
            run.over.set()

    async def _prepare(self, command: CompactionRequest, plan: CompactionPlan) -> CompactionPlan:
        """See to it that as much as possible may go."""
        if not command.thorough:
            return plan
        if await asyncio.to_thread(is_worth_sealing, self._reader(), plan):
            await self._engine.attend(Log.seal)
            plan = await self._plan(command)
        for _ in range(SNAPSHOTS):
            if not is_held_back(plan):
                break
            await self._snapshots.make()
            plan = await self._plan(command)
        return plan

    async def _compact(self, run: Run, plan: CompactionPlan) -> None:
        compaction = Compaction(self._journal, plan, keep_audit=run.command.keep_audit)
        run.total = len(plan.goes)
        while due := compaction.due:
            archived: list[ArchiveFile] = []
            if compaction.needs_archives:
                bases = [piece.first for piece in due]
                answer = await work(
                    worker_command(self._journal.directory, bases), self._journal.files
                )
                archived = [read_answer(line) for line in answer.splitlines()]
            await self._engine.attend(lambda _: compaction.step(archived))  # noqa: B023
            run.done += len(due)
        await self._engine.attend(lambda _: compaction.forget())
        run.report = compaction.report()

    async def _plan(self, command: CompactionRequest) -> CompactionPlan:
        return await asyncio.to_thread(
            plan_compaction,
            self._journal.directory,
            fold_version=LOADABLE,
            keep_audit=command.keep_audit,
            now=self._journal.now(),
            files=self._journal.files,
        )

    def _reader(self) -> Reader:
        return Reader(self._journal.directory, files=self._journal.files)

    async def _is_due(self) -> bool:
        """Whether too much is sealed, and something changed since that was last in vain."""
        try:
            sizes = await asyncio.to_thread(sealed_sizes, self._journal)
        except OSError as error:
            log.warning("the segments cannot be measured: %s", error)
            return False
        if sum(sizes) <= self._sealed_bytes_max:
            return False
        before, self._tried = self._tried, (len(sizes), self._snapshots.newest)
        return before != self._tried


def sealed_sizes(journal: Log) -> list[int]:
    """The bytes of each segment but the one in use."""
    here = journal.files.within(journal.directory)
    return [path.stat().st_size for path in sorted(here.glob("[0-9]*.jsonl"))[:-1]]


def is_held_back(plan: CompactionPlan) -> bool:
    """Whether more would go if there were newer snapshots: the last one pinned is in use."""
    return len(plan.pinned) > 1


def is_worth_sealing(reader: Reader, plan: CompactionPlan) -> bool:
    """Whether the segment in use, if there is one, holds enough to be let go."""
    if not plan.pinned:
        return False
    base = int(Path(plan.pinned[-1].name).stem)
    held = 0
    for block in reader.blocks(base - 1):
        held += len(block)
        if held >= SEALED_BYTES_MIN:
            return True
    return False


def foretell(reader: Reader, plan: CompactionPlan) -> CompactionReport:
    """What a thorough run would do, with the snapshots that it would make."""
    pinned = () if is_worth_sealing(reader, plan) else plan.pinned[-1:]
    stays = {each.name for each in pinned}
    held_back = [each for each in plan.pinned if each.name not in stays]
    return CompactionReport(
        through=plan.through,
        removed=(*(each.name for each in plan.goes), *(each.name for each in held_back)),
        removed_bytes=plan.bytes + sum(each.bytes for each in held_back),
        archived=(),
        archived_bytes=0,
        forgotten=tuple(each.name for each in plan.forgets),
        pinned=pinned,
    )
