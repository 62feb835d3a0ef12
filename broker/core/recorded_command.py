"""The `by` of a decision: a command as its record keeps it, and what a record was made of.

A decision can be decided again only while its records hold everything that a rule read beyond the
world and the time. So `describe` writes down the command, less what stands in the data of its first
record anyway, and `command_of` puts the two together again: the rules say the same to both.

| command          | `by`                                                     | the rest is from  |
|------------------|----------------------------------------------------------|-------------------|
| accepted send    | target, priority and time to live, as they were asked for| message.enqueued  |
| refused send     | the command without its text and data                    | message.refused   |
| accepted spawn   | the name, where it was written in another case           | agent.spawned     |
| every other one  | the whole command                                        |                   |

The text of a refused message is kept nowhere, nor is its data. A text of the same length stands for
it, which is blank where the record says that there was nothing to be seen, and data that nobody can
send: no rule reads more of them than that, and whether a key came with the same message before.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ackbook.broker.core.commands import Accepted, AnyCommand, Command, Send, Spawn, Verdict
from ackbook.projections.codec import Entry
from ackbook.projections.facts import (
    AgentName,
    AgentSpawned,
    MessageEnqueued,
    MessageRefused,
    Program,
)

Shape = TypeVar("Shape", bound=msgspec.Struct)

NOT_KEPT = msgspec.Raw(b"null ")
"""The data of a refused message. A value that is sent ends with its last character, so no message
that was ever accepted is the same as one with this."""


STAND_IN_BYTES_MAX = 16 * 1024**2
"""Of the text that stands for a refused one: more than any request has. A journal or a bundle may
come from strangers, and what it says of a length is only a number."""


class RecordedCommand(msgspec.Struct, frozen=True, gc=False):
    """A command, as its first record tells it. `whole`: nothing that a rule reads is missing;
    records of versions that wrote less of a send are not."""

    command: AnyCommand
    whole: bool = True


class _SendAsked(Command, frozen=True, tag_field="command", tag="send"):
    """What was asked for where the fact says what came of it. Without a target it was written by a
    version that kept none of this."""

    target: str | None = None
    priority: int | None = None
    ttl_ms: int | None = None


class _SpawnAsked(Command, frozen=True, tag_field="command", tag="spawn"):
    """The name as it was written, where the agent's is another."""

    name: AgentName | None = None


def describe(command: AnyCommand, verdict: Verdict) -> bytes:
    """The `by` of the first record of this decision."""
    match command:
        case Send():
            if isinstance(verdict, Accepted):
                asked = _SendAsked(
                    target=command.target, priority=command.priority, ttl_ms=command.ttl_ms
                )
                return _encoder.encode(asked)
            command = msgspec.structs.replace(command, body="", data=msgspec.Raw(b"null"))
        case Spawn():
            spawned = verdict.facts[0].fact
            assert isinstance(spawned, AgentSpawned)
            named = command.program.name
            return _encoder.encode(_SpawnAsked(name=None if named == spawned.name else named))
    return _encoder.encode(command)


def command_of(first: Entry) -> RecordedCommand | None:
    """The command that led to this first record of a decision; None where its `by` is no command
    that this version knows, or says too little."""
    by, fact = bytes(first.by), first.fact
    try:
        match fact:
            case MessageEnqueued():
                return _sent(_sends.decode(by), fact, first.at)
            case AgentSpawned():
                return RecordedCommand(_spawned(_spawns.decode(by), fact))
            case MessageRefused() if not 0 <= fact.body_bytes <= STAND_IN_BYTES_MAX:
                return None  # no broker wrote that, and its length is not to be made up here
            case MessageRefused():
                refused = _refusals.decode(by)
                return RecordedCommand(
                    msgspec.structs.replace(refused, body=_stand_in(fact), data=NOT_KEPT)
                )
            case _:
                return RecordedCommand(_wishes.decode(by))
    except msgspec.DecodeError:
        return None


def _sent(asked: _SendAsked, fact: MessageEnqueued, at: int) -> RecordedCommand:
    target, priority, ttl_ms = asked.target, asked.priority, asked.ttl_ms
    known = target is not None
    if target is None:
        target, priority = fact.target, fact.priority
        ttl_ms = None if fact.expires_at is None else (fact.expires_at - at) // 1_000
    send = Send(
        sender=fact.sender,
        target=target,
        body=fact.body,
        thread=fact.thread,
        priority=priority,
        mode=fact.mode,
        need=fact.need,
        ttl_ms=ttl_ms,
        key=fact.key,
        data=fact.data,
        commander=fact.commander,
    )
    # Only the content of a key is worked out from the very words of the command.
    return RecordedCommand(send, whole=known or fact.key is None)


def _spawned(asked: _SpawnAsked, fact: AgentSpawned) -> Spawn:
    fields = msgspec.structs.asdict(fact)
    if asked.name is not None:
        fields["name"] = asked.name
    return Spawn(program=Program(**fields))


def _stand_in(fact: MessageRefused) -> str:
    return (" " if fact.reason == "empty" else "x") * fact.body_bytes


def _decoder(shape: type[Shape]) -> msgspec.json.Decoder[Shape]:
    return msgspec.json.Decoder(shape)


_encoder = msgspec.json.Encoder()
_sends = _decoder(_SendAsked)
_spawns = _decoder(_SpawnAsked)
_refusals = _decoder(Send)
_wishes: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)
