"""Short ways to give the commands that tests give again and again."""

from __future__ import annotations

from ackbook.broker.core.attempt_report import Phase, Report, Written
from ackbook.broker.core.commands import (
    Adopt,
    ReportAttempt,
    ReportCondition,
    ReportEnded,
    Send,
    Spawn,
)
from ackbook.broker.core.effects import Type
from ackbook.projections.facts import (
    AgentName,
    DeliveryId,
    Evidence,
    HeldReason,
    Program,
    RestartPolicy,
)
from ackbook.projections.world.fold import World, key_of
from tests.support.simulated import Simulated

ECHO = Evidence(how="echo_line", offset_from=10, offset_to=90)
FOLLOWED = Evidence(how="output_followed", offset_from=90, offset_to=99)


def program(name: str, generation: int = 1, **more: object) -> Program:
    """`cat`, as the program of this name, and what else is said of it."""
    known: dict[str, object] = {"pid": 1000 + generation, "command": "cat", "args": (), "cwd": "/"}
    return Program(name=AgentName(name), generation=generation, **known | more)  # type: ignore[arg-type]


def spawn(
    broker: Simulated,
    name: str,
    *channels: str,
    ready: bool = True,
    restart: RestartPolicy | None = None,
    source: str = "human",
) -> int:
    """A program that runs and, unless told otherwise, takes input. Returns its generation."""
    generation = broker.world.generations.get(key_of(name), 0) + 1
    broker.ask(
        Spawn(
            program=program(
                name,
                generation,
                channels=channels,
                source=source,
                restart=restart or RestartPolicy(),
            )
        )
    )
    if ready:
        become(broker, name, "ready")
    return generation


def become(broker: Simulated, name: str, state: str, reason: HeldReason | None = None) -> None:
    agent = broker.world.agent(name)
    assert agent is not None
    broker.do(
        ReportCondition(
            name=agent.name,
            generation=agent.generation,
            state=state,  # type: ignore[arg-type]
            how="prompt",
            reason=reason,
            heuristic=reason in ("busy", "not_ready", "input_not_empty"),
        )
    )


def adopt(broker: Simulated, name: str, *began: tuple[DeliveryId, int]) -> None:
    agent = broker.world.agent(name)
    assert agent is not None
    broker.ask(Adopt(name=agent.name, generation=agent.generation, pid=agent.pid, began=began))


def ended(
    broker: Simulated,
    name: str,
    reason: str = "exited",
    code: int | None = 1,
    began: tuple[tuple[DeliveryId, int], ...] | None = None,
) -> None:
    agent = broker.world.agent(name)
    assert agent is not None
    said = ReportEnded(
        name=agent.name, generation=agent.generation, reason=reason, code=code, began=began
    )
    broker.ask(said)


def message(to: str, body: str = "hello", sender: str = "human", **more: object) -> Send:
    return Send(sender=sender, target=to, body=body, **more)  # type: ignore[arg-type]


def report_of(
    effect: Type,
    phase: Phase = "written",
    *,
    seen: bool = False,
    submitted: bool = False,
    input_empty: bool = False,
    held: HeldReason | None = None,
    error: str = "",
) -> ReportAttempt:
    """What a holder would say of the typing that this effect owes."""
    report = Report(
        delivery_id=effect.delivery_id,
        attempt=effect.attempt,
        generation=effect.generation,
        phase=phase,
        held=held,
        written=Written(bytes_written=80, offset=10) if phase == "written" else None,
        seen=ECHO if seen or submitted else None,
        submitted=FOLLOWED if submitted else None,
        input_empty=input_empty or submitted,
        error=error,
    )
    return ReportAttempt(agent=effect.agent, report=report)


def deliver(broker: Simulated, effect: Type) -> None:
    """Typed, seen and submitted at once."""
    broker.ask(report_of(effect, submitted=True))


def queue_of(world: World, name: str) -> list[str]:
    agent = world.agent(name)
    assert agent is not None
    return [delivery.delivery_id for delivery in agent.queue]
