"""The service: the parts of a running broker, in the hands of whoever answers a request.

`app` builds it once; handlers take it as their first argument and know nothing of how it came to
be. It holds what several handlers share and nothing that only one needs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ackbook.broker.core.commands import Answer, AnyCommand, Refused
from ackbook.broker.core.spelling import agent_called
from ackbook.broker.runtime.agents.holder_link import HolderLink
from ackbook.broker.runtime.agents.holder_session import HolderSession
from ackbook.broker.runtime.agents.holders import Holders
from ackbook.broker.runtime.agents.spawning import Spawner
from ackbook.broker.runtime.agents.viewers import Attachments, Viewer
from ackbook.broker.runtime.engine.agent_tokens import AgentTokens
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.broker.runtime.engine.feed import Feed, Subscription
from ackbook.broker.runtime.engine.state_waiter import StateWaiter
from ackbook.broker.runtime.maintenance.compaction_schedule import Compactor
from ackbook.broker.runtime.maintenance.health import HealthSources
from ackbook.broker.wire.identity import Caller
from ackbook.broker.wire.problems import Problem, refusal
from ackbook.journal.storage.held_directory import HeldDirectory
from ackbook.projections.world.fold import World


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """`directory` holds the journal. That is read by the path `journal`, which leads to the one
    that is open, wherever it is by now; a worker gets it as `within`. `shutdown(keep_agents,
    commander)` begins a graceful end and returns. `historians` bounds the processes that look back
    for somebody. `started` is a time of `time.monotonic`, in seconds."""

    engine: Engine
    feed: Feed
    waiter: StateWaiter
    holders: Holders
    spawner: Spawner
    attachments: Attachments
    tokens: AgentTokens
    compactor: Compactor
    historians: asyncio.Semaphore
    health: HealthSources
    directory: Path
    journal: Path
    within: HeldDirectory
    version: str
    started: float
    shutdown: Callable[[bool, str], None]

    def uptime_ms(self) -> int:
        """Milliseconds since this broker began to serve."""
        return int((time.monotonic() - self.started) * 1_000)

    async def carry(self, command: AnyCommand, who: Caller) -> Answer:
        """The answer to a command that was accepted and is durable. Raises `Problem` where the
        rules refuse it, with the code of their reason, and what `Engine.post` raises."""
        verdict = await self.engine.carry(msgspec.structs.replace(command, commander=who.commander))
        if isinstance(verdict, Refused):
            raise refusal(verdict)
        return verdict.answer

    async def living(self, name: str) -> HolderSession:
        """The session of an agent that runs. Raises `Problem`: `agent_not_found` where there is
        none of this name, and `worker_disappeared` where its program does not run now."""
        known = await self.engine.ask(lambda world, at: _generation(world, name))
        if known is None:
            raise Problem("agent_not_found", f'Agent "{name}" not found')
        session = self.holders.session(*known)
        if session is None:
            raise Problem("worker_disappeared", f'Agent "{name}" does not run now')
        return session

    async def link(self, name: str) -> HolderLink:
        """The link to the holder of an agent that runs. Raises `Problem` as `living` does, and
        `worker_disappeared` where its holder cannot be reached now: it may be a moment later."""
        session = await self.living(name)
        if session.link is None:
            raise Problem("worker_disappeared", f'the holder of "{name}" cannot be reached now')
        return session.link

    # --- who looks

    def subscribe(self, since: int, *, ephemeral: bool) -> Subscription:
        """A place in the feed; with `ephemeral`, terminals are watched for it."""
        subscription = self.feed.subscribe(since, ephemeral=ephemeral)
        if ephemeral:
            self._look()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Leave the feed."""
        subscription.close()
        if subscription.ephemeral:
            self._look()

    def attach(self, viewer: Viewer) -> None:
        """Show a terminal to somebody."""
        self.attachments.add(viewer)
        self._look()

    def detach(self, viewer: Viewer) -> None:
        """Somebody looks no longer."""
        self.attachments.remove(viewer)
        self._look()

    def _look(self) -> None:
        for session in self.holders:
            on, human = self.attachments.wanted(session.name)
            session.watch(on=on, human=human)


def _generation(world: World, name: str) -> tuple[str, int] | None:
    agent = agent_called(world, name)
    return None if agent is None else (agent.name, agent.generation)
