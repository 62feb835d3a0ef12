"""Conditions on a world, and the first record at which one holds.

A condition is asked after every record, so the answer is exact also for what comes and goes: no
record is skipped, none is guessed at by halving. A condition on an agent holds when it does for the
one that is named, or for any where none is. Several hold when all do, of the same agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

from ackbook.projections.codec import Content, Entry
from ackbook.projections.facts import (
    DeliveryDropped,
    DeliveryRedelivered,
    HeldReason,
    MessageEnqueued,
    MessageRefused,
)
from ackbook.projections.names import match_key
from ackbook.projections.subjects import agents_of, deliveries_of
from ackbook.projections.ways_out import Ended, ended_by
from ackbook.projections.world.agents import Agent, AgentState
from ackbook.projections.world.state import World, key_of

SearchedOutcome: TypeAlias = Literal[Ended, "dropped", "redelivered", "refused"]
"""What can befall a delivery or message; the last was never queued."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What has to hold; None is not asked about. Numbers are exceeded, not reached.

    `outcome` is a moment and no state: it holds at the record that says so, and at no other.
    """

    agent: str | None = None
    pending_over: int | None = None
    state: AgentState | None = None
    held: HeldReason | None = None
    throttle_over_ms: int | None = None
    oldest_over_us: int | None = None
    dead_letters_over: int | None = None
    outcome: SearchedOutcome | None = None

    def asks(self) -> bool:
        """Whether there is anything to look for, besides whose it is."""
        return self != Condition(agent=self.agent)


class Found(msgspec.Struct, frozen=True):
    """Where a condition held first. `until`: the first record after it at which it did not hold;
    None where it holds to the end. `before`: it held already before the search began."""

    first: Entry
    until: Entry | None
    before: bool


def first_held(
    history: Iterable[tuple[Entry, World]], condition: Condition, *, after: int = 0
) -> Found | None:
    """Go through entries, each with the world that it led to, and find the first one behind the
    record `after`; None where the condition holds at none of them."""
    holds = _Watch(condition).holds
    before = False
    first: Entry | None = None
    for entry, world in history:
        if entry.seq <= after:
            before = holds(entry, world)
        elif holds(entry, world):
            first = first or entry
        elif first is not None:
            return Found(first, entry, before)
    return None if first is None else Found(first, None, before)


class _Watch:
    """Asks after each record whether the condition holds, and looks only at what the record may
    have changed: the agents that it names, or all where it names none."""

    def __init__(self, condition: Condition) -> None:
        self._agent_tests = tuple(_agent_tests(condition))
        self._oldest_us = condition.oldest_over_us
        self._of_agents = bool(self._agent_tests) or self._oldest_us is not None
        self._key = None if condition.agent is None else match_key(condition.agent)
        self._outcome = condition.outcome
        self._letters_max = condition.dead_letters_over
        self._holding: dict[str, int] = {}
        """The agents that pass, each with the time after which it does."""
        self._begun = False

    def holds(self, entry: Entry, world: World) -> bool:
        if self._of_agents:
            self._look_at(agents_of(entry.fact) if self._begun else None, world)
            self._begun = True
            if not any(since < world.at for since in self._holding.values()):
                return False
        if self._outcome is not None and not self._ends(entry):
            return False
        return self._letters_max is None or self._letters(world) > self._letters_max

    def _look_at(self, names: Iterable[str] | None, world: World) -> None:
        keys = world.agents if names is None else map(key_of, names)
        for key in keys if self._key is None else [k for k in keys if match_key(k) == self._key]:
            agent = world.agents.get(key)
            since = None if agent is None else self._since(agent)
            if since is None:
                self._holding.pop(key, None)
            else:
                self._holding[key] = since

    def _since(self, agent: Agent) -> int | None:
        """The time after which all that is asked of an agent holds, were nothing to change; None
        for never."""
        for test in self._agent_tests:
            if not test(agent):
                return None
        if self._oldest_us is None:
            return -1
        oldest = agent.queue.oldest_at()
        return None if oldest is None else oldest + self._oldest_us

    def _ends(self, entry: Entry) -> bool:
        whose = _befallen(entry.fact, self._outcome)
        return bool(whose) if self._key is None else self._key in map(match_key, whose)

    def _letters(self, world: World) -> int:
        if self._key is None:
            return len(world.dead_letters)
        letters = world.dead_letters.values()
        return sum(1 for letter in letters if match_key(letter.agent) == self._key)


_AgentTest = Callable[[Agent], bool]


def _agent_tests(condition: Condition) -> Iterator[_AgentTest]:
    """What is asked of one agent, besides how long something has waited."""
    pending_max, throttle_ms = condition.pending_over, condition.throttle_over_ms
    if pending_max is not None:
        yield lambda agent: len(agent.queue) + (agent.flowing is not None) > pending_max
    if condition.state is not None:
        yield lambda agent: agent.state == condition.state
    if condition.held is not None:
        yield lambda agent: agent.held is not None and agent.held.reason == condition.held
    if throttle_ms is not None:
        yield lambda agent: agent.throttle.delay_ms > throttle_ms


def _befallen(fact: Content, ending: SearchedOutcome | None) -> tuple[str, ...]:
    """To whose deliveries or messages this fact did that."""
    match fact:
        case MessageEnqueued() if ending == "refused":
            return tuple(recipient.agent for recipient in fact.refused)
        case MessageRefused() if ending == "refused":
            return (fact.target, *(recipient.agent for recipient in fact.refused))
        case DeliveryDropped() if ending == "dropped":
            return (fact.agent,)
        case DeliveryRedelivered() if ending == "redelivered":
            return (fact.agent,)
        case _ if ended_by(fact) == ending:
            return tuple(agent for _, agent in deliveries_of(fact))
        case _:
            return ()
