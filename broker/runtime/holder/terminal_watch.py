"""Watch: looks at the terminal and its processes, often while something may change, else seldom.

Output says by itself that there is something to see; a terminal's modes, its process in front and
its silence do not, so they are polled. One look serves both who waits for evidence and who judges
whether the terminal takes input. This module tells and decides nothing about messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ackbook.broker.runtime.holder.tty import Tty
from ackbook.broker.runtime.system import processes
from ackbook.broker.wire.evidence import TerminalView
from ackbook.broker.wire.frames import TerminalCondition
from ackbook.broker.wire.human_input import HumanLine
from ackbook.broker.wire.profiles import Profile
from ackbook.broker.wire.readiness import Front, Readiness, Sight, asks_at_cursor, input_line

LOOK_DELAY_S = 0.015
"""After output: one look for a burst of it, and no more than a person would notice."""

POLL_BUSY_S = 0.05
POLL_IDLE_S = 0.25
"""Between two looks without output: while it is not ready or something is typed, and at rest."""


class TerminalWatch:
    """The condition of one terminal. `changed` gets each condition that is worth telling."""

    def __init__(self, tty: Tty, profile: Profile) -> None:
        self._human = HumanLine()
        self.ours_at_cursor: Callable[[], bool] = lambda: False
        self.looked: Callable[[TerminalView], None] = lambda view: None
        self.changed: Callable[[TerminalCondition], None] = lambda condition: None
        self._tty = tty
        self._profile = profile
        self._readiness = Readiness(profile)
        self._home: processes.Stat | None = None
        self._loop = asyncio.get_running_loop()
        self._started = self._spoke = self._looked = self._loop.time()
        self._planned: asyncio.TimerHandle | None = None

    @property
    def told(self) -> TerminalCondition:
        """The condition as it was told last."""
        return self._readiness.told

    @property
    def quiet_s(self) -> float:
        """Since the last output or, before the first, since the program was last seen at work."""
        return self._loop.time() - self._spoke

    @property
    def uptime_ms(self) -> int:
        return int((self._loop.time() - self._started) * 1000)

    def heard(self) -> None:
        """There was output: look soon."""
        self._spoke = self._loop.time()
        if self._planned is None:
            self._planned = self._loop.call_later(LOOK_DELAY_S, self.look)

    def human_keys(self, data: bytes) -> None:
        """A human is about to type. A key for a dialog elsewhere on the screen begins no line."""
        if not self._tty.open:
            return
        view = self._tty.view()
        asked = asks_at_cursor(self._profile, view)
        if asked or self._human.answering or self.told.reason != "dialog":
            self._human.keys(data, input_line(view), self.uptime_ms, asked)

    def condition(self) -> TerminalCondition:
        """The condition at this moment, guesses included."""
        self.look()
        if not self._tty.open:
            return self.told
        return self._readiness.now(self._sight(self._tty.view()))

    def look(self) -> None:
        """See what there is to see and tell what is new.

        How long it was quiet is counted to the beginning of the look: on a busy machine a look may
        take long, and a program that has said or done something meanwhile was not quiet.
        """
        self._looked = self._loop.time()
        if self._tty.open:
            self._tty.catch_up()
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None
        if not self._tty.open:
            return
        if not self._tty.offset and not _asleep(self._tty.program.front()):
            self._spoke = self._loop.time()
        view = self._tty.view()
        self._human.look(input_line(view), self.uptime_ms)
        condition = self._readiness.look(self._sight(view))
        if self._readiness.was_ready and self._home is None:
            self._home = processes.in_front(self._tty.program.front())
        self.looked(view)
        if condition is not None:
            self.changed(condition)

    async def poll(self, often: Callable[[], bool]) -> None:
        """Look again and again, for ever."""
        while True:
            busy = self.told.state != "ready" or often()
            await asyncio.sleep(POLL_BUSY_S if busy else POLL_IDLE_S)
            self.look()

    def _sight(self, view: TerminalView) -> Sight:
        program = self._tty.program
        modes = program.modes()
        front = program.front()
        return Sight(
            view=view,
            canonical=modes.canonical,
            echo=modes.echo,
            paste=self._tty.screen.paste_mode,
            front=self._front(front),
            quiet_ms=max(0, int((self._looked - self._spoke) * 1000)),
            age_ms=self.uptime_ms,
            spoken=self._tty.offset > 0,
            human=self._human.typing,
            answering=self._human.answering,
            ours_at_cursor=self.ours_at_cursor(),
        )

    def _front(self, group: int) -> Front:
        home = self._home
        if home is None:
            return "home"
        now = processes.stat(home.pid)
        if now is None or now.started != home.started:
            return "lost"
        return "home" if group == now.group else "child"


def _asleep(group: int) -> bool:
    program = processes.in_front(group)
    return program is not None and program.state == "S"
