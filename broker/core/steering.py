"""Rules for steering an agent: its mode, a flush of its queue, its channels."""

from __future__ import annotations

from typing import Literal

from ackbook.broker.core.commands import (
    Accepted,
    Channels,
    DecidedFact,
    Flush,
    Flushed,
    ModeAnswer,
    Refused,
    SetMode,
    Subscribe,
    Unsubscribe,
    Verdict,
)
from ackbook.broker.core.lifecycle import not_found, wrong_name
from ackbook.projections.facts import (
    AgentModeChanged,
    AgentSubscribed,
    AgentUnsubscribed,
    QueueFlushed,
)
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.fold import World


def set_mode(world: World, command: SetMode, at: int) -> Verdict:
    """Change the mode, if what the caller expects still holds; leaving manual lets all flow."""
    agent = world.agent(command.name)
    if agent is None:
        return not_found(command.name)
    missed = (command.expected_mode is not None and command.expected_mode != agent.mode) or (
        command.expected_revision is not None and command.expected_revision != agent.revision
    )
    if missed:
        return Accepted(answer=ModeAnswer(mode=agent.mode, revision=agent.revision, matched=False))
    fact = AgentModeChanged(
        name=agent.name,
        generation=agent.generation,
        previous_mode=agent.mode,
        mode=command.mode,
        revision=agent.revision + 1,
        by=command.by,
        commander=command.commander,
    )
    facts = [DecidedFact(fact)]
    parked = sum(1 for d in agent.queue if agent.parked(d))
    flushed = parked if command.mode == "auto_inject" else 0
    if flushed:
        facts.append(
            DecidedFact(_flush(world, agent, flushed, "delivery_mode_transition", command))
        )
    answer = ModeAnswer(
        mode=command.mode, revision=agent.revision + 1, matched=True, flushed=flushed
    )
    return Accepted(facts=tuple(facts), answer=answer)


def flush(world: World, command: Flush, at: int) -> Verdict:
    """Let flow what is queued now, and nothing that comes later."""
    agent = world.agent(command.name)
    if agent is None:
        return not_found(command.name)
    count = sum(1 for d in agent.queue if agent.parked(d))
    fact = _flush(world, agent, count, "explicit_flush", command)
    return Accepted(facts=(DecidedFact(fact),), answer=Flushed(count=count))


def _flush(
    world: World,
    agent: Agent,
    count: int,
    reason: Literal["explicit_flush", "delivery_mode_transition"],
    command: Flush | SetMode,
) -> QueueFlushed:
    return QueueFlushed(
        name=agent.name,
        generation=agent.generation,
        through=world.seq,
        count=count,
        reason=reason,
        commander=command.commander,
    )


def subscribe(world: World, command: Subscribe, at: int) -> Verdict:
    """Add channels; those already there are no change."""
    agent = world.agent(command.name)
    if agent is None:
        return not_found(command.name)
    wanted = {channel.removeprefix("#") for channel in command.channels}
    wrong = next((w for c in wanted if (w := wrong_name(c)) is not None), None)
    if wrong is not None:
        return Refused(reason="invalid", message=wrong.replace("an agent's name", "a channel"))
    added = tuple(sorted(wanted - agent.channels))
    after = tuple(sorted(agent.channels | wanted))
    fact = AgentSubscribed(
        name=agent.name,
        generation=agent.generation,
        channels=added,
        all=after,
        commander=command.commander,
    )
    return Accepted(facts=(DecidedFact(fact),) if added else (), answer=Channels(channels=after))


def unsubscribe(world: World, command: Unsubscribe, at: int) -> Verdict:
    """Take channels away; those not there are no change."""
    agent = world.agent(command.name)
    if agent is None:
        return not_found(command.name)
    unwanted = {channel.removeprefix("#") for channel in command.channels}
    gone = tuple(sorted(unwanted & agent.channels))
    after = tuple(sorted(agent.channels - unwanted))
    fact = AgentUnsubscribed(
        name=agent.name,
        generation=agent.generation,
        channels=gone,
        all=after,
        commander=command.commander,
    )
    return Accepted(facts=(DecidedFact(fact),) if gone else (), answer=Channels(channels=after))
