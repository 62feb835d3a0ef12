"""Rules at the door: what becomes of a message that somebody wants to send.

Refused is said with a reason from a closed list, and kept in the journal (without the body). What
is accepted is one record with one delivery a recipient: all or nothing. In a fan-out each queue
decides for itself; the message is refused when none took it.
"""

from __future__ import annotations

import hashlib
from typing import assert_never

import msgspec

from ackbook.broker.core.commands import Accepted, DecidedFact, Refused, Send, Sent, Verdict
from ackbook.broker.core.limits import DATA_BYTES_MAX, FIELD_BYTES_MAX, KEY_BYTES_MAX, exceeds
from ackbook.projections.facts import (
    MessageEnqueued,
    MessageRefused,
    Recipient,
    RefusedReason,
    RefusedRecipient,
)
from ackbook.projections.ids import delivery_id, event_id
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deliveries import PRIORITIES, KeyAnswer
from ackbook.projections.world.fold import World

PRIORITY_DIRECT = 2
PRIORITY_CHANNEL = 3
"""Where the sender names none: what is for one agent goes before what is for many. 0 is the most
urgent."""


def send(world: World, command: Send, at: int) -> Verdict:
    """Enqueue a message, give the answer of its idempotency key again, or refuse."""
    wrong = _wrong_input(command)
    if wrong is not None:
        return Refused(reason="invalid", message=wrong)
    content = ""
    if command.key is not None:
        content = content_of(command)
        known = world.keys.get((command.sender, command.key))
        if known is not None and known.until > at:
            return _again(world, command, content, known)
    if not any(map(_is_visible, command.body)):
        return _refuse(world, command, "empty", "the message has no text; give it a body")
    if exceeds(command.body, world.policy.body_bytes_max):
        return _refuse(
            world,
            command,
            "too_large",
            f"the body has {len(command.body.encode())} bytes, the limit is"
            f" {world.policy.body_bytes_max}; put it into a file and send its path",
        )
    return _enqueue(world, command, at, content)


def _again(world: World, command: Send, content: str, known: KeyAnswer) -> Verdict:
    """The answer that this idempotency key was given, unless it came with another message."""
    if known.content != content:
        return _refuse(
            world,
            command,
            "idempotency_conflict",
            f"the idempotency key {command.key!r} was used by {command.sender} for another"
            f" message ({known.event_id}); choose a new key for a new message",
        )
    answer = Sent(
        event_id=known.event_id,
        seq=known.seq,
        target=known.target,
        deliveries=known.deliveries,
        refused=known.refused,
        repeated=True,
    )
    return Accepted(answer=answer)


def _enqueue(world: World, command: Send, at: int, content: str) -> Verdict:
    target, agents = _recipients(world, command)
    if not agents:
        return _refuse(world, command, "unknown_agent", _nobody(target))
    if len(agents) > world.policy.recipients_max:
        return _refuse(
            world,
            command,
            "too_large",
            f"{target} has {len(agents)} subscribers, a message reaches at most"
            f" {world.policy.recipients_max}; use smaller channels",
        )
    priority = _priority(command)
    seq = world.seq + 1
    taken: list[Recipient] = []
    refused: list[RefusedRecipient] = []
    for agent in agents:
        name = agent.name
        if _queue_takes(world, agent, priority):
            parked = agent.mode == "manual_flush"
            number = delivery_id(seq, len(taken) + 1, world.lineage)
            taken.append(Recipient(delivery_id=number, agent=name, parked=parked))
        else:
            refused.append(RefusedRecipient(agent=name, reason="queue_full"))
    if not taken:
        return _refuse(world, command, "queue_full", _full(world, agents), tuple(refused))
    fact = MessageEnqueued(
        event_id=event_id(seq, world.lineage),
        sender=command.sender,
        target=target,
        body=command.body,
        deliveries=tuple(taken),
        refused=tuple(refused),
        thread=command.thread,
        priority=priority,
        mode=command.mode,
        need=command.need,
        expires_at=None if command.ttl_ms is None else at + command.ttl_ms * 1_000,
        key=command.key,
        key_until=None if command.key is None else at + world.policy.key_window_ms * 1_000,
        content=content,
        data=command.data,
        commander=command.commander,
    )
    answer = Sent(
        event_id=fact.event_id,
        seq=seq,
        target=target,
        deliveries=tuple([(each.delivery_id, each.agent) for each in taken]),
        refused=fact.refused,
    )
    return Accepted(facts=(DecidedFact(fact),), answer=answer)


def _recipients(world: World, command: Send) -> tuple[str, list[Agent]]:
    """The target as it is recorded, and who it is. A sender does not get its own channel post."""
    if command.target.startswith("#"):
        own = world.agent(command.sender)
        found = [a for a in world.recipients(command.target[1:]) if a is not own]
        return command.target, found
    agent = world.agent(command.target.removeprefix("@"))
    return (command.target, []) if agent is None else (agent.name, [agent])


def _queue_takes(world: World, agent: Agent, priority: int) -> bool:
    """At the cap a queue makes room only by evicting one that is no more urgent."""
    if len(agent.queue) < world.policy.queue_length_max:
        return True
    match world.policy.queue_policy:
        case "reject_newest":
            return False
        case "evict_oldest":
            least = agent.queue.least()
            return least is not None and least.message.priority >= priority
        case _:
            assert_never(world.policy.queue_policy)


def _priority(command: Send) -> int:
    if command.priority is not None:
        return command.priority
    return PRIORITY_CHANNEL if command.target.startswith("#") else PRIORITY_DIRECT


def _is_visible(mark: str) -> bool:
    return mark.isprintable() and not mark.isspace()


def _wrong_input(command: Send) -> str | None:
    """What can never be a message; None where it can. Such a command leaves no record."""
    if command.priority is not None and not 0 <= command.priority < PRIORITIES:
        return f"priority {command.priority} is not one of 0 (most urgent) to 4"
    if command.ttl_ms is not None and command.ttl_ms <= 0:
        return f"a time to live of {command.ttl_ms} ms is over before it begins; give more"
    wrong = _wrong_text("from", command.sender) or _wrong_text("to", command.target.lstrip("#@"))
    if command.thread:
        wrong = wrong or _wrong_text("thread", command.thread)
    if command.key is not None:
        wrong = wrong or _wrong_text("idempotency key", command.key, KEY_BYTES_MAX)
    if wrong is not None:
        return wrong
    if not command.sender.isprintable() or not command.target.isprintable():
        return "the fields 'from' and 'to' must not contain control characters"
    if len(bytes(command.data)) > DATA_BYTES_MAX:
        return f"the field 'data' has more than {DATA_BYTES_MAX} bytes"
    return None


def _wrong_text(field: str, text: str, bytes_max: int = FIELD_BYTES_MAX) -> str | None:
    if not text.strip():
        return f"the field {field!r} is empty"
    if exceeds(text, bytes_max):
        return f"the field {field!r} has more than {bytes_max} bytes"
    return None


def content_of(command: Send) -> str:
    """SHA-256 over what makes two messages the same message."""
    same = (
        command.target,
        command.body,
        command.thread,
        command.priority,
        command.mode,
        command.need,
        command.ttl_ms,
        bytes(command.data).decode(),
    )
    return hashlib.sha256(msgspec.json.encode(same)).hexdigest()


def _refuse(
    world: World,
    command: Send,
    reason: RefusedReason,
    message: str,
    refused: tuple[RefusedRecipient, ...] = (),
) -> Refused:
    fact = MessageRefused(
        event_id=event_id(world.seq + 1, world.lineage),
        sender=command.sender,
        target=command.target,
        reason=reason,
        detail=message,
        body_bytes=len(command.body.encode()),
        priority=_priority(command),
        key=command.key,
        refused=refused,
        commander=command.commander,
    )
    return Refused(reason=reason, message=message, facts=(DecidedFact(fact),))


def _nobody(target: str) -> str:
    if target.startswith("#"):
        return f"no agent is subscribed to {target}; subscribe one, or spawn it with --channel"
    return f'Agent "{target.removeprefix("@")}" not found; `ackbook ls` lists those there are'


def _full(world: World, agents: list[Agent]) -> str:
    names = ", ".join(agent.name for agent in agents[:5])
    return (
        f"the queue of {names} is full ({world.policy.queue_length_max}) of messages at least as"
        " urgent; wait, flush it, or cancel some"
    )
