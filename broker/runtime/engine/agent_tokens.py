"""Agent tokens: which agent a token is of, from what is durable.

Each generation has its own; with the next, or when the agent is let go, the one before means nobody
any more, nor does its program. Only hashes are known here. A program may speak before the record of
its spawn is durable: whoever shows such a token waits until it is, or until there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ackbook.broker.wire.identity import hash_of
from ackbook.projections.codec import Entry
from ackbook.projections.facts import AgentReleased, AgentSpawned
from ackbook.projections.world.fold import World, key_of


class AgentTokens:
    """A watcher of the engine, which begins with a world."""

    def __init__(self, world: World) -> None:
        self._names: dict[str, str] = {}
        self._hashes: dict[str, str] = {}
        self._generations: dict[str, int] = {}
        self._coming: dict[str, asyncio.Event] = {}
        for agent in world.agents.values():
            self._learn(agent.spawned)

    @contextmanager
    def coming(self, token: str) -> Iterator[None]:
        """In this block a program with this token is started, and its record made."""
        key, event = hash_of(token), asyncio.Event()
        self._coming[key] = event
        try:
            yield
        finally:
            # Its caller may give one token to two programs at once.
            if self._coming.get(key) is event:
                del self._coming[key]
            event.set()

    async def settled(self, token: str) -> str | None:
        """The same as `agent_of`, once it is known."""
        if (event := self._coming.get(hash_of(token))) is not None:
            await event.wait()
        return self.agent_of(token)

    def agent_of(self, token: str) -> str | None:
        """The name of the agent whose token this is; None where it is nobody's."""
        return self._names.get(hash_of(token))

    def knows(self, token_sha256: str) -> bool:
        """Whether a token that has this hash is an agent's."""
        return token_sha256 in self._names

    def is_current(self, name: str, generation: int) -> bool:
        """Whether this generation of an agent is the one that its name means."""
        return self._generations.get(key_of(name)) == generation

    async def none_is_coming(self) -> None:
        """Until every program that is being started now is named, or is not to be."""
        for event in tuple(self._coming.values()):
            await event.wait()

    def committed(self, world: World, entries: Sequence[Entry], touched: frozenset[str]) -> None:
        """Learn of new tokens and forget old ones."""
        for entry in entries:
            match entry.fact:
                case AgentSpawned() as fact:
                    self._learn(fact)
                case AgentReleased() as fact:
                    self._forget(fact.name)
                case _:
                    pass

    def _learn(self, fact: AgentSpawned) -> None:
        self._forget(fact.name)
        self._generations[key_of(fact.name)] = fact.generation
        if fact.token_sha256:
            self._names[fact.token_sha256] = fact.name
            self._hashes[key_of(fact.name)] = fact.token_sha256

    def _forget(self, name: str) -> None:
        self._generations.pop(key_of(name), None)
        self._names.pop(self._hashes.pop(key_of(name), ""), None)
