"""Spelling: the names of a command, in the form in which the world has them.

Names enter in any of their forms. Whom the world knows is meant in the form that its records have,
also where those are older than the rule that there is one form; whoever is new is named in that
one. This happens before a command is decided and recorded, so that a rule compares names as they
are, and decides the same of what was recorded before.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ackbook.broker.core.commands import (
    AnyCommand,
    Flush,
    Release,
    Send,
    SetMode,
    Subscribe,
    Unsubscribe,
)
from ackbook.projections.facts import AgentName
from ackbook.projections.names import canonical, forms, match_key
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.fold import World, key_of


def agent_called(world: World, name: str) -> Agent | None:
    """The agent that is meant by a name in any of its forms."""
    for form in forms(name):
        if (agent := world.agent(form)) is not None:
            return agent
    if name.isascii():
        return None
    key = match_key(name)
    return next((each for each in world.agents.values() if match_key(each.name) == key), None)


def spelled(world: World, name: str) -> str:
    """The name as the world has it, of an agent that is or was; else in its one form."""
    if (agent := agent_called(world, name)) is not None:
        return agent.name
    once = (form for form in forms(name) if key_of(form) in world.generations)
    return next(once, canonical(name))


def respelled(world: World, command: AnyCommand) -> AnyCommand:
    """The command with its names as the world has them. Reports name what is recorded already."""
    match command:
        case Send():
            return _send(world, command)
        case Subscribe() | Unsubscribe():
            name = AgentName(spelled(world, command.name))
            agent = world.agent(name)
            known = () if agent is None else agent.channels
            channels = tuple(_channel(known, channel) for channel in command.channels)
            return msgspec.structs.replace(command, name=name, channels=channels)
        case Release() | SetMode() | Flush():
            if command.name.isascii():
                return command
            return msgspec.structs.replace(command, name=AgentName(spelled(world, command.name)))
        case _:
            return command


def _send(world: World, command: Send) -> Send:
    sender, target = command.sender, command.target
    if sender.isascii() and target.isascii():
        return command
    if not sender.isascii():
        sender = _sender(world, command)
    if target.startswith("#"):
        target = canonical(target)
    elif not target.isascii():
        mark = target[: len(target) - len(target.removeprefix("@"))]
        target = mark + spelled(world, target.removeprefix("@"))
    return msgspec.structs.replace(command, sender=sender, target=target)


def _sender(world: World, command: Send) -> str:
    """Who used this key before is the same one now: the message must not be sent again."""
    if command.key is not None:
        for form in forms(command.sender):
            if (form, command.key) in world.keys:
                return form
    return spelled(world, command.sender)


def _channel(known: Iterable[str], channel: str) -> str:
    """A channel as the agent has it, else in its one form."""
    wanted = canonical(channel.removeprefix("#"))
    if wanted in known:
        return wanted
    return next((each for each in known if canonical(each) == wanted), wanted)
