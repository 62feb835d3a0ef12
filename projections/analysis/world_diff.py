"""What differs between two worlds: agents, deliveries, counts and the policy, field by field.

The worlds are two moments of one journal or two journals; neither is changed. What only the passing
of time moves (ages, how long somebody has waited) is left out, so that a world never differs from
itself. Of deliveries those are compared that wait, or lie as dead letters, in one of the worlds,
and those that ended in both not long ago; all others are in the counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from ackbook.projections.analysis.rows import counts
from ackbook.projections.facts import DeliveryId
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.delivery_state import reason_of, state_of
from ackbook.projections.world.state import World

Plain = str | int | bool | None


class FieldChange(msgspec.Struct, frozen=True):
    """One field of one thing: its value in the first world and in the second; None where there is
    no value, or no such thing. `of` is an agent, `counts`, `policy` or `broker`."""

    of: str
    field: str
    a: Plain
    b: Plain


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a delivery is: its state, what it waits for or why it ended, and how often it was
    begun. `level` and `verification`: how it arrived, where it did."""

    state: str
    reason: str | None
    attempts: int
    level: str | None = None
    verification: str | None = None


class Moved(msgspec.Struct, frozen=True):
    """A delivery that stands elsewhere; None where a world does not know it (yet, or any more)."""

    delivery_id: DeliveryId
    agent: str
    a: Standing | None
    b: Standing | None


class Differences(msgspec.Struct, frozen=True):
    """All of it; false when there are none."""

    broker: list[FieldChange]
    agents: list[FieldChange]
    counts: list[FieldChange]
    deliveries: list[Moved]

    def __bool__(self) -> bool:
        return bool(self.broker or self.agents or self.counts or self.deliveries)


def differences(a: World, b: World) -> Differences:
    """What is not the same in both."""
    return Differences(
        broker=changes(broker_fields(a), broker_fields(b)),
        agents=changes(agent_fields(a), agent_fields(b)),
        counts=count_changes(counts(a), counts(b)),
        deliveries=list(_moved(a, b)),
    )


Things = dict[str, dict[str, Plain]]
"""Plain values by the name of their field, by the key of what has them."""


def agent_fields(world: World) -> Things:
    """Each agent's state as plain values, by its key."""
    return {key: _agent(agent) for key, agent in sorted(world.agents.items())}


def broker_fields(world: World) -> Things:
    """The same of the broker and the policy in force."""
    return {
        "broker": {"running": world.running, "epoch": world.epoch},
        "policy": msgspec.structs.asdict(world.policy),
    }


def changes(before: Things, after: Things) -> list[FieldChange]:
    """What became of each thing, field by field."""
    found: list[FieldChange] = []
    for key in sorted({*before, *after}):
        was, now = before.get(key, {}), after.get(key, {})
        name = str(now.get("name") or was.get("name") or key)
        found += [
            FieldChange(name, field, was.get(field), now.get(field))
            for field in {**was, **now}
            if was.get(field) != now.get(field)
        ]
    return found


def count_changes(before: Mapping[str, int], after: Mapping[str, int]) -> list[FieldChange]:
    """Which counts are others now; one that is not there is 0."""
    return [
        FieldChange("counts", name, before.get(name, 0), after.get(name, 0))
        for name in {**before, **after}
        if before.get(name, 0) != after.get(name, 0)
    ]


def standing(world: World, delivery_id: DeliveryId) -> Standing | None:
    """Where this delivery is; None where the world does not know it (yet, or any more)."""
    live = world.deliveries.get(delivery_id)
    if live is not None:
        agent = world.agent(live.agent)
        return Standing(
            state=state_of(agent, live), reason=reason_of(agent, live), attempts=live.attempt
        )
    letter = world.dead_letters.get(delivery_id)
    if letter is not None:
        return Standing(state="dead_letter", reason=letter.reason, attempts=letter.attempt)
    settled = world.settled.get(delivery_id)
    if settled is None:
        return None
    arrived = settled.state == "acked"
    return Standing(
        state=settled.state,
        reason=settled.reason,
        attempts=settled.attempt,
        level=settled.level if arrived else None,
        verification=settled.verification,
    )


def _moved(a: World, b: World) -> Iterator[Moved]:
    ended_in_both = a.settled.keys() & b.settled.keys()
    known = {
        **dict.fromkeys((*a.deliveries, *a.dead_letters, *b.deliveries, *b.dead_letters)),
        **dict.fromkeys(sorted(ended_in_both)),
    }
    for delivery_id in known:
        before, after = standing(a, delivery_id), standing(b, delivery_id)
        if before != after:
            yield Moved(delivery_id, _agent_of(a, b, delivery_id), before, after)


def _agent_of(a: World, b: World, delivery_id: DeliveryId) -> str:
    for world in (a, b):
        for kept in (world.deliveries, world.dead_letters, world.settled):
            found = kept.get(delivery_id)
            if found is not None:
                return found.agent
    raise AssertionError("it is known in one of them")


def _agent(agent: Agent) -> dict[str, Plain]:
    head = agent.flowing or agent.head()
    return {
        "name": agent.name,
        "generation": agent.generation,
        "pid": agent.pid if agent.alive else None,
        "state": agent.state,
        "blocked": agent.blocked,
        "mode": agent.mode,
        "channels": " ".join(sorted(agent.channels)) or None,
        "pending": len(agent.queue) + (agent.flowing is not None),
        "next": None if head is None else head.delivery_id,
        "held": None if agent.held is None else agent.held.reason,
        "throttle_ms": agent.throttle.delay_ms,
        "failures": agent.throttle.failures,
        "restarts": agent.restart_count,
        "ended": None if agent.exited is None else agent.exited.reason,
    }
