"""Rules for bringing back and taking back: redeliver what ended unseen, cancel what still waits."""

from __future__ import annotations

import msgspec

from ackbook.broker.core.commands import (
    Accepted,
    Cancel,
    Cancelled,
    DecidedFact,
    Original,
    Redeliver,
    Redelivery,
    Refused,
    Verdict,
)
from ackbook.broker.core.limits import REDELIVER_MAX
from ackbook.projections.facts import (
    AgentName,
    DeliveryCancelled,
    DeliveryId,
    DeliveryRedelivered,
    EventId,
)
from ackbook.projections.ids import delivery_id
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deliveries import DeadLetter, Delivery
from ackbook.projections.world.fold import World


def cancel(world: World, command: Cancel, at: int) -> Verdict:
    """Take back what waits; what was begun is kept, and said to be."""
    found = [
        d for d in world.deliveries.values() if command.id in (d.delivery_id, d.message.event_id)
    ]
    if not found:
        return _not_pending(world, command.id)
    waiting = [d for d in found if d.state == "queued"]
    kept = tuple((d.delivery_id, d.state) for d in found if d.state != "queued")
    if not waiting:
        return Refused(
            reason="not_cancellable",
            message=f"{command.id} is {kept[0][1]}: it is too late to take it back",
        )
    facts = tuple(DecidedFact(_cancelled(command, d), (d.joined,)) for d in waiting)
    answer = Cancelled(cancelled=tuple(d.delivery_id for d in waiting), kept=kept)
    return Accepted(facts=facts, answer=answer)


def _cancelled(command: Cancel, delivery: Delivery) -> DeliveryCancelled:
    return DeliveryCancelled(**delivery.ref_fields(), by=command.by, commander=command.commander)


def _not_pending(world: World, asked: str) -> Refused:
    settled = world.settled.get(DeliveryId(asked))
    if settled is not None:
        return Refused(
            reason="not_cancellable",
            message=f"{asked} is {settled.state}: there is nothing left to take back",
        )
    return Refused(
        reason="delivery_not_found",
        message=f"nothing pending has the id {asked}; `ackbook pending` lists what waits",
    )


def redeliver(world: World, command: Redeliver, at: int) -> Verdict:
    """Queue ended deliveries again, at the back, in the order in which they are named."""
    originals = {original.delivery_id: original for original in command.originals}
    wanted = command.ids or tuple(world.dead_letters)
    facts: list[DecidedFact] = []
    made: list[tuple[DeliveryId, DeliveryId, AgentName, EventId]] = []
    skipped: list[tuple[DeliveryId, AgentName, str]] = []
    joining: dict[str, int] = {}
    for old in dict.fromkeys(wanted[:REDELIVER_MAX]):
        source = _source(world, old, originals.get(old))
        if isinstance(source, str):
            known = originals.get(old)
            skipped.append((old, AgentName("") if known is None else known.agent, source))
            continue
        agent = world.agent(source.agent)
        if agent is None:
            skipped.append((old, source.agent, "unknown_agent"))
            continue
        taken = joining.get(agent.name, 0)
        if _full(world, agent, taken):
            skipped.append((old, source.agent, "queue_full"))
            continue
        joining[agent.name] = taken + 1
        fact = _redelivered(source, delivery_id(world.seq + 1 + len(facts), 1, world.lineage))
        fact = msgspec.structs.replace(fact, commander=command.commander)
        facts.append(DecidedFact(fact, _cause(source)))
        made.append((old, fact.new_delivery_id, agent.name, fact.event_id))
    answer = Redelivery(redelivered=tuple(made), skipped=tuple(skipped))
    return Accepted(facts=tuple(facts), answer=answer)


def _full(world: World, agent: Agent, joining: int) -> bool:
    """Bringing one back must not push another out."""
    return len(agent.queue) + joining >= world.policy.queue_length_max


def _source(
    world: World, old: DeliveryId, original: Original | None
) -> DeadLetter | Original | str:
    """What to queue again, or why it cannot be."""
    letter = world.dead_letters.get(old)
    if letter is not None:
        return letter
    again = world.redelivered.get(old)
    if again is None and original is not None:
        again = original.redelivered_as
    if again is not None:
        return f"already redelivered as {again}"
    live: Delivery | None = world.deliveries.get(old)
    if live is not None:
        return f"still {live.state}"
    if original is None:
        return "not found"
    if original.seen:
        return "it was seen; redelivering it would double it"
    return original


def _redelivered(source: DeadLetter | Original, new: DeliveryId) -> DeliveryRedelivered:
    if isinstance(source, Original):
        return DeliveryRedelivered(
            delivery_id=source.delivery_id,
            event_id=source.event_id,
            agent=source.agent,
            sender=source.sender,
            target=source.target,
            attempt=source.attempt,
            new_delivery_id=new,
            priority=source.priority,
            mode=source.mode,
            need=source.need,
            thread=source.thread,
        )
    message = source.message
    return DeliveryRedelivered(
        **source.ref_fields(),
        new_delivery_id=new,
        priority=message.priority,
        mode=message.mode,
        need=message.need,
        thread=message.thread,
    )


def _cause(source: DeadLetter | Original) -> tuple[int, ...]:
    return (source.seq,) if isinstance(source, DeadLetter) else ()
