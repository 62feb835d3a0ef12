"""Waiting: for something to become true of the world, without asking all the time.

Who waits names the agents and deliveries that it is about, and is woken when a durable record
touches one of them. The question is asked once more after each such record, so nothing that
happened between two askings is missed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ackbook.broker.runtime.engine.engine import Engine
from ackbook.projections.codec import Entry
from ackbook.projections.facts import AgentReleased, Ref
from ackbook.projections.world.fold import World, key_of

T = TypeVar("T")

QUIET_S_MAX = 8.0
"""How long an end waits for what is being typed: the window of 5 s and some."""


class StateWaiter:
    """A watcher of the engine that rings for those who wait."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._closed = False

    def committed(self, world: World, entries: Sequence[Entry], touched: frozenset[str]) -> None:
        """Wake whoever waits for something that these entries touch."""
        if not self._waiting:
            return
        for key in touched:
            self._ring(key)
        for entry in entries:
            match entry.fact:
                case Ref():
                    self._ring(entry.fact.delivery_id)
                case AgentReleased():
                    for dropped in entry.fact.dropped:
                        self._ring(dropped.delivery_id)
                case _:
                    pass

    async def until(
        self,
        engine: Engine,
        keys: Iterable[str],
        question: Callable[[World, int], T | None],
        wait_s: float,
    ) -> T | None:
        """The first answer that is not None; None when the time is over or the broker ends.

        `keys` are delivery ids, and agents' names as `key_of` gives them. Raises what `Engine.ask`
        raises.
        """
        event = asyncio.Event()
        names = tuple(keys)
        for name in names:
            self._waiting[name].add(event)
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    event.clear()
                    answer = await engine.ask(question)
                    if answer is not None or self._closed:
                        return answer
                    await event.wait()
        except TimeoutError:
            return None
        finally:
            for name in names:
                self._waiting[name].discard(event)
                if not self._waiting[name]:
                    del self._waiting[name]

    async def until_quiet(self, engine: Engine, name: str, wait_s: float) -> None:
        """Wait until an agent could be ended without cutting off a message: none is being typed,
        and none stands in the input line without its Enter. Or until the time is over."""
        key = key_of(name)

        def quiet(world: World, at: int) -> bool | None:
            agent = world.agents.get(key)
            if agent is None or not agent.alive:
                return True
            return True if agent.flowing is None and agent.occupied is None else None

        await self.until(engine, (key,), quiet, wait_s)

    def close(self) -> None:
        """Let everybody go: what they wait for does not come from this broker any more."""
        self._closed = True
        for name in tuple(self._waiting):
            self._ring(name)

    def _ring(self, key: str) -> None:
        for event in self._waiting.get(key, ()):
            event.set()
