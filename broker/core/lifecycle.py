"""Rules about brokers and agents: starting, adopting, ending, modes, channels.

A report about a generation that is not the present one is refused as stale: an old program can
neither settle nor block anything of the new one.
"""

from __future__ import annotations

import msgspec

from ackbook.broker.core.commands import (
    Accepted,
    Adopt,
    DecidedFact,
    NoteClock,
    NoteUpkeep,
    Refused,
    Release,
    ReportCondition,
    ReportEnded,
    ReportIdle,
    Spawn,
    StartBroker,
    StopBroker,
    Verdict,
)
from ackbook.broker.core.limits import NAME_BYTES_MAX, exceeds
from ackbook.broker.core.reporting import GUESSES, not_begun
from ackbook.projections.facts import (
    AgentAdopted,
    AgentBlocked,
    AgentExited,
    AgentIdle,
    AgentReady,
    AgentReleased,
    AgentSpawned,
    BrokerStarted,
    BrokerStopped,
    ClockDiverged,
    DeliveryDeadLettered,
    DeliveryId,
    Policy,
    PolicyChanged,
    Ref,
    UpkeepFailed,
)
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.fold import World, key_of

CLOCK_AHEAD_US_MAX = 1_000_000
"""A wall clock further away than this is recorded."""

WAITS_FOR_EVER = ("ended_with_broker", "broker_stopped", "restarted")
"""Ends that are no choice of the program's: its messages wait for the next spawn of the name."""


def start_broker(world: World, command: StartBroker, at: int) -> Verdict:
    """A new epoch; the policy is a fact where a key that was named differs from the one in force.

    A key that this version does not know says nothing to it."""
    started = BrokerStarted(
        epoch=command.epoch,
        pid=command.pid,
        version=command.version,
        instance=command.instance,
        lineage=command.lineage,
        because=command.because,
        forked_after=command.forked_after,
    )
    facts = [DecidedFact(started)]
    policy = command.policy
    if command.named is not None:
        known = [key for key in command.named if key in Policy.__struct_fields__]
        named = {key: getattr(policy, key) for key in known}
        policy = msgspec.structs.replace(world.policy, **named)
    if policy != world.policy:
        facts.append(DecidedFact(PolicyChanged(policy=policy)))
    return Accepted(facts=tuple(facts))


def stop_broker(world: World, command: StopBroker, at: int) -> Verdict:
    """Nothing is dropped: what is pending waits for the next start."""
    return Accepted(
        facts=(
            DecidedFact(
                BrokerStopped(
                    reason=command.reason,
                    agents_kept=command.agents_kept,
                    commander=command.commander,
                )
            ),
        )
    )


def note_clock(world: World, command: NoteClock, at: int) -> Verdict:
    """Record a wall clock that leapt, once for each leap."""
    ahead = command.wall_at - at
    if abs(ahead - world.clock_ahead_us) <= CLOCK_AHEAD_US_MAX:
        return Accepted()
    return Accepted(facts=(DecidedFact(ClockDiverged(wall_at=command.wall_at, ahead_us=ahead)),))


def note_upkeep(world: World, command: NoteUpkeep, at: int) -> Verdict:
    """Something that can be done without was not done; somebody should know."""
    return Accepted(facts=(DecidedFact(UpkeepFailed(what=command.what, error=command.error)),))


def spawn(world: World, command: Spawn, at: int) -> Verdict:
    """Write down a program that runs; its name must be free and its generation the next."""
    program = command.program
    wrong = wrong_name(program.name)
    if wrong is not None:
        return Refused(reason="invalid", message=wrong)
    agent = world.agent(program.name)
    if agent is not None and agent.alive:
        return Refused(
            reason="agent_exists",
            message=f'Agent "{agent.name}" already exists; release it first, or take another name',
        )
    expected = world.generations.get(key_of(program.name), 0) + 1
    if program.generation != expected:
        return Refused(
            reason="stale",
            message=f"generation {program.generation} of {program.name} is not the next one,"
            f" which is {expected}",
        )
    name = program.name if agent is None else agent.name
    fact = AgentSpawned(**msgspec.structs.asdict(program) | {"name": name})
    return Accepted(facts=(DecidedFact(fact),))


def wrong_name(name: str) -> str | None:
    """Why this cannot be an agent's name; None where it can."""
    if not name.strip() or name != name.strip():
        return "an agent's name must not be empty nor begin or end with a space"
    if exceeds(name, NAME_BYTES_MAX):
        return f"an agent's name has at most {NAME_BYTES_MAX} bytes"
    if not name.isprintable() or name[0] in "#@-" or "/" in name:
        return (
            f"{name!r} cannot be an agent's name: it must be printable, without '/', and not begin"
            " with '#', '@' or '-'"
        )
    return None


def adopt(world: World, command: Adopt, at: int) -> Verdict:
    """A holder lives. What it never heard of was not begun, whatever was intended."""
    agent = world.generation(command.name, command.generation)
    if agent is None or not agent.alive:
        return _stale(command.name, command.generation)
    facts = []
    if agent.state == "unknown":
        adopted = AgentAdopted(name=agent.name, generation=agent.generation, pid=command.pid)
        facts.append(DecidedFact(adopted, (agent.spawned_seq,)))
    facts += _never_begun(agent, command.began, at, "the order to type was lost on its way")
    return Accepted(facts=tuple(facts))


def _never_begun(
    agent: Agent, began: tuple[tuple[DeliveryId, int], ...], at: int, error: str
) -> list[DecidedFact]:
    """What was intended, and is not among what the holder began."""
    flowing = agent.flowing
    if flowing is None or flowing.state != "typing":
        return []
    if (flowing.delivery_id, flowing.attempt) in began:
        return []
    return [not_begun(agent, flowing, at, error)]


def report_condition(world: World, command: ReportCondition, at: int) -> Verdict:
    """Ready, or blocked by what. Repeating what is known says nothing new."""
    agent = world.generation(command.name, command.generation)
    if agent is None or not agent.alive:
        return _stale(command.name, command.generation)
    match command.state:
        case "starting":
            return Accepted()
        case "ready":
            return (
                Accepted() if agent.state == "ready" else Accepted(facts=(_ready(agent, command),))
            )
        case "blocked":
            return _blocked(world, agent, command, at)


def _ready(agent: Agent, command: ReportCondition) -> DecidedFact:
    spawned = agent.spawned
    fact = AgentReady(
        name=agent.name,
        generation=agent.generation,
        how=command.how,
        first=not agent.was_ready,
        pid=agent.pid,
        cli=spawned.cli,
        model=spawned.model,
        session_id=spawned.session_id,
    )
    return DecidedFact(fact, (agent.state_seq,) if agent.state_seq else ())


def _blocked(world: World, agent: Agent, command: ReportCondition, at: int) -> Verdict:
    if command.reason is None:
        return Refused(reason="invalid", message="a blocked terminal must say what blocks it")
    if agent.state == "blocked" and agent.blocked == command.reason:
        return Accepted()
    guess = command.heuristic and command.reason in GUESSES
    if guess and agent.override:
        return Accepted()
    fact = AgentBlocked(
        name=agent.name,
        generation=agent.generation,
        reason=command.reason,
        until=at + world.policy.input_hold_ms * 1_000 if guess else None,
    )
    return Accepted(facts=(DecidedFact(fact),))


def report_ended(world: World, command: ReportEnded, at: int) -> Verdict:
    """A program is gone; that is no release, and its messages wait, as does what was about to be
    typed and never begun."""
    agent = world.generation(command.name, command.generation)
    leaving = (command.name, command.generation) in world.leaving
    if not leaving and (agent is None or not agent.alive):
        return _stale(command.name, command.generation)
    facts = []
    if agent is not None and command.began is not None:
        facts += _never_begun(agent, command.began, at, "the program ended before it was typed to")
    hold = None if command.reason in WAITS_FOR_EVER else world.policy.hold_ms
    fact = AgentExited(
        name=command.name if agent is None else agent.name,
        generation=command.generation,
        reason=command.reason,
        code=command.code,
        signal=command.signal,
        hold_ms=None if leaving else hold,
        uptime_ms=command.uptime_ms,
    )
    cause = world.leaving[(command.name, command.generation)] if leaving else 0
    facts.append(DecidedFact(fact, (cause,) if cause else ()))
    return Accepted(facts=tuple(facts))


def report_idle(world: World, command: ReportIdle, at: int) -> Verdict:
    """Nothing came out of the terminal for a while."""
    agent = world.generation(command.name, command.generation)
    if agent is None or not agent.alive:
        return _stale(command.name, command.generation)
    fact = AgentIdle(
        name=agent.name,
        generation=agent.generation,
        idle_secs=command.idle_s,
        since=at - command.idle_s * 1_000_000,
    )
    return Accepted(facts=(DecidedFact(fact),))


def release(world: World, command: Release, at: int) -> Verdict:
    """Let go: what waits is dropped in the same record, what was being typed has no known end."""
    agent = world.agent(command.name)
    if agent is None:
        return not_found(command.name)
    facts = []
    flowing = agent.flowing
    if flowing is not None:
        dead = DeliveryDeadLettered(
            **flowing.ref_fields(),
            reason="outcome_unknown",
            queued_at=flowing.queued_at,
            error=f"the agent was released while the delivery was {flowing.state}",
        )
        facts.append(DecidedFact(dead, (flowing.running.seq,)))
    fact = AgentReleased(
        name=agent.name,
        generation=agent.generation,
        reason=command.reason,
        dropped=tuple(Ref(**d.ref_fields()) for d in agent.queue),
        commander=command.commander,
    )
    facts.append(DecidedFact(fact, (agent.spawned_seq,)))
    return Accepted(facts=tuple(facts))


def not_found(name: str) -> Refused:
    """No agent of this name."""
    return Refused(
        reason="agent_not_found",
        message=f'Agent "{name}" not found; `ackbook ls` lists those there are',
    )


def _stale(name: str, generation: int) -> Refused:
    return Refused(
        reason="stale",
        message=f"generation {generation} of {name} is not the living one: its report is too late",
    )
