"""Typist: performs one attempt after the other, and keeps watching what became of each.

An attempt goes through fixed steps, and its report says at each moment how far it came:

    vetoes -> (interrupt) -> text -> until it stands on the screen -> vetoes -> Enter -> evidence

Before the first byte a veto ends the attempt as *not begun*. After the text one holds the Enter
until it ends, however long; there is one Enter per attempt. Evidence is looked for beyond every
window, until the broker has settled the attempt and its text has left the input line, or the next
one was begun.

The typist knows the terminal and the messages; it knows no broker and no socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.runtime.holder.attempt import RunningAttempt
from ackbook.broker.runtime.holder.spool import Spool
from ackbook.broker.runtime.holder.tty import Tty
from ackbook.broker.wire import human_input
from ackbook.broker.wire.attempts import AttemptKey, Attempts, digest_of
from ackbook.broker.wire.evidence import TerminalView
from ackbook.broker.wire.frames import TerminalCondition, TypeOrder
from ackbook.broker.wire.keystrokes import Limit, Manner, keystrokes
from ackbook.broker.wire.profiles import Profile
from ackbook.projections.facts import HeldReason

WATCHED_MAX = 16
"""Attempts watched for late evidence at the same time, the newest ones."""


class ConditionSource(Protocol):
    """Who knows the condition of the terminal at this moment."""

    def condition(self) -> TerminalCondition:
        """A look at it now, guesses included."""

    @property
    def told(self) -> TerminalCondition:
        """The condition that brokers know of."""


class Typist:
    """Types what it is ordered to. `tell` gets each report that says something new."""

    def __init__(
        self,
        tty: Tty,
        generation: int,
        profile: Profile,
        spool: Spool,
        watcher: ConditionSource,
        tasks: asyncio.TaskGroup,
        tell: Callable[[Report], None],
    ) -> None:
        self.attempts = Attempts()
        self._tty = tty
        self._generation = generation
        self._profile = profile
        self._spool = spool
        self._watcher = watcher
        self._tasks = tasks
        self._tell = tell
        self._typing: RunningAttempt | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._waits_for: AttemptKey | None = None
        self._looked = asyncio.Event()
        self._over = False
        self._watched: dict[AttemptKey, RunningAttempt] = {}

    @property
    def active(self) -> bool:
        """Something is being typed or looked for."""
        return bool(self._watched) or self._waiting is not None

    @property
    def ours_at_cursor(self) -> bool:
        """The text of the attempt under way stands before the cursor, waiting for its Enter."""
        return self._typing is not None and self._typing.witness.at_cursor

    def take(self, order: TypeOrder) -> None:
        """Obey an order, or answer why not. Nothing is begun twice."""
        key = (order.delivery_id, order.attempt)
        known = self.attempts.ordered(key, digest_of(order.event_id, order.body))
        if known is not None:
            self._tell(known)
        elif order.generation != self._generation:
            self._tell(_not_begun(order, None, f"this is generation {self._generation}"))
        elif key != self._waits_for:
            self._decide(order)

    def forget_orders(self) -> None:
        """Orders that have not begun are void: the broker that gave them is obeyed no more."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = self._waits_for = None

    def settle(self, key: AttemptKey) -> None:
        """The broker's record of this attempt is durable."""
        self.attempts.settle(key)
        attempt = self._watched.get(key)
        if attempt is not None:
            attempt.settled = True
            self._forget_finished()

    def heard(self, data: bytes, offset: int) -> None:
        """A piece of output."""
        for attempt in self._watched.values():
            attempt.witness.output(data, offset)
            attempt.stirred.set()
            self._put(attempt.report())

    def look(self, view: TerminalView) -> None:
        """What stands on the screen now."""
        self._looked.set()
        for attempt in list(self._watched.values()):
            attempt.witness.look(view)
            attempt.stirred.set()
            self._put(attempt.report())
        self._forget_finished()

    def human_keys(self, data: bytes) -> None:
        """A human typed; while our text waits for its Enter, that may decide about it.

        Keys that answer a dialog do not reach the input line behind it.
        """
        attempt = self._typing
        if attempt is None or attempt.held == "dialog":
            return
        if human_input.abandons(data):
            attempt.taken_over = "a human took the text out of the input line"
        elif human_input.submits(data):
            attempt.taken_over = "a human pressed Enter"
            attempt.submitted_by_human = True
        attempt.stirred.set()

    def gone(self) -> None:
        """The program has ended, or its terminal is closed: nothing more is typed."""
        self._over = True
        if self._typing is not None:
            self._typing.taken_over = "the program ended"
            self._typing.stirred.set()
        self._looked.set()

    def _cannot(self) -> HeldReason | None:
        """Why nothing at all can be begun now."""
        if self._over:
            return "agent_gone"
        if self._typing is not None or self._waiting is not None or self.attempts.full:
            return "busy"
        return None

    def _decide(self, order: TypeOrder) -> None:
        """Begin or not, as the terminal is at this moment.

        A guess that is too young to be told keeps the order waiting: a shell between two commands
        would otherwise refuse every second message, and nobody would hear that it is ready again.
        """
        condition = self._watcher.condition()
        if (reason := self._cannot()) is not None:
            self._put(_not_begun(order, reason))
        elif condition.state == "ready" or (condition.heuristic and order.override):
            self._begin(order)
        elif condition.state == "starting":
            self._put(_not_begun(order, "not_ready"))
        elif condition.heuristic and condition.reason != self._watcher.told.reason:
            self._waits_for = (order.delivery_id, order.attempt)
            self._waiting = self._tasks.create_task(self._wait(order))
        else:
            self._put(_not_begun(order, condition.reason))

    async def _wait(self, order: TypeOrder) -> None:
        self._looked.clear()
        await self._looked.wait()
        self._waiting = self._waits_for = None
        self._decide(order)

    def _begin(self, order: TypeOrder) -> None:
        modes = self._tty.program.modes()
        manner = Manner(canonical=modes.canonical, paste=self._tty.screen.paste_mode)
        path = self._spool.path(order.delivery_id, order.attempt)
        keys = keystrokes(order, manner, self._profile, path)
        if isinstance(keys, Limit):
            self._put(_not_begun(order, keys.reason))
            return
        attempt = RunningAttempt(order, keys, manner, self._tty.view(), self._profile)
        if keys.spool is not None:
            try:
                self._spool.write(path, keys.spool)
            except OSError as error:
                attempt.end("not_written", f"no spool file: {error}")
                self._put(attempt.report())
                return
        self._typing = attempt
        self._watched[attempt.key] = attempt
        self._forget_finished()
        self._put(attempt.report())
        self._tasks.create_task(self._perform(attempt))

    async def _perform(self, attempt: RunningAttempt) -> None:
        try:
            await self._interrupt(attempt)
            if await self._text(attempt):
                await self._settle_on_screen(attempt)
                if await self._no_veto(attempt):
                    await self._enter(attempt)
        finally:
            self._typing = None
            self._put(attempt.report())

    async def _interrupt(self, attempt: RunningAttempt) -> None:
        if attempt.order.mode != "steer" or attempt.manner.canonical:
            return
        for key in self._profile.interrupt:
            await self._tty.type(key)
            await asyncio.sleep(self._profile.interrupt_pause_ms / 1000)

    async def _text(self, attempt: RunningAttempt) -> bool:
        size = len(attempt.keys.text)
        taken = await self._tty.type(attempt.keys.text)
        if taken == size:
            return True
        attempt.end(
            "unknown" if taken else "not_written",
            f"the terminal took {taken} of {size} bytes and then no more",
        )
        return False

    async def _settle_on_screen(self, attempt: RunningAttempt) -> None:
        witness = attempt.witness
        try:
            async with asyncio.timeout(attempt.order.settle_ms / 1000):
                while not (witness.seen or witness.drawn or attempt.taken_over):
                    await attempt.stir()
        except TimeoutError:
            return
        attempt.in_time = True
        if not attempt.manner.canonical:
            await asyncio.sleep(self._profile.enter_gap_ms / 1000)

    async def _no_veto(self, attempt: RunningAttempt) -> bool:
        """Wait until no veto stands in the way of the Enter. False: there is none to type."""
        while True:
            attempt.witness.look(self._tty.view())
            if attempt.taken_over:
                break
            condition = self._watcher.condition()
            if condition.state != "blocked" or condition.heuristic:
                attempt.held = None
                return True
            attempt.held = condition.reason
            self._put(attempt.report())
            await attempt.stir()
        attempt.held = None
        if attempt.submitted_by_human:
            attempt.witness.entered(self._tty.view())
            attempt.written_in_full(len(attempt.keys.text))
        attempt.end("written" if attempt.submitted_by_human else "unknown", attempt.taken_over)
        return False

    async def _enter(self, attempt: RunningAttempt) -> None:
        attempt.witness.entered(self._tty.view())
        enter = attempt.keys.enter
        if await self._tty.type(enter) == len(enter):
            attempt.written_in_full(len(attempt.keys.text) + len(enter))
            attempt.end("written")
        else:
            attempt.end("unknown", "the terminal took the text and not the Enter")

    def _put(self, report: Report) -> None:
        if self.attempts.put(report):
            self._tell(report)

    def _forget_finished(self) -> None:
        """Stop to watch what can show nothing more, or matters to nobody any more."""
        newest = next(reversed(self._watched), None)
        for key, attempt in list(self._watched.items()):
            witness = attempt.witness
            empty = attempt.ended and (witness.input_empty or key != newest)
            if empty and (witness.finished or attempt.settled):
                del self._watched[key]
        while len(self._watched) > WATCHED_MAX:
            del self._watched[next(iter(self._watched))]


def _not_begun(order: TypeOrder, held: HeldReason | None, error: str = "") -> Report:
    return Report(
        delivery_id=order.delivery_id,
        attempt=order.attempt,
        generation=order.generation,
        phase="not_begun",
        held=held,
        error=error,
    )
