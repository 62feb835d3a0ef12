"""The fold: how each fact changes the world. Total, and it never refuses.

`fold` changes the world that it is given. It computes nothing that a rule chose: deadlines, delays
and counts are taken from the facts, so that a change of a rule never rewrites history. One function
a fact, found by its type in one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ackbook.projections.codec import Control, Entry, Foreign
from ackbook.projections.facts import (
    FACTS,
    AgentIdle,
    AgentResult,
    BrokerStarted,
    BrokerStopped,
    ClockDiverged,
    PolicyChanged,
    UpkeepFailed,
)
from ackbook.projections.world import fold_agents, fold_deliveries
from ackbook.projections.world.fold_deliveries import LIVE_FOLDS
from ackbook.projections.world.state import World, key_of

__all__ = ["World", "fold", "fold_all", "key_of", "next_deadline"]


def fold(world: World, entry: Entry) -> None:
    """Apply one entry. Entries must come in the order of their seqs."""
    fold_all(world, (entry,))


def fold_all(world: World, entries: Iterable[Entry]) -> None:
    """Apply these in their order; faster than one by one.

    A journal that was salvaged has facts about deliveries whose beginning is lost, and somebody
    accepted that: such a fact changes nothing. Whoever was queued in the hole is not in the world;
    what ended in it seems to go on.

    A record of the journal about itself moves the position and not the time: else the moment in
    which a journal is opened would hide how long nobody had it open. Beside that it means nothing
    but that another history begins.
    """
    deliveries, agents, moved = world.deliveries, world.agents, world.moved
    fact: Any  # each fold takes the type that is its key, which no annotation can say
    for entry in entries:
        seq, fact = entry.seq, entry.fact
        assert seq > world.seq
        change_live = LIVE_FOLDS.get(type(fact))
        if change_live is None:
            _FOLDS[type(fact)](world, entry, fact)
        elif (delivery := deliveries.get(fact.delivery_id)) is not None:
            agent = agents[key_of(delivery.agent)]
            change_live(world, entry, fact, delivery, agent)
            moved[agent.name] = agent
        world.seq = seq
        if type(fact) is not Control:
            world.at = entry.at


def next_deadline(world: World) -> int | None:
    """When a rule may next have to act without a command, in microseconds UTC."""
    return world.agenda.next()


def _broker_started(world: World, entry: Entry, fact: BrokerStarted) -> None:
    """Time without a broker is not running time; what was in flight is in doubt."""
    down = entry.at - world.at if world.at else 0
    world.epoch, world.running, world.started_at = fact.epoch, True, entry.at
    _lineage_begun(world, entry, fact)
    for agent in world.agents.values():
        fold_agents.broker_started(world, agent, entry, down)


def _broker_stopped(world: World, entry: Entry, fact: BrokerStopped) -> None:
    world.running = False


def _policy_changed(world: World, entry: Entry, fact: PolicyChanged) -> None:
    world.policy = fact.policy


def _clock_diverged(world: World, entry: Entry, fact: ClockDiverged) -> None:
    world.clock_ahead_us = fact.ahead_us


def _lineage_begun(world: World, entry: Entry, fact: BrokerStarted | Control) -> None:
    """Whoever found out that the journal was put back: from here on ids end in another tag."""
    if fact.lineage:
        world.lineages = (*world.lineages, fact.lineage)
        world.forks = (*world.forks, fact.forked_after)


def _nothing(world: World, entry: Entry, fact: object) -> None:
    """A position and no meaning for the world."""


# The second parameter of each fold is the type that is its key, which no annotation can say.
_FOLDS: dict[type, Callable[[World, Entry, Any], None]] = {
    BrokerStarted: _broker_started,
    BrokerStopped: _broker_stopped,
    PolicyChanged: _policy_changed,
    ClockDiverged: _clock_diverged,
    UpkeepFailed: _nothing,
    AgentIdle: _nothing,
    AgentResult: _nothing,
    Control: _lineage_begun,
    Foreign: _nothing,
    **fold_agents.FOLDS,
    **fold_deliveries.FOLDS,
}
assert {*_FOLDS, *LIVE_FOLDS} >= set(FACTS)
