"""A holder's session: one holder as the broker sees it, through every link to it, until it is gone.

What the holder says becomes commands, in the order in which it was said; a report is answered with
`Settled` once its record is durable and nothing more can follow. A link that is lost while the
holder lives is made again, and what the agent is owed is said again: a holder begins an attempt
once, so saying it twice is harmless and saying it never is not.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol, assert_never

from ackbook.broker.core.attempt_report import Phase, Report
from ackbook.broker.core.commands import AnyCommand, Refused, ReportAttempt, ReportEnded, Verdict
from ackbook.broker.runtime.agents.holder_launch import Launched
from ackbook.broker.runtime.agents.holder_link import HolderLink, LinkLost, LinkRefused
from ackbook.broker.runtime.agents.holder_sockets import HolderSocket, says_nothing
from ackbook.broker.runtime.agents.restored import irreconcilable, to_record
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.broker.runtime.engine.inbox import OutcomeUnknown, Stopped
from ackbook.broker.runtime.system.processes import started_at
from ackbook.broker.wire import frames
from ackbook.broker.wire.frames import Hello, HolderFrame, ProgramEnded, TerminalCondition, Welcome
from ackbook.broker.wire.holder_commands import Speaker
from ackbook.projections.facts import AgentName, DeliveryId

log = logging.getLogger("ackbook.holders")

AGAIN_S_MIN = 0.05
AGAIN_S_MAX = 1.0
"""A holder that is there but silent is asked again after this long, doubling between the two."""

OVER: frozenset[Phase] = frozenset({"not_begun", "not_written", "cleared", "unknown"})
"""Phases after which a holder has nothing more to say of an attempt."""


class Audience(Protocol):
    """Who wants what the agent's terminal shows."""

    def wanted(self, name: str) -> tuple[bool, bool]:
        """Whether anybody looks, and whether a person's terminal is among them."""
        ...

    def output(self, name: AgentName, offset: int, data: bytes, text: str) -> None:
        """Bytes of the terminal; `offset` is the length of its output after them."""
        ...


class HolderSession:
    """See the module. `run` is its life; it returns when the holder is gone and that is told. `pid`
    is the program's, once the holder has said it."""

    def __init__(
        self,
        *,
        engine: Engine,
        hello: Hello,
        name: str,
        generation: int,
        socket: HolderSocket,
        audience: Audience,
        again: Callable[[str], None],
        launched: Launched | None = None,
    ) -> None:
        self.name = AgentName(name)
        self.generation = generation
        self._speaker = Speaker(name, generation)
        self.socket = socket
        self.link: HolderLink | None = None
        self.pid: int | None = None
        self.settled_in, self.gone = asyncio.Event(), asyncio.Event()
        self._engine = engine
        self._hello = hello
        self._audience = audience
        self._again = again
        self._launched = launched
        on, human = audience.wanted(name)
        self._watch = frames.WatchOrder(on=on, human=human)
        self._open: dict[tuple[DeliveryId, int], Report] = {}
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._holder, self._offset = (0, 0), 0
        self._named = self._ended = self._to_end = False
        self.refused, self.obeys = "", 0
        """Why its holder does not obey this broker, while that is so, though its program lives; and
        the pid of the broker that it obeys, where that runs."""

    async def run(self, first: tuple[HolderLink, Welcome] | None = None) -> None:
        """Live with the holder. `first`: the link to it, where there is one already."""
        adopting = self._launched is None
        met = not adopting
        self._named = self._named or adopting
        try:
            while True:
                link, welcome = await self._reach(first)
                first = None
                self.link = link
                await self._meet(welcome, adopting=adopting)
                met, adopting = True, False
                await link.pump(self._hear)
                self.link = None
        except OSError as gone:
            log.info("holder of %s (generation %d) is gone: %s", self.name, self.generation, gone)
        finally:
            self.link = None
            self.settled_in.set()
            if self._launched is not None:
                self._launched.release()
        if not self._ended:
            await self._carry(self._speaker.lost("holder_lost" if met else "ended_with_broker"))

    # --- to the holder

    def named(self) -> None:
        """The agent's record is durable: the holder may outlive this broker."""
        self._named = True
        if self.link is not None:
            self.link.send(frames.Named())

    def type(self, frame: frames.TypeOrder) -> None:
        """Type a message. Whatever was typed before it can say no more."""
        if self.link is None:
            return
        for delivery_id, attempt in list(self._open):
            if (delivery_id, attempt) != (frame.delivery_id, frame.attempt):
                self._settle(delivery_id, attempt)
        self.link.send(frame)

    async def leave(self, reason: str) -> None:
        """It is decided that the program ends. From here on nothing is typed any more, whatever the
        terminal says; what is being typed may finish before `end`."""
        await self._carry(self._speaker.leave(reason))

    def end(self, reason: str | None = None) -> None:
        """End the program; `reason` says in the journal why, where that was our decision."""
        self._speaker.leaving = self._speaker.leaving or reason
        self._to_end = True
        if self.link is not None:
            self.link.send(frames.EndOrder())

    def watch(self, *, on: bool, human: bool) -> None:
        """Whether the terminal's output is wanted, and whether a person's terminal shows it."""
        watch = frames.WatchOrder(on=on, human=human)
        if watch != self._watch and self.link is not None:
            self.link.send(watch)
        self._watch = watch

    # --- from the holder

    async def _reach(self, first: tuple[HolderLink, Welcome] | None) -> tuple[HolderLink, Welcome]:
        """Connect, for as long as somebody listens. One who refuses lives: the agent is not ours to
        end, and may be ours again when whom it obeys is gone."""
        delay = AGAIN_S_MIN
        while True:
            try:
                link, welcome = first or await self.socket.connect(self._hello)
            except (LinkLost, OSError) as error:
                gone = isinstance(error, OSError) and not says_nothing(error)
                if gone and not self._holder_lives():
                    raise
                await asyncio.sleep(delay)
            except LinkRefused as refused:
                self._refused(str(refused), refused.refusal.obeys)
                await asyncio.sleep(AGAIN_S_MAX)
            else:
                if not (why := self._objection(welcome)):
                    self.refused, self.obeys = "", 0
                    return link, welcome
                link.close()
                first = None
                self._refused(why)
                await asyncio.sleep(AGAIN_S_MAX)
            delay = min(delay * 2, AGAIN_S_MAX)

    def _holder_lives(self) -> bool:
        """Whether who was spoken to is there: then its names were removed, and it binds them."""
        pid, started = self._holder
        return bool(pid) and started_at(pid) == started

    @property
    def elsewhere(self) -> str:
        """What is to be said of an agent whose holder obeys somebody else."""
        return (
            f"the program of {self.name} runs, and its holder does not obey this broker"
            f" ({self.refused}); release {self.name}, or end the broker that it obeys"
        )

    def _objection(self, welcome: Welcome) -> str:
        """Why this holder is not spoken to. To one that is to end nothing is typed."""
        if (welcome.name, welcome.generation) != (self.name, self.generation):
            return f"the holder of {welcome.name} listens at its socket"
        return "" if self._to_end else irreconcilable(self._hello, welcome)

    def _refused(self, why: str, obeys: int = 0) -> None:
        self.obeys = obeys
        if why != self.refused:
            log.error("the holder of %s does not obey: %s", self.name, why)
        self.refused = why
        self.settled_in.set()

    async def _meet(self, welcome: Welcome, *, adopting: bool) -> None:
        """Say all that the holder knows as one group, then what the agent is owed."""
        settled: list[Report] = []
        if adopting and welcome.settled:
            with contextlib.suppress(Stopped):
                settled = await self._engine.ask(lambda world, at: to_record(world, welcome))
        commands = self._speaker.welcome(welcome, adopting=adopting, settled=settled)
        self._open = {(report.delivery_id, report.attempt): report for report in welcome.reports}
        self._ended = welcome.ended is not None
        self.pid = welcome.pid
        self._holder = welcome.holder_pid, started_at(welcome.holder_pid)
        assert self.link is not None
        if self._named and not welcome.named:
            self.link.send(frames.Named())
        if self._watch.on:
            self.link.send(self._watch)
        self._post(commands, lambda verdicts: self._met(commands, verdicts))

    def _met(self, commands: list[AnyCommand], verdicts: tuple[Verdict, ...]) -> None:
        for command, verdict in zip(commands, verdicts, strict=True):
            if isinstance(command, ReportAttempt):
                self._recorded(command.report, verdict)
            elif isinstance(command, ReportEnded):
                self._end_is_durable()
        self.settled_in.set()
        self._again(self.name)

    def _hear(self, frame: HolderFrame) -> None:
        match frame:
            case Report():
                self._open[(frame.delivery_id, frame.attempt)] = frame
                command = ReportAttempt(agent=self.name, report=frame)
                self._post([command], lambda verdicts: self._recorded(frame, verdicts[0]))
            case TerminalCondition():
                self._post(self._speaker.condition(frame))
            case ProgramEnded():
                self._ended = True
                self._post([self._speaker.ended(frame)], lambda _: self._end_is_durable())
            case frames.Idle():
                self._post([self._speaker.idle(frame)])
            case frames.Output():
                self._output(frame)
            case frames.EpochRefusal():
                log.error("the holder of %s refuses: %s %s", self.name, frame.reason, frame.detail)
            case Welcome() | frames.InputDone() | frames.ScreenShown():
                pass
            case _:
                assert_never(frame)

    def _output(self, frame: frames.Output) -> None:
        if frame.offset - len(frame.data) != self._offset:
            self._text.reset()
        self._offset = frame.offset
        text = self._text.decode(frame.data)
        self._audience.output(self.name, frame.offset, frame.data, text)

    # --- what is durable

    def _post(
        self, commands: list[AnyCommand], then: Callable[[tuple[Verdict, ...]], None] | None = None
    ) -> None:
        """Put commands to the rules without waiting: the next frame may be read meanwhile.

        When the engine has ended nothing is lost, since the holder keeps what was not settled.
        """
        try:
            done = self._engine.post(*commands)
        except Stopped:
            return

        def told(future: asyncio.Future[tuple[Verdict, ...]]) -> None:
            if then is not None and not future.cancelled() and future.exception() is None:
                then(future.result())

        done.add_done_callback(told)

    def _recorded(self, report: Report, verdict: Verdict) -> None:
        """A report is durable: forget it where nothing can follow."""
        complete = report.seen is not None and report.submitted is not None
        if report.phase in OVER or complete or isinstance(verdict, Refused):
            self._settle(report.delivery_id, report.attempt)

    def _settle(self, delivery_id: DeliveryId, attempt: int) -> None:
        self._open.pop((delivery_id, attempt), None)
        if self.link is not None:
            self.link.send(frames.AttemptSettled(delivery_id=delivery_id, attempt=attempt))

    def _end_is_durable(self) -> None:
        """The holder kept itself alive to tell its program's end; now it may go."""
        if self.link is not None:
            self.link.send(frames.EndOrder())

    async def _carry(self, command: AnyCommand) -> None:
        """Put a command to the rules. When the engine has ended, the next start finds out."""
        with contextlib.suppress(Stopped, OutcomeUnknown):
            await self._engine.carry(command)
