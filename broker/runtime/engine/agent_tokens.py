"""Agent tokens: which agent a token is of, from what is durable.

Each generation has its own; with the next, or when the agent is let go, the one before means nobody
any more. Only hashes are known here.
"""

from __future__ import annotations

from collections.abc import Sequence

from ackbook.broker.wire.identity import hash_of
from ackbook.projections.codec import Entry
from ackbook.projections.facts import AgentReleased, AgentSpawned
from ackbook.projections.world.fold import World, key_of


class AgentTokens:
    """A watcher of the engine, which begins with a world."""

    def __init__(self, world: World) -> None:
        self._names: dict[str, str] = {}
        self._hashes: dict[str, str] = {}
        for agent in world.agents.values():
            self._learn(agent.spawned)

    def agent_of(self, token: str) -> str | None:
        """The name of the agent whose token this is; None where it is nobody's."""
        return self._names.get(hash_of(token))

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
        if fact.token_sha256:
            self._names[fact.token_sha256] = fact.name
            self._hashes[key_of(fact.name)] = fact.token_sha256

    def _forget(self, name: str) -> None:
        self._names.pop(self._hashes.pop(key_of(name), ""), None)
