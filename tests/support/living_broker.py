"""A broker that lives in a simulation: the real engine, sessions and witnesses on a real journal.

What is not there is the machine: the journal stands on a disk that can be cut off at any call, its
holders are reached over connections of the simulation, and programs are started there. `run` goes
through the steps of `broker_run` in its order. A broker that is killed does nothing any more from
that call on; `task` ends soon after.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Protocol

import msgspec

from ackbook.broker.core.commands import Refused, Spawn, StartBroker, StopBroker
from ackbook.broker.core.effects import Start
from ackbook.broker.history.world_loading import LOADABLE, fold_rest
from ackbook.broker.runtime.agents.holder_launch import Launched
from ackbook.broker.runtime.agents.holder_link import HolderLink, LinkLost, LinkRefused, greet
from ackbook.broker.runtime.agents.holder_sockets import HolderSocket, HolderSockets
from ackbook.broker.runtime.agents.holders import Holders
from ackbook.broker.runtime.agents.restored import Witnesses
from ackbook.broker.runtime.broker_run import HOUSEKEEPING_S, LAST_S_MAX
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.broker.runtime.engine.inbox import EntryWatcher, OutcomeUnknown, Stopped
from ackbook.broker.runtime.system.home import Home
from ackbook.broker.wire.frames import Hello, Welcome
from ackbook.journal import Limits, Log, open_log
from ackbook.journal.limits import KIB
from ackbook.journal.storage.commit_thread import Committer
from ackbook.projections.facts import KINDS, AgentName, Policy, Program, RestartPolicy
from ackbook.projections.world.fold import World, key_of
from tests.support.disk import SimulatedDisk
from tests.support.living_holder import LivingHolder
from tests.support.simulated_loop import LoopClock
from tests.support.simulated_machine import Machine, Process

JOURNAL = Path("/sim/journal")

LIMITS = Limits(
    segment_bytes_max=24 * KIB,
    room_bytes_min=256 * KIB,
    room_bytes_max=256 * KIB,
    reserve_bytes=128 * KIB,
)
"""A segment rolls after about a hundred records; a decision has its room."""

POLICY = Policy(
    queue_length_max=8,
    failures_max=3,
    retry_delay_ms=200,
    retry_delay_ms_max=1_000,
    window_ms=1_500,
    input_hold_ms=2_000,
    throttle_ms_min=20,
    throttle_ms_max=400,
    hold_ms=10_000,
)
"""Everything is over in seconds, so that much of it meets."""

COMMIT_S_MAX = 0.01
"""How long a commit waits for its disk, besides what that takes."""

LAUNCH_S_MIN = 0.15
"""A holder needs as long at least to begin; at most it is twice that."""


class Launcher(Protocol):
    """Who starts programs, and knows them from then on."""

    def launch(self, name: str, generation: int) -> LivingHolder:
        """A holder that lives."""


class BrokerProcess(Process):
    """It ends with its disk."""

    def __init__(self, machine: Machine, disk: SimulatedDisk) -> None:
        super().__init__(machine)
        self._disk = disk

    @property
    def alive(self) -> bool:
        return super().alive and not self._disk.crashed


class SimulatedSocket(HolderSocket, frozen=True):
    """That of one holder, seen from this process."""

    process: Process

    async def connect(self, hello: Hello) -> tuple[HolderLink, Welcome]:
        reader, writer = self.process.machine.connect(self.process, self.name)
        return await greet(reader, writer, hello)

    def remove_left(self) -> None:
        """Nothing is left of a name here."""

    def kill(self) -> None:
        self.process.machine.kill(self.name)


class SimulatedSockets(HolderSockets):
    """Every holder of the machine, as they are listed beside their directories."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def called(self, name: str) -> HolderSocket:
        return SimulatedSocket(name, (), self._process)

    def found(self) -> list[HolderSocket]:
        return [self.called(name) for name in self._process.machine.names()]


class SimulatedWitnesses(Witnesses):
    """Asked by a process of the simulation, with a tag that its seed chose."""

    def speak_for(self, process: Process, tag: str) -> None:
        self._hello = msgspec.structs.replace(
            self._hello, pid=process.pid, started=process.pid, home="", home_is=(0, 0)
        )
        self._tag = tag

    async def ask(self, sockets: list[HolderSocket]) -> None:  # type: ignore[override]
        await super().ask(sockets)
        if self.lineage:
            self.lineage = self._tag


class SimulatedLaunch(Launched):
    """The end of a pipe that keeps a holder while nobody has named it."""

    def __init__(self, holder: LivingHolder) -> None:
        self.holder = holder

    def release(self) -> None:
        self.holder.leave_if_unnamed()

    async def abandon(self) -> None:
        self.holder.over.set()


class LateCommitter(Committer):
    """Runs what is committed a little later, and what is written ahead between two commits."""

    def __init__(self, machine: Machine, process: Process) -> None:
        super().__init__()
        self._machine = machine
        self._process = process
        self._closed = False

    def close(self) -> None:
        self._closed = True

    def _run_soon(self, job: Callable[[], None]) -> None:
        delay = self._machine.random.random() * COMMIT_S_MAX
        self._machine.loop.call_later(delay, self._run_now, job)

    def _run_now(self, job: Callable[[], None]) -> None:
        if not self._closed:
            job()


class Silence:
    """Nobody looks at any terminal."""

    def wanted(self, name: str) -> tuple[bool, bool]:
        return False, False

    def output(self, name: AgentName, offset: int, data: bytes, text: str) -> None:
        return


class _Over(Exception):
    """The graceful end is done."""


class LivingBroker:
    """One run. `ready` is set once everybody may send; `task` is its life."""

    def __init__(
        self, machine: Machine, disk: SimulatedDisk, launcher: Launcher, watcher: EntryWatcher
    ) -> None:
        self.process = BrokerProcess(machine, disk)
        self.ready = asyncio.Event()
        self.world = World()
        self.engine: Engine | None = None
        self.holders: Holders | None = None
        self.log: Log | None = None
        self.before: Callable[[World, Log], None] = lambda world, log: None
        """Called when the journal is replayed, before anybody is asked."""
        self.at_rest: Callable[[], None] = lambda: None
        """Called when all is durable, just before the journal is closed."""
        self._machine = machine
        self._disk = disk
        self._launcher = launcher
        self._watcher = watcher
        self._launched: list[SimulatedLaunch] = []
        self._ending = asyncio.Event()
        self._keep_agents = True
        self.task = machine.loop.create_task(self._run())

    @property
    def random(self) -> Random:
        return self._machine.random

    def kill(self) -> None:
        """SIGKILL, whatever it was doing."""
        self._disk.crashed = True
        self.process.kill()
        if self.log is not None:
            self.log._committer.close()
        self.task.cancel()
        for launch in self._launched:
            self._machine.loop.call_later(self.random.random(), launch.release)

    def end(self, *, keep_agents: bool) -> None:
        """Begin the graceful end."""
        self._keep_agents = keep_agents
        self._ending.set()

    async def spawn(self, name: str, source: str = "human", count: int = 0) -> None:
        """Start a program under this name, where none runs."""
        assert self.engine is not None
        assert self.holders is not None
        generation = await self.engine.ask(lambda world, at: _next_generation(world, name))
        if generation == 0:
            return
        await asyncio.sleep(LAUNCH_S_MIN + self.random.random() * LAUNCH_S_MIN)
        holder = self._launcher.launch(name, generation)
        launch = SimulatedLaunch(holder)
        self._launched.append(launch)
        socket = self.holders.sockets.called(holder.file)
        try:
            link, welcome = await self.holders.meet(socket)
        except (OSError, LinkLost, LinkRefused):
            await launch.abandon()
            return
        program = Program(
            name=AgentName(name),
            generation=generation,
            pid=welcome.pid,
            command="simulated",
            args=(),
            cwd="/",
            holder=holder.file,
            source=source,
            restart_count=count,
            restart=RestartPolicy(enabled=name == "ann", cooldown_ms=500),
        )
        if isinstance(await self.engine.carry(Spawn(program=program)), Refused):
            link.close()
            await launch.abandon()
            return
        if self._ending.is_set() or not self.process.alive:
            return  # it is not named, and ends with this broker
        self.holders.keep(name, generation, socket, (link, welcome), launch).named()

    async def _run(self) -> None:
        log = self.log = open_log(
            JOURNAL,
            kinds=KINDS,
            files=self._disk,
            clock=LoopClock(self._machine.loop, self.random),
            limits=LIMITS,
            trusted=True,
            fold_version=LOADABLE,
            new_id="5eed",
            new_lineage=f"{self.process.pid:08x}",
        )
        log._committer = LateCommitter(self._machine, self.process)
        for _ in fold_rest(JOURNAL, self.world, log.head.seq, files=log.files):
            pass
        self.before(self.world, log)
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._serve(log, tasks)
                raise _Over
        except* _Over:
            self.at_rest()
            log.close()

    async def _serve(self, log: Log, tasks: asyncio.TaskGroup) -> None:
        instance, tag = f"{self.random.getrandbits(32):08x}", f"{self.random.getrandbits(32):08x}"
        home = Home(Path("/"), None)
        witnesses = SimulatedWitnesses(
            log.epoch, log.journal_id, instance, self.world, home, log.because
        )
        witnesses.speak_for(self.process, tag)
        sockets = SimulatedSockets(self.process)
        await witnesses.ask(sockets.found())
        known = (sockets, JOURNAL, witnesses.hello(), Silence(), log.files)
        holders = self.holders = Holders(*known)
        engine = self.engine = Engine(log, self.world, (self._watcher, holders.dispatch))
        holders.work_for(engine, tasks)
        holders.restart = lambda start: _let(tasks, self._start_again(start, log))
        running = tasks.create_task(engine.run())
        start = StartBroker(
            epoch=log.epoch,
            pid=self.process.pid,
            version="0",
            instance=instance,
            lineage=witnesses.lineage,
            because=witnesses.because,
            policy=POLICY,
        )
        await engine.carry(start)
        _let(tasks, _keep_house(log))
        await holders.adopt(witnesses)
        self.ready.set()
        await self._ending.wait()
        await self._end(engine, holders, running)

    async def _end(self, engine: Engine, holders: Holders, running: asyncio.Task[None]) -> None:
        if not self._keep_agents:
            for session in holders:
                await session.leave("broker_stopped")
            await holders.end_all("broker_stopped")
        last = engine.post(StopBroker(reason="shutdown", agents_kept=self._keep_agents))
        engine.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S_MAX):
                await last
                await running

    async def _start_again(self, start: Start, log: Log) -> None:
        await asyncio.sleep(max(0, start.due_at - log.now()) / 1e6)
        assert self.engine is not None
        with contextlib.suppress(Stopped, OutcomeUnknown):
            if await self.engine.ask(lambda world, at: _is_owed(world, start)):
                await self.spawn(start.agent, "restart", start.restart_count)


async def _keep_house(log: Log) -> None:
    while True:
        await asyncio.sleep(HOUSEKEEPING_S)
        log.sync_head()


def _let(tasks: asyncio.TaskGroup, task: object) -> None:
    tasks.create_task(task)  # type: ignore[arg-type]


def _next_generation(world: World, name: str) -> int:
    agent = world.agent(name)
    return 0 if agent is not None and agent.alive else world.generations.get(key_of(name), 0) + 1


def _is_owed(world: World, start: Start) -> bool:
    agent = world.generation(start.agent, start.generation - 1)
    return agent is not None and agent.state == "restarting"
