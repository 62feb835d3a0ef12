"""The life of one broker on its loop: start, serve, end.

The order of a start is the order of its promises: the directory is locked and the journal recovered
before anything else; it is folded before the first command is heard; holders are adopted before
anybody may send; only then it says that it is ready. While it starts, `/health` answers and nothing
else does. The end is the reverse, and what is pending then is pending at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable

from ackbook.broker.core.commands import NoteClock, StartBroker, StopBroker
from ackbook.broker.core.effects import Start
from ackbook.broker.core.lifecycle import CLOCK_AHEAD_US_MAX
from ackbook.broker.history.why_worker import HISTORIANS_MAX
from ackbook.broker.history.world_loading import LOADABLE
from ackbook.broker.runtime.agents.holder_session import HolderSession
from ackbook.broker.runtime.agents.holder_sockets import HolderSockets
from ackbook.broker.runtime.agents.holders import Holders
from ackbook.broker.runtime.agents.restored import Witnesses
from ackbook.broker.runtime.agents.spawning import Spawner
from ackbook.broker.runtime.agents.viewers import Attachments
from ackbook.broker.runtime.api.listeners import Listeners
from ackbook.broker.runtime.api.server import application
from ackbook.broker.runtime.api.service import Service
from ackbook.broker.runtime.broker_directory import BrokerDirectory
from ackbook.broker.runtime.engine.agent_tokens import AgentTokens
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.broker.runtime.engine.feed import Feed
from ackbook.broker.runtime.engine.inbox import Stopped
from ackbook.broker.runtime.engine.state_waiter import QUIET_S_MAX, StateWaiter
from ackbook.broker.runtime.last_words import at_the_end, cause_of
from ackbook.broker.runtime.maintenance.compaction_schedule import Compactor
from ackbook.broker.runtime.maintenance.health import HealthSources
from ackbook.broker.runtime.maintenance.scrub_schedule import Checker
from ackbook.broker.runtime.maintenance.snapshot_schedule import (
    SnapshotSchedule,
    SnapshotStart,
)
from ackbook.broker.runtime.replaying import replay
from ackbook.broker.runtime.run_settings import NotForAgents, Settings
from ackbook.broker.wire.connection import Connection
from ackbook.journal import Log, open_log
from ackbook.projections.commander import agent_commander
from ackbook.projections.facts import KINDS
from ackbook.projections.world.fold import World

log = logging.getLogger("ackbook")

HOUSEKEEPING_S = 1.0
"""HEAD is made durable within a second of a change, and the clocks are compared."""

LAST_S_MAX = 10.0
"""How long a graceful end waits for its last records to become durable."""


class _Over(Exception):
    """The graceful end is done; whatever still runs belongs to nobody."""


class BrokerRun:
    """One run. `stop` may be called at any time, also before it is ready."""

    def __init__(
        self,
        place: BrokerDirectory,
        settings: Settings,
        listener: socket.socket,
        ready: Callable[[Connection], None],
    ) -> None:
        self._place = place
        self._settings = settings
        self._ready = ready
        self._service: Service | None = None
        app = application(self._serving)
        self._listeners = Listeners(app, settings.key, settings.host, listener)
        self._ending = asyncio.Event()
        self._published = False
        self._keep_agents = False
        self._reason = "signal"
        self._commander = ""

    def stop(self, reason: str, *, keep_agents: bool = False, commander: str = "") -> None:
        """Begin the graceful end."""
        if not self._ending.is_set():
            self._reason, self._keep_agents = reason, keep_agents
            self._commander = commander
            self._ending.set()

    async def run(self) -> None:
        """From start to end. Raises `JournalError` where the journal or the disk does not allow
        it, `OSError` where the directory does not, and `NotForAgents`."""
        self._listeners.start()
        try:
            with at_the_end(self._withdraw):
                await self._with_journal()
        finally:
            await self._listeners.stop()

    async def _with_journal(self) -> None:
        journal = await asyncio.to_thread(
            open_log,
            self._place.journal,
            kinds=KINDS,
            version=self._settings.version,
            files=self._settings.files,
            trusted=True,
            fold_version=LOADABLE,
        )
        with at_the_end(journal.close):
            try:
                self._place.check_holds(journal.files)
                world, since = await replay(self._place.journal, journal)
                try:
                    async with asyncio.TaskGroup() as tasks:
                        await self._serve(journal, world, since, tasks)
                        raise _Over
                except* _Over:
                    pass
            except BaseExceptionGroup as group:
                cause = cause_of(group)
                if self._published:
                    # First of all: what follows may fail as well, and would hide it.
                    log.error("the broker ends: %s", cause)
                raise cause from group

    async def _serve(
        self, journal: Log, world: World, since: SnapshotStart, tasks: asyncio.TaskGroup
    ) -> None:
        settings, place = self._settings, self._place
        # Whoever reads beside the log reads the same directory, whatever its name means by now.
        here = journal.files.within(journal.directory)
        instance = settings.instance or secrets.token_hex(8)
        feed, waiter = Feed(here, world.seq), StateWaiter()
        attachments = Attachments(feed)
        witnesses = Witnesses(
            journal.epoch, journal.journal_id, instance, world, place.home, journal.because
        )
        sockets = HolderSockets(place.holders, journal.journal_id, os.environ)
        await witnesses.ask(sockets.found())
        hello = witnesses.hello()
        holders = Holders(sockets, here, hello, attachments)
        tokens = AgentTokens(world)
        starter = witnesses.agent_in(settings.session) or tokens.agent_of(settings.token)
        if starter and settings.named and "policy" not in world.policy.agents_may:
            raise NotForAgents(f"{starter} is an agent, and agents do not change the policy")
        engine = Engine(journal, world, (feed, waiter, tokens, holders.dispatch))
        holders.work_for(engine, tasks)
        known = (engine, holders, waiter, tokens)
        spawner = Spawner(*known, place.home, os.environ, settings.umask)
        holders.restart = lambda start: _restart(tasks, spawner, start, journal)
        snapshots = SnapshotSchedule(engine, journal, since, settings.upkeep)
        compactor = Compactor(engine, journal, snapshots, settings.upkeep)
        checker = Checker(engine, journal, settings.upkeep)
        running = tasks.create_task(engine.run())
        self._service = Service(
            engine=engine,
            feed=feed,
            waiter=waiter,
            holders=holders,
            spawner=spawner,
            attachments=attachments,
            tokens=tokens,
            compactor=compactor,
            historians=asyncio.Semaphore(HISTORIANS_MAX),
            health=HealthSources(engine, snapshots, compactor, checker, holders),
            directory=place.directory,
            journal=here,
            within=journal.files,
            version=settings.version,
            started=time.monotonic(),
            shutdown=lambda keep, by: self.stop("shutdown", keep_agents=keep, commander=by),
        )
        await engine.carry(self._start(journal, instance, witnesses, starter))
        tasks.create_task(_keep_house(engine, journal))
        tasks.create_task(snapshots.run())
        tasks.create_task(compactor.run())
        tasks.create_task(checker.run())
        await holders.adopt(witnesses)
        if settings.respawn:
            await spawner.respawn()
        self._open()
        await self._ending.wait()
        await self._end(self._service, running)

    def _start(
        self, journal: Log, instance: str, witnesses: Witnesses, starter: str | None
    ) -> StartBroker:
        """The first command. `starter`: the agent that started this broker, if one did."""
        settings = self._settings
        return StartBroker(
            epoch=journal.epoch,
            pid=os.getpid(),
            version=settings.version,
            instance=instance,
            lineage=witnesses.lineage,
            because=witnesses.because,
            forked_after=journal.recovery.head.seq if witnesses.lineage else 0,
            policy=settings.policy,
            named=settings.named,
            commander=agent_commander(starter) if starter else "",
        )

    def _open(self) -> None:
        """From here on everybody is heard."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        connection = Connection(
            url=f"http://{host}:{self._listeners.port}",
            port=self._listeners.port,
            api_key=self._settings.key,
            pid=os.getpid(),
            directory=str(self._place.directory),
            version=self._settings.version,
        )
        self._published = True
        self._listeners.add_local(self._place.listen())
        self._place.publish(connection)
        self._listeners.open()
        self._ready(connection)

    async def _end(self, service: Service, running: asyncio.Task[None]) -> None:
        """Nothing new is heard; programs end, or are kept; the last record says so."""
        self._listeners.close("shutting down")
        if not self._keep_agents:
            await _let_settle(service)
            await service.holders.end_all("broker_stopped")
        service.waiter.close()
        last = service.engine.post(
            StopBroker(
                reason=self._reason, agents_kept=self._keep_agents, commander=self._commander
            )
        )
        service.engine.stop()
        # On a full disk the last records may never find room; the next start makes do without.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S_MAX):
                await last
                await running
        service.feed.close()

    def _withdraw(self) -> None:
        self._listeners.close("shutting down")
        if self._published:  # else it is another broker's, who has the lock
            self._place.withdraw()

    def _serving(self) -> Service:
        assert self._service is not None, "the guard lets nobody through before"
        return self._service


async def _keep_house(engine: Engine, journal: Log) -> None:
    """What is due about once a second."""
    while True:
        await asyncio.sleep(HOUSEKEEPING_S)
        journal.sync_head()
        wall = time.time_ns() // 1_000
        if abs(wall - journal.now()) > CLOCK_AHEAD_US_MAX:
            with contextlib.suppress(Stopped):
                engine.post(NoteClock(wall_at=wall))


async def _let_settle(service: Service) -> None:
    """End each program when nothing is on its way into it: what is cut off cannot be proven."""

    async def settle(session: HolderSession) -> None:
        await session.leave("broker_stopped")
        await service.waiter.until_quiet(service.engine, session.name, QUIET_S_MAX)
        session.end("broker_stopped")

    await asyncio.gather(*(settle(session) for session in service.holders))


def _restart(tasks: asyncio.TaskGroup, spawner: Spawner, start: Start, journal: Log) -> None:
    tasks.create_task(spawner.start_again(start, journal.now()))
