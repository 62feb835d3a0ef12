"""A holder that lives in a simulation: the desk of the scripted one behind the real door, with a
terminal that takes its time and remembers everything that was typed into it.

It survives the brokers, and dies when it is killed. What becomes of an attempt is chosen when it is
ordered; between the first byte and the report anything may happen to anybody. It says at once when
it obeys a broker while the one that it obeyed before still runs.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from ackbook.broker.runtime.holder.server import BrokerLink
from ackbook.broker.wire import frames
from ackbook.broker.wire.frames import ProgramEnded, TypeOrder
from ackbook.projections.facts import AgentName, HeldReason
from tests.support.fake_holder import FakeHolder, report_of
from tests.support.simulated_machine import Machine, Process

WORDS = ("ack",) * 12 + ("unseen", "partial", "fail", "fail", *("dialog",) * 4, "die_after")
"""What may become of an attempt; the same odds for each."""

TYPING_S_MAX = 0.15
"""How long the text is on its way into the terminal."""

ANSWER_S_MAX = 1.0
"""How long a dialog waits for a human."""


class Typed(msgspec.Struct, frozen=True):
    """A message that stands in a terminal, and the process of the broker that ordered it."""

    delivery_id: str
    event_id: str
    body: str
    attempt: int
    ordered_by: int


class LivingHolder(FakeHolder):
    """One program in one terminal. `file` is the name under which it is found; `quiet` makes it
    take every message from here on."""

    def __init__(self, machine: Machine, name: str, generation: int, file: str) -> None:
        launch = frames.Launch(
            name=AgentName(name),
            generation=generation,
            command="simulated",
            args=(),
            cwd="/",
            env={},
            socket=file,
            spool="/",
        )
        super().__init__(launch, machine.look)
        self.name, self.generation, self.file = name, generation, file
        self.process = Process(machine)
        self.terminal: list[Typed] = []
        self.quiet = False
        self.two_brokers: Callable[[str], None] = lambda what: None
        """Called when it obeys a broker beside another one."""
        self.ended_by: Callable[[LivingHolder], None] = lambda holder: None
        """Called when a broker ends it, before it is."""
        self._machine = machine
        self._random: Random = machine.random
        self._obeyed = 0
        self._under_way: TypeOrder | None = None
        machine.listen(file, self.process, lambda: BrokerLink(self.server))

    @property
    def lives(self) -> bool:
        """Its program runs."""
        return self.process.alive and self._ended is None

    @property
    def is_named(self) -> bool:
        return self._named

    @property
    def obeys(self) -> int:
        """The pid of the broker that it obeyed last."""
        return self.server._process[0]

    @property
    def epoch_seen(self) -> int:
        return self.server._epoch

    @property
    def lineages(self) -> tuple[str, ...]:
        """The histories of the broker that it obeyed last."""
        return self.server._lineages

    def is_kept_from(self, pid: int) -> bool:
        """Another broker than this process is obeyed and runs."""
        return self.obeys != pid and self._machine.look(self.obeys) is not None

    async def live(self) -> None:
        """Until it is over; then it tells what there is to tell, and is gone."""
        self._machine.loop.call_later(self._launch.stay_s, self.leave_if_nobody_came)
        await self.over.wait()
        if self.process.alive:
            await self.server.stop()
            self.process.kill()

    def welcome(self) -> frames.Welcome:
        before, now = self._obeyed, self.obeys
        if before != now and self._machine.look(before) is not None:
            self.two_brokers(f"{self.file} obeys {now} while {before} runs")
        self._obeyed = now
        return msgspec.structs.replace(super().welcome(), pid=self.process.pid, holder_pid=0)

    def introduction(self) -> frames.EpochRefusal:
        return msgspec.structs.replace(super().introduction(), pid=self.process.pid, holder_pid=0)

    def end_program(self, code: int) -> None:
        """It ends by itself."""
        if self.lives:
            self._under_way = None
            self._end(ProgramEnded(reason="exited", code=code))

    def obey(self, frame: frames.BrokerFrame) -> None:
        if isinstance(frame, frames.EndOrder):
            self.ended_by(self)
        super().obey(frame)

    def unblock(self) -> None:
        """A human answers the dialog."""
        if self.lives and self._condition.state == "blocked":
            self._block("")

    def _in_the_way(self) -> HeldReason | None:
        return super()._in_the_way() or ("busy" if self._under_way is not None else None)

    def _next_word(self) -> str:
        return "ack" if self.quiet else self._random.choice(WORDS)

    def _perform(self, order: TypeOrder, word: str) -> None:
        if word == "dialog":
            super()._perform(order, word)
            delay = self._random.random() * ANSWER_S_MAX
            self._machine.loop.call_later(delay, self.unblock)
            return
        self._under_way = order
        self._put(report_of(order, "typing"))
        delay = self._random.random() * TYPING_S_MAX
        self._machine.loop.call_later(delay, self._go_on, order, word)

    def _go_on(self, order: TypeOrder, word: str) -> None:
        if self._under_way is not order or not self.lives:
            return
        self._under_way = None
        offset = self._offset
        if word in ("fail", "partial"):
            phase, error = ("not_written", "0 bytes") if word == "fail" else ("unknown", "1 byte")
            self._put(report_of(order, phase, error=error))
            return
        self._write(order)
        if word == "die_after":
            self._die()
            return
        self._prove(order, offset, seen=word == "ack")

    def _write(self, order: TypeOrder) -> None:
        super()._write(order)
        typed = Typed(order.delivery_id, order.event_id, order.body, order.attempt, self.obeys)
        self.terminal.append(typed)

    def _die(self) -> None:
        self.process.kill()
        self.over.set()
