"""Strays: holders that listen and that no living agent of this journal has.

One that nobody named, whose program is over, or whose agent this journal let go or says to have
ended, is this broker's to end. Any other was named by another history of the journal, which gave
the same generation of the same name to a program of its own: that is somebody's work.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from ackbook.broker.history.journal_entries import holder_let_go
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.broker.wire.frames import Welcome
from ackbook.journal import Files
from ackbook.projections.facts import AgentName
from ackbook.projections.world.fold import World


class Stranger(msgspec.Struct, frozen=True):
    """A program that runs, and that no record of this journal names; `pid` is its own."""

    name: str
    pid: int
    holder_pid: int


def living(world: World, at: int) -> list[tuple[str, int, str]]:
    """Name, generation and holder of each agent whose program runs, as far as the journal says."""
    return [
        (agent.name, agent.generation, agent.spawned.holder)
        for agent in world.agents.values()
        if agent.alive
    ]


async def is_to_end(
    engine: Engine, journal: Path, files: Files | None, file: str, welcome: Welcome
) -> bool:
    """Whether the holder that listens under this file name is to be ended by the broker of this
    journal. Raises what `Engine.ask` raises."""
    if not welcome.named or welcome.ended is not None:
        return True
    recorded = await engine.ask(lambda world, at: _recorded(world, welcome))
    if isinstance(recorded, int):
        with suppress(LookupError, OSError):
            return holder_let_go(journal, recorded, files) == file
        return False
    return recorded == file


def _recorded(world: World, welcome: Welcome) -> str | int:
    """The holder's file name as the world has it, or the record that let this generation go."""
    agent = world.generation(welcome.name, welcome.generation)
    if agent is not None:
        return agent.spawned.holder
    return world.leaving.get((AgentName(welcome.name), welcome.generation), "")
