"""Holder: owns one agent's terminal for as long as the agent lives, whatever becomes of brokers.

| until | it ends, and its program with it, when |
|---|---|
| it is named | standard input ends, the broker's connection closes, or nobody comes for `stay_s` |
| the program ends | a broker says `End`, or SIGTERM comes |
| a broker has said `End` | the reports have waited for `ENDED_STAY_S` |

Only a broker that has recorded how the program and its last attempts ended says `End`, so what was
in doubt is never lost with the process. This module joins the parts and speaks for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import msgspec

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.runtime.holder.capture_file import CaptureFile
from ackbook.broker.runtime.holder.process import ProgramExit, TerminalProgram
from ackbook.broker.runtime.holder.server import HolderServer
from ackbook.broker.runtime.holder.spool import Spool
from ackbook.broker.runtime.holder.terminal_watch import TerminalWatch
from ackbook.broker.runtime.holder.tty import Tty
from ackbook.broker.runtime.holder.typist import Typist
from ackbook.broker.runtime.system.home import Home
from ackbook.broker.wire import frames
from ackbook.broker.wire.human_input import Keyboard
from ackbook.broker.wire.profiles import profile_of

ENDED_STAY_S = 24 * 60 * 60
"""How long the reports of an ended program wait for a broker: one that is down over a night finds
them, one that never comes back does not leave processes behind for ever."""

LAST_WORDS_S = 0.3
"""The kernel hands over what a program wrote a moment after its end; then the terminal is closed,
unless an orphan keeps it open."""

CLOSED_GRACE_S = 1.0
"""A program that exits closes its terminal a moment earlier; one that lives on after this has
closed it on purpose."""

INPUT_STALL_S = 2.0
"""Keystrokes of a human that a terminal has not taken by then are given back as not taken."""

GRACE_MS = 2_000
"""Between hanging up and killing, where nobody said how long."""

KILLED_LOOK_S = 0.02
KILLED_LOOKS_MAX = 150
"""Who is not gone after so many looks (3 s) hangs in the kernel, or is another user's (`sudo`)."""

IDLE_CHECK_S = 1.0
"""A silence is told in whole seconds."""


class Holder:
    """The desk of one agent. `run` returns when everything has ended."""

    def __init__(
        self,
        launch: frames.Launch,
        program: TerminalProgram,
        tasks: asyncio.TaskGroup,
        home: Home,
    ) -> None:
        self._launch = launch
        self._program = program
        self._tasks = tasks
        self._profile = profile_of(launch.profile)
        self._tty = Tty(program, launch.rows, launch.cols)
        self._keyboard = Keyboard()
        self._spool = Spool(launch.spool, home)
        self._captures = CaptureFile(
            str(home.inside(launch.screens)) if launch.screens else "", self._tty.view
        )
        self._watch = TerminalWatch(self._tty, self._profile)
        self.server = HolderServer(self, home)
        self._typist = Typist(
            self._tty,
            launch.generation,
            self._profile,
            self._spool,
            self._watch,
            tasks,
            self._tell_report,
        )
        self._named = False
        self._came = False
        self._watching = False
        self._ended: frames.ProgramEnded | None = None
        self._over = asyncio.Event()
        self._grace_ms = GRACE_MS
        self._exited = asyncio.Event()
        self._hung_up = asyncio.Event()
        self._finished = asyncio.Event()

    async def run(self) -> None:
        """Hold the terminal until it is over, then leave nothing behind."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._over.set)
        loop.add_reader(self._program.pidfd, self._reap)
        self._tty.heard, self._tty.closed = self._heard, self._closed
        self._watch.looked, self._watch.changed = self._typist.look, self.server.tell
        self._watch.ours_at_cursor = lambda: self._typist.ours_at_cursor
        self._tty.start()
        loop.call_later(self._launch.stay_s, self._stayed)
        helpers = [
            self._tasks.create_task(self._watch.poll(lambda: self._typist.active)),
            self._tasks.create_task(self._tell_idle()),
        ]
        await self._over.wait()
        await self._end_program()
        for helper in helpers:
            helper.cancel()
        self._tty.stop()
        await self.server.stop()
        self._spool.clear()

    def broker_process_ended(self) -> None:
        """Standard input is at its end: whoever started us is gone."""
        if not self._named:
            self._over.set()

    # --- the desk

    def welcome(self) -> frames.Welcome:
        self._came = True
        self._typist.forget_orders()
        self._watching = self._tty.human_attached = False
        self._watch.look()
        return frames.Welcome(
            name=self._launch.name,
            generation=self._launch.generation,
            holder_pid=os.getpid(),
            pid=self._program.pid,
            named=self._named,
            offset=self._tty.offset,
            condition=self._watch.told,
            reports=self._typist.attempts.unsettled(),
            settled=self._typist.attempts.settled(),
            ended=self._ended,
            speaks=frames.SPEAKS,
        )

    def introduction(self) -> frames.EpochRefusal:
        return frames.EpochRefusal(
            reason="older_epoch",
            name=self._launch.name,
            pid=self._program.pid,
            holder_pid=os.getpid(),
        )

    def left(self) -> None:
        self._typist.forget_orders()
        self._watching = self._tty.human_attached = False
        if not self._named:
            self._over.set()

    def obey(self, frame: frames.BrokerFrame) -> None:
        match frame:
            case frames.Named():
                self._named = True
            case frames.TypeOrder():
                self._captures.ordered(frame)
                self._typist.take(frame)
            case frames.AttemptSettled():
                self._typist.settle((frame.delivery_id, frame.attempt))
            case frames.Input():
                self._tasks.create_task(self._input(frame))
            case frames.Resize():
                self._tty.resize(frame.rows, frame.cols)
            case frames.ScreenAsked():
                self.server.tell(self._screen(frame))
            case frames.WatchOrder():
                self._watching = frame.on
                self._tty.human_attached = frame.on and frame.human
            case frames.EndOrder():
                self._grace_ms = frame.grace_ms
                self._over.set()
            case frames.Hello():
                raise AssertionError("the server greets")

    async def _input(self, frame: frames.Input) -> None:
        keys = self._keyboard.keys(frame.data)
        self._watch.human_keys(keys)
        self._typist.human_keys(keys)
        taken = await self._tty.type(frame.data, INPUT_STALL_S)
        error = "" if taken == len(frame.data) else "the terminal does not take more"
        self.server.tell(frames.InputDone(request=frame.request, bytes_written=taken, error=error))
        self._watch.look()

    def _tell_report(self, report: Report) -> None:
        """The broker first: what is kept for later must not hold it up."""
        self.server.tell(report)
        self._captures.told(report)

    def _screen(self, asked: frames.ScreenAsked) -> frames.ScreenShown:
        screen = self._tty.screen
        rows, cols = screen.size
        return frames.ScreenShown(
            request=asked.request,
            format=asked.format,
            rows=rows,
            cols=cols,
            cursor=screen.cursor,
            offset=self._tty.offset,
            text="\n".join(screen.rows()) if asked.format == "plain" else screen.repaint(),
        )

    # --- what the terminal does

    def _heard(self, data: bytes, offset: int) -> None:
        self._watch.heard()
        self._typist.heard(data, offset)
        if self._watching:
            self.server.tell(frames.Output(offset=offset, data=data))

    def _closed(self) -> None:
        self._hung_up.set()
        self._typist.gone()
        if self._program.reap() is None:
            self._tasks.create_task(self._closed_and_alive())

    async def _closed_and_alive(self) -> None:
        try:
            async with asyncio.timeout(CLOSED_GRACE_S):
                await self._exited.wait()
        except TimeoutError:
            lived_ms = self._watch.uptime_ms
            self._tell_ended(frames.ProgramEnded(reason="terminal_closed", uptime_ms=lived_ms))

    def _reap(self) -> None:
        exit_ = self._program.reap()
        if exit_ is None:
            return
        asyncio.get_running_loop().remove_reader(self._program.pidfd)
        self._exited.set()
        self._typist.gone()
        self._tasks.create_task(self._finish(exit_))

    async def _finish(self, exit_: ProgramExit) -> None:
        """Hear the last words, which come to their end with the terminal; an orphan may keep it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._hung_up.wait()
        self._typist.look(self._tty.view())
        self._tty.stop()
        self._tell_ended(
            frames.ProgramEnded(
                reason="exited" if exit_.signal is None else "signalled",
                code=exit_.code,
                signal=exit_.signal,
                uptime_ms=self._watch.uptime_ms,
            )
        )
        self._finished.set()

    def _tell_ended(self, ended: frames.ProgramEnded) -> None:
        if self._ended is not None:
            return
        self._ended = msgspec.structs.replace(ended, began=self._typist.attempts.began())
        self.server.tell(self._ended)
        asyncio.get_running_loop().call_later(ENDED_STAY_S, self._over.set)

    async def _tell_idle(self) -> None:
        """Tell once of each silence; a threshold of 0 means that nobody wants to know."""
        threshold_s, told = self._launch.idle_threshold_s, False
        while threshold_s:
            await asyncio.sleep(IDLE_CHECK_S)
            idle = self._watch.quiet_s >= threshold_s and self._ended is None
            if idle and not told:
                self.server.tell(frames.Idle(idle_s=int(self._watch.quiet_s)))
            told = idle

    # --- the end

    def _stayed(self) -> None:
        if not self._named and not self._came:
            sys.stderr.write("no broker came; ending\n")
            self._over.set()

    async def _end_program(self) -> None:
        if not self._exited.is_set():
            self._program.hang_up()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._grace_ms / 1000):
                    await self._exited.wait()
        self._program.kill()
        await self._finished.wait()
        # A process may be born while the others are ended, and each takes a moment to be gone.
        for _ in range(KILLED_LOOKS_MAX):
            if not self._program.kill():
                break
            await asyncio.sleep(KILLED_LOOK_S)
