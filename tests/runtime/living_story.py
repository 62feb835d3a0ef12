"""One journal, the programs that live under it, and one thing after another done to both.

A place is a directory with a journal: the one that the story is about, and at times another one in
which a copy of it was opened. What must hold stands in `living_oracle`; a story is driven by a
random generator in `living_histories`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

import msgspec

from ackbook.broker.core.commands import (
    Accepted,
    AnyCommand,
    Flush,
    Release,
    Send,
    Sent,
    SetMode,
    Verdict,
)
from ackbook.broker.runtime.engine.inbox import OutcomeUnknown, Stopped
from ackbook.journal import Log, backup, salvage, verify
from ackbook.journal.reading.reader import Reader
from ackbook.projections.codec import Entry, decode
from ackbook.projections.facts import KINDS, AgentName, BrokerStarted
from ackbook.projections.world.fold import World
from tests.runtime.living_oracle import Oracle, Told
from tests.support.disk import SimulatedDisk
from tests.support.living_broker import JOURNAL, LivingBroker
from tests.support.living_holder import LivingHolder
from tests.support.simulated_loop import SimulatedLoop
from tests.support.simulated_machine import Machine

NAMES = ("ann", "bob")
COPY = Path("/sim/copy")
TORN = Path("/sim/torn")

CALM_S = 30
"""Longer than anything waits for, with the policy of these brokers."""


class Copy(msgspec.Struct, frozen=True):
    """Files of a journal by their paths below it, and the messages that were accepted by then."""

    files: dict[str, bytes]
    accepted: tuple[str, ...]
    excused: bool


class Place:
    """A directory with a journal, and who serves it now."""

    def __init__(self, seed: int) -> None:
        self.disk = SimulatedDisk(seed)
        self.broker: LivingBroker | None = None
        self.told = Told()
        self.accepted: list[str] = []
        self.excused = False
        """Ids of this history may be those of another one: nobody was left who could know."""
        self.put_back = False
        """No broker has begun on it since it was put back."""
        self.witnesses: list[LivingHolder] = []
        """Holders that could say so at the last start."""


class LivingStory:
    """What can be done. `run` has to be on the loop of the story."""

    def __init__(self, seed: int, loop: SimulatedLoop) -> None:
        self.loop = loop
        self.random = Random(seed)
        self.machine = Machine(loop, Random(seed + 1))
        self.oracle = Oracle()
        self.place = Place(seed)
        self.elsewhere: Place | None = None
        self.copies: list[Copy] = []
        self.tally = self.oracle.tally
        self._sent = 0
        self._forked = False
        """There was more than one history."""
        self._tasks: set[asyncio.Task[object]] = set()

    # --- brokers

    async def start(self, place: Place) -> None:
        """A broker, until it is ready or has been cut off."""
        assert place.broker is None
        watcher = _Watcher(self, place)
        broker = place.broker = LivingBroker(self.machine, place.disk, self, watcher)
        broker.before = partial(self._replayed, place)
        broker.at_rest = partial(self._at_rest, place)
        self.tally["starts"] += 1
        ready = self.loop.create_task(broker.ready.wait())
        await asyncio.wait({ready, broker.task}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not broker.ready.is_set():
            self.tally["starts_cut_off"] += 1
            await self.over(place)

    async def kill(self, place: Place) -> None:
        """Its broker is killed; its agents live on."""
        if place.broker is not None:
            self.tally["kills"] += 1
            place.broker.kill()
            await self.over(place)

    async def end(self, place: Place, *, keep_agents: bool) -> None:
        """A graceful end, as far as it comes."""
        if place.broker is not None:
            self.tally["ends" if keep_agents else "ends_of_all"] += 1
            place.broker.end(keep_agents=keep_agents)
            await asyncio.wait({place.broker.task})
            await self.over(place)

    async def over(self, place: Place) -> None:
        """Wait for what is left of a broker that has ended or was cut off."""
        broker = place.broker
        assert broker is not None
        if place.disk.crashed:
            broker.kill()
        while not broker.task.done():
            broker.task.cancel()
            await asyncio.wait({broker.task}, timeout=1)
        if not place.disk.crashed and (error := broker.task.exception()) is not None:
            raise error
        broker.kill()
        place.disk.reboot("process")
        place.broker = None

    async def look(self) -> None:
        """Brokers that were cut off meanwhile are over; what was breached is raised."""
        for place in (self.place, self.elsewhere):
            if place is not None and place.broker is not None:
                if place.disk.crashed:
                    self.tally["cut_off"] += 1
                    await self.over(place)
                elif place.broker.task.done():
                    await self.over(place)
        self.oracle.check_terminals()
        for breach in self.oracle.breaches:
            raise breach

    # --- what users do

    def launch(self, name: str, generation: int) -> LivingHolder:
        """Implements `Launcher`."""
        file = f"{name}.{generation}.{len(self.oracle.holders):08x}.sock"
        holder = LivingHolder(self.machine, name, generation, file)
        holder.two_brokers = partial(self.oracle.breach, "two_brokers")
        holder.ended_by = self._ended_by
        self.oracle.holders[file] = holder
        self.tally["programs"] += 1
        self.let(holder.live())
        return holder

    def send(self, name: str) -> None:
        """A message that is like no other, to either broker."""
        self._sent += 1
        place = self.place
        if self.elsewhere is not None and self.random.random() < 0.3:
            place = self.elsewhere

        def answered(verdict: Verdict) -> None:
            if isinstance(verdict, Accepted) and isinstance(verdict.answer, Sent):
                place.accepted.append(verdict.answer.event_id)

        body = f"message {self._sent}"
        self.put(Send(sender="human", target=name, body=body), answered, place)

    def hold(self, name: str) -> None:
        self.put(SetMode(name=AgentName(name), mode="manual_flush"))

    def let_flow(self, name: str) -> None:
        self.put(SetMode(name=AgentName(name), mode="auto_inject"))

    def flush(self, name: str) -> None:
        self.put(Flush(name=AgentName(name)))

    def release(self, name: str) -> None:
        self.put(Release(name=AgentName(name), reason="no longer needed"))

    def spawn(self, name: str) -> None:
        """A program of this name, where none runs."""
        broker = self.place.broker
        if broker is not None and broker.engine is not None:
            self.let(broker.spawn(name))

    def cut(self) -> None:
        """The connection to a holder that has an agent breaks."""
        named = {each.process for each in self.oracle.holders.values() if each.is_named}
        broker = self.place.broker
        ends = () if broker is None else broker.process.ends
        if known := [end for end in ends if end.peer.process in named]:
            self.tally["cuts"] += 1
            self.random.choice(known).cut()

    def put(
        self,
        command: AnyCommand,
        then: Callable[[Verdict], None] = lambda verdict: None,
        place: Place | None = None,
    ) -> None:
        """Give a command to a broker, where one is ready."""
        broker = (place or self.place).broker
        if broker is None or not broker.ready.is_set() or broker.engine is None:
            return
        with contextlib.suppress(Stopped):
            done = broker.engine.post(command)
            done.add_done_callback(
                lambda each: (
                    None
                    if each.cancelled() or each.exception() is not None
                    else then(each.result()[0])
                )
            )

    def let(self, work: Coroutine[object, object, object]) -> None:
        """Something goes on beside everything else."""
        task: asyncio.Task[object] = self.loop.create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- copies

    def back_up(self) -> None:
        """As `ackbook backup` does it, beside the broker."""
        if self.place.disk.crashed:
            return
        self.place.disk.clear_faults()
        backup(JOURNAL, COPY, kinds=KINDS, files=self.place.disk)
        self._keep(_taken(self.place.disk, COPY))
        self.tally["backups"] += 1

    async def copy(self, *, then_salvage: bool) -> None:
        """As `cp -a` does it, beside the broker: the files of different moments. Where that is no
        whole journal, and where it is wanted, what can be proven of it is saved."""
        place = self.place
        if place.disk.crashed:
            return
        accepted, excused = tuple(place.accepted), place.excused
        names = list(_names(place.disk, JOURNAL))
        self.random.shuffle(names)
        files = {}
        for name in names:
            with contextlib.suppress(KeyError):
                files[name] = place.disk.content(JOURNAL / name)
            await asyncio.sleep(self.random.random() * 0.02)
        disk = SimulatedDisk()
        _lay(disk, TORN, files)
        if then_salvage or not verify(TORN, kinds=KINDS, files=disk).ok:
            salvage(TORN, COPY, kinds=KINDS, files=disk)
            files = _taken(disk, COPY)
            self.tally["salvages"] += 1
        self.copies.append(Copy(files, accepted, excused))
        self.tally["copies"] += 1

    def put_back(self, copy: Copy) -> None:
        """In the place of the journal, which nobody has open."""
        place = self.place
        assert place.broker is None
        self.tally["put_back"] += 1
        place.disk.move_dir(JOURNAL, Path(f"/sim/away-{self.tally['put_back']}"))
        self._lay_at(place, copy)

    async def open_elsewhere(self, copy: Copy) -> None:
        """A copy is opened in another directory."""
        self.tally["opened_elsewhere"] += 1
        place = self.elsewhere = Place(self.random.getrandbits(32))
        self._lay_at(place, copy)
        await self.start(place)

    async def leave_elsewhere(self) -> None:
        if self.elsewhere is not None:
            await self.kill(self.elsewhere)
            self.elsewhere = None

    def _lay_at(self, place: Place, copy: Copy) -> None:
        _lay(place.disk, JOURNAL, copy.files)
        place.accepted, place.excused = list(copy.accepted), copy.excused
        place.put_back = self._forked = True

    def _keep(self, files: dict[str, bytes]) -> None:
        self.copies.append(Copy(files, tuple(self.place.accepted), self.place.excused))

    # --- the end

    async def finish(self) -> None:
        """Everything is calm: whoever was stopped goes on, nobody stands in the way, and all that
        is due has its time. Then it is looked whether all is as it should be."""
        await self.leave_elsewhere()
        self.place.disk.clear_faults()
        for holder in self.oracle.holders.values():
            holder.process.stopped, holder.quiet = False, True
        while self.place.broker is None:
            await self.start(self.place)
            await self.look()
        for name in NAMES:
            self.let_flow(name)
        await asyncio.sleep(CALM_S)
        await self.look()
        broker, place = self.place.broker, self.place
        assert broker is not None
        assert broker.holders is not None
        self.oracle.check_calm(place.told, broker.world, broker.holders, place.accepted)
        await self.end(place, keep_agents=True)
        await self.look()
        self.tally["typed"] += sum(len(each.terminal) for each in self.oracle.holders.values())

    async def close(self) -> None:
        """Nothing that was begun goes on."""
        for place in (self.place, self.elsewhere):
            if place is not None and place.broker is not None:
                place.broker.kill()
                await asyncio.wait({place.broker.task})
        for holder in self.oracle.holders.values():
            holder.process.kill()
            holder.over.set()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # --- what the oracle is told

    def committed_at(self, place: Place, world: World, entries: Sequence[Entry]) -> None:
        """These are durable there."""
        for entry in entries:
            if isinstance(entry.fact, BrokerStarted):
                assert place.broker is not None
                assert place.broker.log is not None
                own = place.broker.log.lineage
                self.oracle.check_start(entry.fact, own, place.witnesses, self._forked)
                if own or entry.fact.lineage or place.put_back:
                    place.excused = not (own or entry.fact.lineage)
                self.tally["histories_begun"] += bool(entry.fact.lineage)
                self.tally["histories_begun_by_files"] += bool(own)
                place.put_back = False
        self.oracle.check_entries(place.told, world, entries, sure=not place.excused)

    def _replayed(self, place: Place, world: World, log: Log) -> None:
        place.told = Told()
        lines = Reader(JOURNAL, files=place.disk).lines()
        place.told.take(decode(line.raw) for line in lines)
        assert place.broker is not None
        pid = place.broker.process.pid
        place.witnesses = self.oracle.knows_more(world, log.epoch, pid)

    def _at_rest(self, place: Place) -> None:
        broker = place.broker
        assert broker is not None
        assert broker.log is not None
        self.oracle.check_replay(broker.world, broker.log, place.disk)

    def _ended_by(self, holder: LivingHolder) -> None:
        for place in (self.place, self.elsewhere):
            broker = None if place is None else place.broker
            if place is not None and broker is not None and broker.process.pid == holder.obeys:
                self.oracle.check_end_order(place.told, holder)


class _Watcher:
    """Implements `EntryWatcher` for one place."""

    def __init__(self, story: LivingStory, place: Place) -> None:
        self._story = story
        self._place = place

    def committed(self, world: World, entries: Sequence[Entry], touched: frozenset[str]) -> None:
        self._story.committed_at(self._place, world, entries)


async def _quietly(work: Coroutine[object, object, object]) -> None:
    """A broker that ends meanwhile is no affair of whoever wanted this."""
    with contextlib.suppress(Stopped, OutcomeUnknown):
        await work


def _names(disk: SimulatedDisk, directory: Path) -> Iterator[str]:
    for name, kind in sorted(disk.entries(directory).items()):
        if kind == "file":
            yield name
        else:
            yield from (f"{name}/{each}" for each in _names(disk, directory / name))


def _taken(disk: SimulatedDisk, directory: Path) -> dict[str, bytes]:
    """The content of a directory, which is moved out of the way."""
    files = {name: disk.content(directory / name) for name in _names(disk, directory)}
    disk.move_dir(directory, directory.with_name(f"{directory.name}-{disk.calls}"))
    return files


def _lay(disk: SimulatedDisk, directory: Path, files: dict[str, bytes]) -> None:
    disk.make_dir(directory)
    for name, content in files.items():
        disk.make_dir((directory / name).parent)
        disk.overwrite(directory / name, content)
