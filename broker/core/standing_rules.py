"""Standing rules: what follows from the world as it is, whoever brought it there.

After every decision, and after every start, the rules of the agents that it touched are asked until
they have nothing more to say. So a crash between a fact and what follows from it heals itself: the
next start says what is missing. Each rule says at most one fact at a time and reads nothing but the
world and `at`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from ackbook.broker.core.commands import DecidedFact
from ackbook.broker.core.limits import HINT_AGAIN_BYTES, HINT_AGAIN_MS, KEYS_FORGOTTEN_BYTES
from ackbook.projections.facts import (
    AgentDied,
    AgentRestarting,
    DeliveryAttempted,
    DeliveryDeadLettered,
    DeliveryDropped,
    DeliveryEvicted,
    DeliveryHeld,
    DeliveryResumed,
    HeldReason,
    KeysForgotten,
)
from ackbook.projections.world.agents import Agent, AgentState, Held
from ackbook.projections.world.deliveries import Delivery
from ackbook.projections.world.fold import World

Rule = Callable[[World, Agent, int], DecidedFact | None]


def owed_fact(world: World, agent: Agent, at: int) -> DecidedFact | None:
    """The next fact that the standing rules of this agent demand, or None."""
    for rule in RULES[agent.state]:
        said = rule(world, agent, at)
        if said is not None:
            return said
    return None


def overflow(world: World) -> DecidedFact | None:
    """The oldest make room where more is remembered than the policy allows."""
    if len(world.dead_letters) > world.policy.dead_letters_max:
        return _dead_letter_dropped(world)
    if len(world.keys) > world.policy.keys_max:
        return _keys_forgotten(world)
    return None


def _dead_letter_dropped(world: World) -> DecidedFact:
    letter = next(iter(world.dead_letters.values()))
    fact = DeliveryDropped(
        **letter.ref_fields(), reason="dead_letters_full", cap=world.policy.dead_letters_max
    )
    return DecidedFact(fact, (letter.seq,))


def _keys_forgotten(world: World) -> DecidedFact:
    oldest = islice(world.keys, len(world.keys) - world.policy.keys_max)
    return DecidedFact(KeysForgotten(keys=fitting(oldest), reason="too_many"))


def fitting(keys: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """As many of the first keys as one record forgets."""
    taken: list[tuple[str, str]] = []
    room = KEYS_FORGOTTEN_BYTES
    for sender, key in keys:
        room -= len(sender.encode()) + len(key.encode())
        if room < 0 and taken:
            break
        taken.append((sender, key))
    return tuple(taken)


def _lost_in_flight(world: World, agent: Agent, at: int) -> DecidedFact | None:
    """The generation ended and nobody can say what it read: never typed again by itself."""
    delivery = agent.flowing
    if delivery is None:
        return None
    ended = agent.exited.reason if agent.exited is not None else "unknown"
    fact = DeliveryDeadLettered(
        **delivery.ref_fields(),
        reason="outcome_unknown",
        queued_at=delivery.queued_at,
        error=f"the program ended ({ended}) while the delivery was {delivery.state}",
    )
    return DecidedFact(fact, (delivery.running.seq,))


def _restart(world: World, agent: Agent, at: int) -> DecidedFact | None:
    """A program that crashed is started again, while its policy has restarts left."""
    exited, policy = agent.exited, agent.spawned.restart
    if exited is None or not policy.enabled or agent.dead:
        return None
    if exited.reason not in ("exited", "signalled", "holder_lost", "terminal_closed"):
        return None
    if exited.code == 0:
        return None
    used_up = (
        agent.restart_count >= policy.max_restarts
        or agent.crashes >= policy.max_consecutive_failures
    )
    if used_up:
        reason = f"{agent.restart_count} restarts, {agent.crashes} crashes in a row"
        died = AgentDied(name=agent.name, generation=agent.generation, reason=reason)
        return DecidedFact(died, (agent.state_seq,))
    fact = AgentRestarting(
        name=agent.name,
        generation=agent.generation,
        code=exited.code,
        signal=exited.signal,
        restart_count=agent.restart_count + 1,
        delay_ms=policy.cooldown_ms,
        due_at=at + policy.cooldown_ms * 1_000,
    )
    return DecidedFact(fact, (agent.state_seq,))


def _recipient_gone(world: World, agent: Agent, at: int) -> DecidedFact | None:
    """Past its hold time, what waits for a gone agent is given up, one record each."""
    if agent.hold_until is None or agent.hold_until > at:
        return None
    delivery = agent.queue.head()
    if delivery is None:
        return None
    fact = DeliveryDeadLettered(
        **delivery.ref_fields(), reason="recipient_gone", queued_at=delivery.queued_at
    )
    return DecidedFact(fact, (agent.state_seq,))


def _evict(world: World, agent: Agent, at: int) -> DecidedFact | None:
    """A queue over its cap loses the oldest of its least urgent."""
    if len(agent.queue) <= world.policy.queue_length_max:
        return None
    delivery = agent.queue.least()
    assert delivery is not None
    fact = DeliveryEvicted(
        **delivery.ref_fields(),
        priority=delivery.message.priority,
        cap=world.policy.queue_length_max,
        by=agent.newest,
    )
    return DecidedFact(fact, (delivery.joined,))


def _move_head(world: World, agent: Agent, at: int) -> DecidedFact | None:
    """Say what the head of the queue waits for, when that changes; type it as soon as nothing is
    in the way."""
    if agent.flowing is not None:
        return None
    delivery = agent.head()
    if delivery is None:
        return None
    reason, cause, until = why_held(agent, delivery)
    held = agent.held
    if held is not None and held.delivery_id != delivery.delivery_id:
        held = None  # said of another, which is no longer the head
    if reason is None:
        return _attempt(world, agent, delivery, at) if held is None else _resumed(delivery, held)
    if held is not None and held.reason == reason:
        return None
    fact = DeliveryHeld(**delivery.ref_fields(), reason=reason, until=until)
    return DecidedFact(fact, (cause,) if cause else ())


def why_held(agent: Agent, delivery: Delivery) -> tuple[HeldReason | None, int, int | None]:
    """What this head of the queue waits for, the record that made it so, and until when.

    A retry that is not due and the throttle are no holding: the first is recorded with its time,
    the second is a pace.
    """
    match agent.state:
        case "gone" | "restarting":
            return "agent_gone", agent.state_seq, agent.hold_until
        case "unknown" | "starting":
            return "not_ready", agent.state_seq, None
        case "blocked":
            assert agent.blocked is not None
            return agent.blocked, agent.state_seq, agent.blocked_until
        case "ready":
            pass
    if agent.parked(delivery):
        return "manual_flush", agent.mode_seq, None
    if agent.occupied is not None:
        return "input_not_empty", agent.occupied_seq, agent.occupied_until
    return None, 0, None


def _resumed(delivery: Delivery, held: Held) -> DecidedFact:
    fact = DeliveryResumed(**delivery.ref_fields(), reason=held.reason)
    return DecidedFact(fact, (held.seq,))


def _attempt(world: World, agent: Agent, delivery: Delivery, at: int) -> DecidedFact | None:
    if max(delivery.due_at, agent.throttle.next_at) > at:
        return None
    if delivery.expires_at is not None and delivery.expires_at <= at:
        return None
    fact = DeliveryAttempted(
        **delivery.ref_fields(delivery.attempt + 1),
        generation=agent.generation,
        window_ms=world.policy.window_ms,
        settle_ms=world.policy.settle_ms,
        hint=_hint_due(agent, at),
    )
    return DecidedFact(fact, (delivery.joined,))


def _hint_due(agent: Agent, at: int) -> bool:
    if not agent.hint_at:
        return True
    long_ago = at - agent.hint_at >= HINT_AGAIN_MS * 1_000
    return long_ago and agent.last_offset - agent.hint_offset >= HINT_AGAIN_BYTES


_ALIVE: tuple[Rule, ...] = (_move_head, _evict)

RULES: dict[AgentState, tuple[Rule, ...]] = {
    "unknown": _ALIVE,
    "starting": _ALIVE,
    "ready": _ALIVE,
    "blocked": _ALIVE,
    "gone": (_lost_in_flight, _restart, _recipient_gone, *_ALIVE),
    "restarting": (_lost_in_flight, *_ALIVE),
}
"""Those that can have something to say of an agent in this state, in the order in which they are
asked: what ends comes before what begins."""
