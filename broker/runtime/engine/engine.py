"""The engine: the one place where commands become records, and records become visible.

It takes one command and whatever else waits, puts each to the rules, commits their facts as one
batch with one time and one sync, and only then answers, publishes and lets effects begin. It
promises that nothing is visible before the sync it rests on, that a question is answered at a
moment when world and disk agree, and that a failed commit tells every waiter `OutcomeUnknown` and
ends it.

A full disk refuses what may be refused (`journal_full`, worth trying again) and never loses a
report: what is essential waits in order and is tried again every second.

It knows neither HTTP nor terminals: what follows from a batch is the business of its watchers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from ackbook.broker.core.commands import AnyCommand, Refused, Tick, Verdict
from ackbook.broker.core.decide import carry_out, room_needed
from ackbook.broker.core.spelling import respelled
from ackbook.broker.runtime.engine.inbox import (
    CommandGroup,
    CommandProgress,
    DecidedBatch,
    EntryWatcher,
    OutcomeUnknown,
    PendingQuestion,
    Question,
    Stopped,
)
from ackbook.journal import JournalFull, Log
from ackbook.journal.limits import SECOND_US
from ackbook.projections.world.fold import World, next_deadline

T = TypeVar("T")

BATCH_RECORDS_MAX = 2_048
"""Keeps the wait of the first in a batch short; its bytes are bounded by the room of the log."""

RETRY_S = 1.0
"""How long essential commands wait before a full disk is asked again."""


class Engine:
    """See the module. `run` is its life; everything else may be called from any task."""

    def __init__(self, log: Log, world: World, watchers: Sequence[EntryWatcher] = ()) -> None:
        self._log = log
        self._world = world
        self._watchers = tuple(watchers)
        self._inbox: deque[CommandGroup] = deque()
        self._stalled: deque[CommandGroup] = deque()
        self._retry_at = 0
        self._asked: deque[Question] = deque()
        self._committing = False
        self._stopping = False
        self._failed = False
        self._tick_after = 0
        self._begun = False
        self._wake: asyncio.Future[None] | None = None

    # --- what others may do

    def post(self, *commands: AnyCommand) -> asyncio.Future[tuple[Verdict, ...]]:
        """Put commands to the rules, in order, with none of another caller in between.

        The future has one verdict for each, once all are durable. Cancelling it changes nothing.
        It raises `OutcomeUnknown` when the disk failed; `Stopped` comes at once.
        """
        if self._stopping or self._failed:
            raise Stopped
        done: asyncio.Future[tuple[Verdict, ...]] = asyncio.get_running_loop().create_future()
        self._inbox.append(CommandGroup(commands, done))
        self._rouse()
        return done

    async def carry(self, command: AnyCommand) -> Verdict:
        """The verdict on one command, once it is durable. Raises what `post` raises."""
        return (await asyncio.shield(self.post(command)))[0]

    def mention(self, command: AnyCommand) -> None:
        """Put a command to the rules and wait for nothing, not even for somebody who listens."""
        with contextlib.suppress(Stopped):
            self.post(command).add_done_callback(lambda done: done.cancelled() or done.exception())

    async def ask(self, question: Callable[[World, int], T]) -> T:
        """`question(world, at)` at a moment when world and disk agree. It keeps no reference to the
        world and does not change it. Raises what it raises; `OutcomeUnknown`: the disk failed."""
        if self._failed:
            raise OutcomeUnknown
        if not self._committing:
            return question(self._world, self._log.now())
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.append(PendingQuestion(question, answer))
        return await answer

    async def attend(self, care: Callable[[Log], T]) -> T:
        """`care(log)` between two batches, for what the journal records about itself. Raises what
        `ask` raises; what `care` raises about the disk has to end the process, as a commit does."""

        def between(world: World, at: int) -> T:
            result = care(self._log)
            self._follow_log()
            for watcher in self._watchers:
                watcher.committed(world, (), frozenset())
            return result

        return await self.ask(between)

    def stop(self) -> None:
        """Finish what waits, then let `run` return."""
        self._stopping = True
        self._rouse()

    # --- its life

    async def run(self) -> None:
        """Work until `stop`. Raises the journal's error when a commit failed."""
        try:
            while True:
                batch = DecidedBatch(self._log)
                await self._work(batch)
                self._tell(batch)
                if self._inbox or batch.entries:
                    await asyncio.sleep(0)
                    continue
                if self._stopping and not self._stalled:
                    return
                await self._wait()
        finally:
            self._fail_waiters()

    async def _work(self, batch: DecidedBatch) -> None:
        """Fill the batch and make it durable. Whatever fails in between leaves a world that is
        ahead of the disk for good: nobody is told anything any more."""
        try:
            self._fill(batch)
            if batch.drafts:
                await self._commit(batch)
        except BaseException:
            self._failed = True
            self._inbox.extendleft(reversed(batch.finished))
            raise

    def _fill(self, batch: DecidedBatch) -> None:
        """Decide and fold what waits, as far as the room that is already written ahead goes."""
        now = batch.at
        if self._stalled and now >= self._retry_at and not self._drain(self._stalled, batch):
            return
        # What was posted before the run comes before every deadline: nothing may be done in the
        # name of the last broker before this one has said that it is there.
        if self._begun and self._is_due(now) and not self._tick(batch):
            return
        self._begun = True
        self._drain(self._inbox, batch)

    def _drain(self, queue: deque[CommandGroup], batch: DecidedBatch) -> bool:
        """Take from the front of `queue`. False: the batch is full and has to be committed."""
        while queue:
            if len(batch.entries) >= BATCH_RECORDS_MAX:
                return False
            group = queue[0]
            match self._take(group, batch):
                case CommandProgress.FINISHED:
                    queue.popleft()
                    batch.finished.append(group)
                case CommandProgress.BATCH_FULL:
                    return False
                case CommandProgress.NO_ROOM:
                    self._retry_at = batch.at + int(RETRY_S * SECOND_US)
                    if queue is self._stalled:
                        return True
                    queue.popleft()
                    self._stalled.append(group)
        return True

    def _take(self, group: CommandGroup, batch: DecidedBatch) -> CommandProgress:
        """Carry out what is left of one caller's commands."""
        verdicts = group.verdicts
        for command in group.commands[len(verdicts) :]:
            size, essential = room_needed(self._world, command)
            if essential and self._stalled and group is not self._stalled[0]:
                return CommandProgress.NO_ROOM
            try:
                if not self._has_room(size, essential, batch):
                    return CommandProgress.BATCH_FULL
            except JournalFull as full:
                if essential:
                    return CommandProgress.NO_ROOM
                verdicts.append(Refused(reason="journal_full", message=full.what))
                continue
            verdicts.append(self._carry_out(command, batch))
        return CommandProgress.FINISHED

    def _has_room(self, size: int, essential: bool, batch: DecidedBatch) -> bool:
        """Whether the batch can take a decision of at most this size. One that is larger than the
        room that is left comes first in a batch: then the log writes more ahead, or raises
        `JournalFull`."""
        if batch.size + size <= batch.room:
            return True
        return not batch.drafts and self._log.secure(size, reserve=essential)

    def _carry_out(self, command: AnyCommand, batch: DecidedBatch) -> Verdict:
        outcome = carry_out(self._world, respelled(self._world, command), batch.at)
        batch.add(outcome)
        return outcome.verdict

    async def _commit(self, batch: DecidedBatch) -> None:
        # Whoever was posted so far is in this batch: a thread would only make them wait longer.
        self._committing = True
        try:
            self._log.stage(batch.drafts, batch.at, expect=batch.entries[0].seq)
            await self._log.commit_async(idle=not self._inbox)
        finally:
            self._committing = False
        self._follow_log()

    def _follow_log(self) -> None:
        """Records that the log wrote about itself mean nothing but a position."""
        self._world.seq = self._log.head.seq

    def _tell(self, batch: DecidedBatch) -> None:
        """The batch is durable: answers first, then events and effects, then questions."""
        for group in batch.finished:
            if not group.done.done():
                group.done.set_result(tuple(group.verdicts))
        if batch.entries:
            touched = frozenset(batch.touched)
            for watcher in self._watchers:
                watcher.committed(self._world, batch.entries, touched)
        while self._asked:
            self._asked.popleft().settle(self._world, self._log.now())

    # --- time

    def _is_due(self, now: int) -> bool:
        deadline = next_deadline(self._world)
        due = deadline is not None and deadline <= now and now >= self._tick_after
        return due and not self._stopping

    def _tick(self, batch: DecidedBatch) -> bool:
        """Meet the deadlines. A tick that moves nothing is not repeated before a second is over:
        no rule may turn the loop into a spin."""
        before = len(batch.entries)
        size, essential = room_needed(self._world, Tick())
        try:
            if not self._has_room(size, essential, batch):
                return False
        except JournalFull:
            self._tick_after = batch.at + int(RETRY_S * SECOND_US)
            return True
        self._carry_out(Tick(), batch)
        if len(batch.entries) == before:
            self._tick_after = batch.at + SECOND_US
        return True

    async def _wait(self) -> None:
        """Sleep until something is posted, a deadline comes, or a retry is due."""
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = None
        if (at := self._next_at()) is not None:
            delay = max(0, at - self._log.now()) / SECOND_US
            timer = loop.call_later(delay, self._rouse)
        try:
            await self._wake
        finally:
            self._wake = None
            if timer is not None:
                timer.cancel()

    def _next_at(self) -> int | None:
        deadline = next_deadline(self._world)
        times = [] if deadline is None else [max(deadline, self._tick_after)]
        if self._stalled:
            times.append(self._retry_at)
        return min(times, default=None)

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # --- the end

    def _fail_waiters(self) -> None:
        """Whoever still waits learns that nobody can say what became of the command."""
        self._stopping = True
        for group in (*self._inbox, *self._stalled):
            if not group.done.done():
                group.done.set_exception(OutcomeUnknown())
                group.done.exception()
        self._inbox.clear()
        self._stalled.clear()
        while self._asked:
            self._asked.popleft().fail(OutcomeUnknown())
