"""A holder that goes wrong in every way in which a holder can, on the clock of a simulation.

It types what it is told, or nothing, or half; its program shows the text, late, or never; it is
busy, in a dialog, ended and started again. All that leaves it are the commands that the frames of a
real holder become. It knows the time only from whoever runs it, and draws from one source of
chance, so that the same seed makes the same day.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from ackbook.broker.core.attempt_report import Phase, Report, Written
from ackbook.broker.core.commands import (
    Adopt,
    AnyCommand,
    ReportAttempt,
    ReportCondition,
    ReportEnded,
    Spawn,
)
from ackbook.broker.core.effects import Type
from ackbook.projections.facts import AgentName, DeliveryId, Evidence, HeldReason, RestartPolicy
from tests.support.orders import program

SECOND_US = 1_000_000
MINUTE_S = 60.0

BEHAVIOURS = {
    "submits": 82.0,
    "submits_late": 4.0,
    "only_shows": 1.0,
    "shows_late": 3.0,
    "shows_nothing": 2.0,
    "is_in_the_way": 4.0,
    "writes_nothing": 3.0,
    "clears": 0.8,
    "loses_count": 0.2,
}
"""What becomes of a typing, in percent."""

IN_THE_WAY: tuple[HeldReason, ...] = ("busy", "dialog", "human_typing", "echo_off")
GUESSED: tuple[HeldReason, ...] = ("busy",)


class Stage(Protocol):
    """Whoever runs the simulation."""

    chance: Random

    def do(self, command: AnyCommand) -> object:
        """Put a command to the rules, now."""

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something when so much time has passed."""


class FaultyHolder:
    """The holder of one agent, through all generations of its program."""

    def __init__(self, stage: Stage, name: str, channels: tuple[str, ...], restarts: bool) -> None:
        self.name = AgentName(name)
        self.generation = 0
        self.alive = False
        self.broken = False
        """Its terminal takes nothing: each typing fails."""
        self._stage = stage
        self._chance = stage.chance
        self._channels = channels
        self._restart = RestartPolicy(enabled=restarts, max_restarts=1_000)
        self._known = False
        self._reports: dict[tuple[DeliveryId, int], Report] = {}

    def spawn(self, generation: int, restart_count: int = 0) -> None:
        """A program begins under this name; soon it takes input."""
        self.generation, self.alive, self._known, self._reports = generation, True, True, {}
        more = {"channels": self._channels, "restart": self._restart}
        started = program(self.name, generation, restart_count=restart_count, **more)
        self._stage.do(Spawn(program=started))
        self._later(0.3, 2.0, self._ready)

    def end(self, code: int = 1) -> None:
        """The program is gone."""
        if not self.alive:
            return
        self.alive = False
        began = tuple(self._reports)
        name, generation = self.name, self.generation
        ended = ReportEnded(
            name=name, generation=generation, reason="exited", code=code, began=began
        )
        self._stage.do(ended)

    def lost_its_broker(self) -> None:
        """Nobody listens before `adopt`."""
        self._known = False

    def adopt(self) -> None:
        """Answer a broker that asks: what was begun, and how far each came."""
        if not self.alive:
            return
        self._known = True
        name, generation = self.name, self.generation
        pid = 1_000 + generation
        self._stage.do(Adopt(name=name, generation=generation, pid=pid, began=tuple(self._reports)))
        for report in self._reports.values():
            self._stage.do(ReportAttempt(agent=name, report=report))
        self._later(0.1, 0.5, self._ready)

    def is_in_the_way(self) -> None:
        """Something keeps the terminal for a while."""
        self._condition("blocked", self._chance.choice(IN_THE_WAY))
        self._later(2, 2 * MINUTE_S, self._ready)

    def type(self, effect: Type) -> None:
        """Begin an attempt. What it comes to, is chance."""
        if not self.alive or (effect.delivery_id, effect.attempt) in self._reports:
            return
        names, weights = list(BEHAVIOURS), list(BEHAVIOURS.values())
        behaviour = self._chance.choices(names, weights)[0]
        if self.broken:
            behaviour = "writes_nothing"
        self._reports[effect.delivery_id, effect.attempt] = _report(effect, "typing")
        match behaviour:
            case "submits":
                self._tell(effect, 0.02, 0.2, seen=True, submitted=True)
            case "submits_late":
                self._tell(effect, 0.02, 0.2, seen=True)
                self._tell(effect, 3, 30, seen=True, submitted=True)
            case "only_shows":
                self._tell(effect, 0.02, 0.2, seen=True)
            case "shows_late":
                self._tell(effect, 0.02, 0.2)
                self._tell(effect, 6, 20, seen=True, submitted=True)
            case "shows_nothing":
                self._tell(effect, 0.02, 0.2, input_empty=True)
            case "is_in_the_way":
                self._tell(effect, 0.01, 0.1, "not_begun", held=self._chance.choice(IN_THE_WAY))
                self._later(1, 40, self._ready)
            case "writes_nothing":
                self._tell(effect, 0.01, 0.1, "not_written", error="the terminal took no byte")
            case "clears":
                self._tell(effect, 2, 4, "cleared", error="the text never stood in the input line")
            case "loses_count":
                self._tell(effect, 0.1, 1, "unknown", error="half of it was written")

    def _tell(
        self, effect: Type, least_s: float, most_s: float, phase: Phase = "written", **more: Any
    ) -> None:
        """Report this of the attempt, after a while."""

        def tell() -> None:
            if (effect.delivery_id, effect.attempt) not in self._reports:
                return  # of a program that ended
            report = _report(effect, phase, **more)
            self._reports = {(effect.delivery_id, effect.attempt): report}
            if self._known:
                self._stage.do(ReportAttempt(agent=self.name, report=report))

        self._later(least_s, most_s, tell)

    def _later(self, least_s: float, most_s: float, action: Callable[[], object]) -> None:
        """For as long as this program runs."""
        generation = self.generation

        def act() -> None:
            if self.alive and self.generation == generation:
                action()

        self._stage.later(self._chance.uniform(least_s, most_s), act)

    def _ready(self) -> None:
        self._condition("ready")

    def _condition(self, state: str, reason: HeldReason | None = None) -> None:
        if not (self.alive and self._known):
            return
        said = ReportCondition(
            name=self.name,
            generation=self.generation,
            state=state,  # type: ignore[arg-type]
            how="prompt",
            reason=reason,
            heuristic=reason in GUESSED,
        )
        self._stage.do(said)


def _report(
    effect: Type,
    phase: Phase,
    seen: bool = False,
    submitted: bool = False,
    input_empty: bool = False,
    **more: Any,
) -> Report:
    size = 80 + len(effect.body or "")
    return Report(
        delivery_id=effect.delivery_id,
        attempt=effect.attempt,
        generation=effect.generation,
        phase=phase,
        written=Written(bytes_written=size, offset=10) if phase == "written" else None,
        seen=Evidence(how="echo_line", offset_from=10, offset_to=10 + size) if seen else None,
        submitted=Evidence(how="input_emptied") if submitted else None,
        input_empty=input_empty or submitted,
        **more,
    )
