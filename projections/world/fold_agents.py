"""Folds of the facts about agents: coming, ready, blocked, gone, let go; modes and channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ackbook.projections.codec import Entry
from ackbook.projections.facts import (
    AgentAdopted,
    AgentBlocked,
    AgentDied,
    AgentExited,
    AgentModeChanged,
    AgentReady,
    AgentReleased,
    AgentRestarting,
    AgentSpawned,
    AgentSubscribed,
    AgentUnsubscribed,
    QueueFlushed,
)
from ackbook.projections.world.agents import Agent, AgentState
from ackbook.projections.world.deliveries import Queue
from ackbook.projections.world.state import World, key_of


def broker_started(world: World, agent: Agent, entry: Entry, down: int) -> None:
    """What a broker cannot know of an agent before its holder has answered."""
    if agent.alive:
        _enter(agent, "unknown", entry)
    if agent.flowing is not None:
        agent.flowing.running.doubt = True
    if agent.hold_until is not None:
        agent.hold_until += down
    world.moved[agent.name] = agent


def _enter(agent: Agent, state: AgentState, entry: Entry) -> None:
    agent.state, agent.state_seq, agent.state_at = state, entry.seq, entry.at
    agent.blocked = agent.blocked_until = None
    agent.override = False


def _spawned(world: World, entry: Entry, fact: AgentSpawned) -> None:
    key = key_of(fact.name)
    world.generations[key] = fact.generation
    agent = world.agents.get(key)
    if agent is None:
        agent = world.agents[key] = Agent(
            name=fact.name,
            spawned=fact,
            generation=fact.generation,
            pid=fact.pid,
            spawned_seq=entry.seq,
            spawned_at=entry.at,
            channels=set(fact.channels),
            queue=Queue(),
        )
    agent.spawned, agent.generation, agent.pid = fact, fact.generation, fact.pid
    agent.spawned_seq, agent.spawned_at = entry.seq, entry.at
    agent.channels = set(fact.channels)
    agent.restart_count = fact.restart_count
    agent.crashes = agent.crashes if fact.source == "restart" else 0
    agent.was_ready = agent.dead = False
    agent.exited = agent.hold_until = agent.restart_at = None
    agent.occupied = agent.occupied_until = None
    agent.hint_at = agent.hint_offset = agent.last_offset = 0
    _enter(agent, "starting", entry)
    world.moved[agent.name] = agent


def _ready(world: World, entry: Entry, fact: AgentReady) -> None:
    agent = world.generation(fact.name, fact.generation)
    if agent is None:
        return
    _enter(agent, "ready", entry)
    agent.was_ready = True
    if fact.how == "deadline":
        agent.override = True
        agent.occupied = agent.occupied_until = None
    world.moved[agent.name] = agent


def _blocked(world: World, entry: Entry, fact: AgentBlocked) -> None:
    agent = world.generation(fact.name, fact.generation)
    if agent is None:
        return
    _enter(agent, "blocked", entry)
    agent.blocked, agent.blocked_until = fact.reason, fact.until
    world.moved[agent.name] = agent


def _adopted(world: World, entry: Entry, fact: AgentAdopted) -> None:
    agent = world.generation(fact.name, fact.generation)
    if agent is None:
        return
    _enter(agent, "starting", entry)
    if agent.flowing is not None and agent.flowing.state == "awaiting":
        agent.flowing.running.doubt = False
    world.moved[agent.name] = agent


def _exited(world: World, entry: Entry, fact: AgentExited) -> None:
    world.leaving.pop((fact.name, fact.generation), None)
    agent = world.generation(fact.name, fact.generation)
    if agent is None:
        return
    _enter(agent, "gone", entry)
    agent.exited = fact
    agent.hold_until = None if fact.hold_ms is None else entry.at + fact.hold_ms * 1_000
    agent.occupied = agent.occupied_until = None
    agent.crashes = 0 if fact.code == 0 else agent.crashes + 1
    world.moved[agent.name] = agent


def _restarting(world: World, entry: Entry, fact: AgentRestarting) -> None:
    agent = world.generation(fact.name, fact.generation)
    if agent is None:
        return
    _enter(agent, "restarting", entry)
    agent.restart_count, agent.restart_at = fact.restart_count, fact.due_at
    world.moved[agent.name] = agent


def _died(world: World, entry: Entry, fact: AgentDied) -> None:
    agent = world.generation(fact.name, fact.generation)
    if agent is not None:
        agent.dead = True


def _released(world: World, entry: Entry, fact: AgentReleased) -> None:
    agent = world.agents.pop(key_of(fact.name), None)
    if agent is None:
        return
    listed = (world.deliveries.get(ref.delivery_id) for ref in fact.dropped)
    # More than the listed ones are there only where records are lost: none may outlive its agent.
    for delivery in (*listed, *agent.queue, agent.flowing):
        if delivery is not None and delivery.delivery_id in world.deliveries:
            agent.queue.leave(delivery)
            world.remember(delivery, "released", entry.seq, "agent_released")
    if agent.alive:
        world.leaving[(agent.name, agent.generation)] = entry.seq
    world.deadlines.put(("agent", key_of(fact.name)), None)


def _mode_changed(world: World, entry: Entry, fact: AgentModeChanged) -> None:
    agent = world.agent(fact.name)
    if agent is None:
        return
    agent.mode, agent.revision, agent.mode_seq = fact.mode, fact.revision, entry.seq
    agent.flushed = 0
    world.moved[agent.name] = agent


def _flushed(world: World, entry: Entry, fact: QueueFlushed) -> None:
    agent = world.agent(fact.name)
    if agent is not None:
        agent.flushed = max(agent.flushed, fact.through)
        world.moved[agent.name] = agent


def _channels(world: World, entry: Entry, fact: AgentSubscribed | AgentUnsubscribed) -> None:
    agent = world.agent(fact.name)
    if agent is not None:
        agent.channels = set(fact.all)


FOLDS: dict[type, Callable[[World, Entry, Any], None]] = {
    AgentSpawned: _spawned,
    AgentReady: _ready,
    AgentBlocked: _blocked,
    AgentAdopted: _adopted,
    AgentExited: _exited,
    AgentRestarting: _restarting,
    AgentDied: _died,
    AgentReleased: _released,
    AgentModeChanged: _mode_changed,
    QueueFlushed: _flushed,
    AgentSubscribed: _channels,
    AgentUnsubscribed: _channels,
}
