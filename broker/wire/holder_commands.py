"""What a holder says, as commands to the rules.

A frame knows only its terminal; the command says in addition whose it is. The order of a group is
the order of its meaning: an adoption first, then what became of each attempt, then how the terminal
is now, then that it is no more.
"""

from __future__ import annotations

from collections.abc import Sequence

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.core.commands import (
    Adopt,
    AnyCommand,
    ReportAttempt,
    ReportCondition,
    ReportEnded,
    ReportIdle,
)
from ackbook.broker.wire.frames import Idle, ProgramEnded, TerminalCondition, Welcome
from ackbook.projections.facts import AgentName


class Speaker:
    """Whose holder it is. `leaving` is the reason of an end that the broker decided."""

    __slots__ = ("generation", "leaving", "name")

    def __init__(self, name: str, generation: int) -> None:
        self.name = AgentName(name)
        self.generation = generation
        self.leaving: str | None = None

    def welcome(
        self, frame: Welcome, *, adopting: bool, settled: Sequence[Report] = ()
    ) -> list[AnyCommand]:
        """Everything that a holder knows, to be decided with no other command in between.
        `settled`: those of its settled reports that have still to be heard."""
        said: list[AnyCommand] = []
        reports = (*frame.reports, *settled)
        if adopting:
            began = tuple((report.delivery_id, report.attempt) for report in reports)
            said.append(
                Adopt(name=self.name, generation=self.generation, pid=frame.pid, began=began)
            )
        said += [ReportAttempt(agent=self.name, report=report) for report in reports]
        said += self.condition(frame.condition)
        if frame.ended is not None:
            said.append(self.ended(frame.ended))
        return said

    def condition(self, frame: TerminalCondition) -> list[AnyCommand]:
        """Whether the terminal takes input. Of one that is leaving nobody needs to know."""
        return [] if self.leaving is not None else [self._condition(frame)]

    def leave(self, reason: str) -> ReportCondition:
        """It is decided that the program ends: whatever the terminal says, nothing is typed."""
        self.leaving = self.leaving or reason
        return self._condition(TerminalCondition(state="blocked", reason="agent_gone"))

    def ended(self, frame: ProgramEnded) -> ReportEnded:
        """The program is gone; where we wanted that, the journal says so."""
        return ReportEnded(
            name=self.name,
            generation=self.generation,
            reason=self.leaving or frame.reason,
            code=frame.code,
            signal=frame.signal,
            uptime_ms=frame.uptime_ms,
            began=frame.began,
        )

    def lost(self, reason: str) -> ReportEnded:
        """Nobody is left who could say how the program ended."""
        return ReportEnded(
            name=self.name, generation=self.generation, reason=self.leaving or reason
        )

    def idle(self, frame: Idle) -> ReportIdle:
        """No output for a while."""
        return ReportIdle(name=self.name, generation=self.generation, idle_s=frame.idle_s)

    def _condition(self, frame: TerminalCondition) -> ReportCondition:
        return ReportCondition(
            name=self.name,
            generation=self.generation,
            state=frame.state,
            how=frame.how,
            reason=frame.reason,
            heuristic=frame.heuristic,
        )
