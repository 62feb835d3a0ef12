"""The world as canonical lines, and back: what a snapshot holds between its header and its footer.

`dump` writes one JSON object an entity, in an order that follows from the history alone, so that
the snapshot of a live world and that of a full replay are the same bytes. `load` gives a world that
dumps to the same lines and goes on like the one that was dumped. The journal keeps the lines and
their checksums; this module knows what they mean.

A line is a struct of the world with every reference replaced by the id of what it refers to, or,
of a message, by the number of its line: a redelivered one may be there twice. The
shapes of the lines are made from the structs themselves, so they cannot drift apart. `FOLD_VERSION`
names their meaning: it rises with every change of a fold or of a struct, by a step in `upgrades`,
through which the lines of earlier versions are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from operator import or_
from sys import intern
from typing import Any

import msgspec

from ackbook.projections.facts import AgentName, DeliveryId, Policy
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deliveries import (
    DeadLetter,
    Delivery,
    KeyAnswer,
    Message,
    Queue,
    SettledDelivery,
)
from ackbook.projections.world.state import World, key_of
from ackbook.projections.world.upgrades import RELEASED, FoldHistory

FOLD_VERSION = RELEASED.newest
"""Rises whenever the same journal would fold to another world, or a world dump to other lines."""


class UnreadableWorld(ValueError):
    """Lines that are no dump of a world by the version that they are said to be of."""


def _line(tag: str, shape: type[msgspec.Struct], **replaced: Any) -> type[msgspec.Struct]:
    """The shape of a line: that of `shape`, with some fields of another type."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(shape):
        kind = replaced.get(field.name, field.type)
        if kind is None:
            continue
        # Another default would be left out only where it is the very same object, as in a world
        # that lives and in none that was read.
        if isinstance(field.default, int | str | None) and field.name not in replaced:
            fields.append((field.name, kind, field.default))
        else:
            fields.append((field.name, kind))
    return msgspec.defstruct(
        f"{shape.__name__}Line",
        fields,
        tag_field="entity",
        tag=tag,
        kw_only=True,
        omit_defaults=True,
        gc=False,
    )


class _WorldLine(msgspec.Struct, tag_field="entity", tag="world", kw_only=True, omit_defaults=True):
    seq: int
    at: int
    policy: Policy
    epoch: int
    running: bool
    started_at: int
    clock_ahead_us: int
    generations: dict[str, int]
    leaving: list[tuple[AgentName, int, int]]
    counts: dict[str, int]
    lineages: tuple[str, ...] = ()
    forks: tuple[int, ...] = ()


class _RedeliveredLine(msgspec.Struct, tag_field="entity", tag="redelivered"):
    old: DeliveryId
    new: DeliveryId


class _KeyLine(msgspec.Struct, tag_field="entity", tag="key"):
    sender: str
    key: str
    answer: KeyAnswer


_AgentLine = _line("agent", Agent, channels=list[str], queue=None, flowing=DeliveryId | None)
_MessageLine = _line("message", Message)
_DeliveryLine = _line("delivery", Delivery, message=int)
_DeadLetterLine = _line("dead_letter", DeadLetter, message=int)
_SettledLine = _line("settled", SettledDelivery)

_LINES: tuple[Any, ...] = (
    _WorldLine,
    _AgentLine,
    _MessageLine,
    _DeliveryLine,
    _DeadLetterLine,
    _SettledLine,
    _RedeliveredLine,
    _KeyLine,
)
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(reduce(or_, _LINES))
_encode = msgspec.json.Encoder(order="deterministic").encode


def dump(world: World) -> Iterator[bytes]:
    """The lines of a world, without newlines."""
    yield _encode(
        _WorldLine(
            seq=world.seq,
            at=world.at,
            policy=world.policy,
            epoch=world.epoch,
            running=world.running,
            started_at=world.started_at,
            clock_ahead_us=world.clock_ahead_us,
            generations=world.generations,
            leaving=[(name, number, seq) for (name, number), seq in world.leaving.items()],
            counts=dict(world.counts),
            lineages=world.lineages,
            forks=world.forks,
        )
    )
    for agent in world.agents.values():
        flowing = None if agent.flowing is None else agent.flowing.delivery_id
        yield _encode(_told(_AgentLine, agent, channels=sorted(agent.channels), flowing=flowing))
    numbers: dict[int, int] = {}
    for number, message in enumerate(world.messages()):
        numbers[id(message)] = number
        yield _encode(_told(_MessageLine, message))
    for delivery in world.deliveries.values():
        number = numbers[id(delivery.message)]
        yield _encode(_told(_DeliveryLine, delivery, message=number))
    for letter in world.dead_letters.values():
        number = numbers[id(letter.message)]
        yield _encode(_told(_DeadLetterLine, letter, message=number))
    for settled in world.settled.values():
        yield _encode(_told(_SettledLine, settled))
    for old, new in world.redelivered.items():
        yield _encode(_RedeliveredLine(old, new))
    for (sender, key), answer in world.keys.items():
        yield _encode(_KeyLine(sender, key, answer))


def load(
    blocks: Iterable[bytes], version: int = FOLD_VERSION, history: FoldHistory = RELEASED
) -> World:
    """The world of these lines, given in blocks of whole lines, as a loadable `version` of the fold
    dumped it.

    Raises `UnreadableWorld` where they are no dump by this version, or name what none of them
    tells: begin with an older one, or with the first record.
    """
    world = World()
    loader = _Loader(world)
    try:
        for block in history.upgraded(blocks, version):
            for line in _decoder.decode_lines(block):
                loader.take(line)
        loader.finish()
    except (msgspec.MsgspecError, LookupError) as error:
        raise UnreadableWorld(f"no dump of a world by version {version}: {error}") from error
    return world


class _Loader:
    """Puts a world together from its lines; they come in the order in which `dump` wrote them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._messages: list[Message] = []
        self._flowing: dict[DeliveryId, Agent] = {}

    def take(self, line: Any) -> None:
        _TAKES[type(line)](self, line)

    def finish(self) -> None:
        """Derive what is not written: queues and deadlines."""
        world = self._world
        waiting = [d for d in world.deliveries.values() if d.waiting]
        for delivery in sorted(waiting, key=lambda d: d.joined):
            world.agents[key_of(delivery.agent)].queue.join(delivery)
            world.deadlines.put(("ttl", delivery.delivery_id), delivery.expires_at)
        for delivery_id, agent in self._flowing.items():
            agent.flowing = world.deliveries[delivery_id]
        for agent in world.agents.values():
            world.moved[agent.name] = agent
        oldest = next(iter(world.keys.values()), None)
        world.deadlines.put(("keys", ""), None if oldest is None else oldest.until)

    def _world_line(self, line: _WorldLine) -> None:
        world = self._world
        world.seq, world.at, world.policy, world.epoch = line.seq, line.at, line.policy, line.epoch
        world.running, world.started_at = line.running, line.started_at
        world.clock_ahead_us = line.clock_ahead_us
        world.generations = line.generations
        world.leaving = {(name, number): seq for name, number, seq in line.leaving}
        world.counts.update(line.counts)
        world.lineages, world.forks = line.lineages, line.forks

    def _agent(self, line: Any) -> None:
        fields = _fields(line)
        flowing = fields.pop("flowing")
        agent = Agent(**{**fields, "channels": set(line.channels), "queue": Queue()})
        self._world.agents[key_of(agent.name)] = agent
        if flowing is not None:
            self._flowing[flowing] = agent

    def _message(self, line: Any) -> None:
        fields = _fields(line)
        fields["sender"], fields["target"] = intern(line.sender), intern(line.target)
        fields["commander"] = intern(line.commander)
        self._messages.append(Message(**fields))

    def _delivery(self, line: Any) -> None:
        world = self._world
        fields = _fields(line)
        fields["message"] = self._messages[line.message]
        agent = world.agents.get(key_of(line.agent))
        fields["agent"] = line.agent if agent is None else agent.name
        world.deliveries[line.delivery_id] = Delivery(**fields)

    def _dead_letter(self, line: Any) -> None:
        fields = _fields(line)
        fields["message"] = self._messages[line.message]
        self._world.dead_letters[line.delivery_id] = DeadLetter(**fields)

    def _settled(self, line: Any) -> None:
        self._world.settled[line.delivery_id] = SettledDelivery(**_fields(line))

    def _redelivered(self, line: _RedeliveredLine) -> None:
        self._world.redelivered[line.old] = line.new

    def _key(self, line: _KeyLine) -> None:
        self._world.keys[(line.sender, line.key)] = line.answer


_TAKES: dict[type, Any] = {
    _WorldLine: _Loader._world_line,
    _AgentLine: _Loader._agent,
    _MessageLine: _Loader._message,
    _DeliveryLine: _Loader._delivery,
    _DeadLetterLine: _Loader._dead_letter,
    _SettledLine: _Loader._settled,
    _RedeliveredLine: _Loader._redelivered,
    _KeyLine: _Loader._key,
}


def _told(shape: type[Any], value: msgspec.Struct, **replaced: object) -> object:
    names = shape.__struct_fields__
    fields = {name: getattr(value, name) for name in names if name not in replaced}
    return shape(**fields, **replaced)


def _fields(line: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(line, name) for name in line.__struct_fields__}
