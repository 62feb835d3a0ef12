"""What a broker does when the machine fails it: the disk, the clock, the scheduler.

The parts are real wherever a machine lets a test break them: a file system of a few megabytes that
is full, signals, limits of the kernel. A disk that answers with an error and a clock that leaps are
put in at the journal's own doors.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ackbook.broker.core.commands import (
    Accepted,
    NoteClock,
    ReportEnded,
    Send,
    Sent,
    Spawn,
    StartBroker,
)
from ackbook.broker.history.world_loading import begin_world, fold_rest
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.broker.runtime.engine.inbox import OutcomeUnknown
from ackbook.journal import DiskFailed, Limits, Log, OsFiles, Reader, open_log, verify
from ackbook.journal.storage.clock import Clock, OsClock
from ackbook.journal.storage.files import Access, Handle
from ackbook.projections.facts import KINDS, AgentName
from tests.support.brokers import QUICK, Running, idle, running
from tests.support.engines import Seen, play, send
from tests.support.forged import blind_head
from tests.support.holders import chat, eventually, numbers, transcript
from tests.support.machine import fill, parent, small_disk, stopped
from tests.support.orders import program

HOUR_US = 3_600 * 1_000_000

SMALL = Limits(segment_bytes_max=4_096, room_bytes_min=64 * 1024, reserve_bytes=48 * 1024)
"""A segment rolls after a dozen records."""


# --- a disk without room


def send_until_full(broker: Running) -> list[str]:
    """The ids of all messages that were taken before one was refused for want of room."""
    accepted = []
    for number in range(2_000):
        body = {"to": "cat", "text": f"number {number} " + "x" * 3_000}
        answer = broker.http.post("/api/send", json=body)
        if answer.status_code == 507:
            assert (answer.json()["code"], answer.json()["retryable"]) == ("journal_full", True)
            return accepted
        assert answer.status_code == 200, answer.text
        accepted.append(answer.json()["event_id"])
    raise AssertionError("the disk never got full")


def enqueued(broker: Running) -> list[str]:
    return [row["event_id"] for row in broker.kinds("message.enqueued")]


def test_a_full_disk_takes_reports_and_no_messages_until_there_is_room_again() -> None:
    with idle({**QUICK, "queue_length_max": 10_000}) as broker, small_disk(broker) as ballast:
        broker.start()
        broker.spawn("cat", "cat")
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
        fill(ballast)
        accepted = send_until_full(broker)
        assert accepted
        before = len(broker.kinds("delivery.acked"))
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "auto_inject"})
        eventually(lambda: len(broker.kinds("delivery.acked")) > before + 2, "reports are recorded")
        refused = broker.http.post("/api/send", json={"to": "cat", "text": "x" * 3_000})
        assert refused.status_code == 507
        ballast.unlink()
        later: list[str] = []

        def taken() -> bool:
            answer = broker.http.post("/api/send", json={"to": "cat", "text": "again"})
            if answer.is_success:
                later.append(answer.json()["event_id"])
            return answer.is_success

        eventually(taken, "messages are taken again, by the same broker")
        assert enqueued(broker) == accepted + later
        broker.kill()
        assert broker.verified()


def test_a_broker_on_a_full_disk_closes_cleanly_and_keeps_everything() -> None:
    with idle({"queue_length_max": 10_000}) as broker, small_disk(broker) as ballast:
        broker.start()
        broker.spawn("cat", "cat")
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
        fill(ballast)
        accepted = send_until_full(broker)
        assert broker.stop() == 0
        lines = list(Reader(broker.directory / "journal").lines())
        assert [line.kind for line in lines[-2:]] == ["broker.stopped", "journal.closed"]
        assert "agent.exited" in [line.kind for line in lines]
        ballast.unlink()
        broker.start()
        assert enqueued(broker) == accepted
        waiting = broker.get("/api/pending")["pending"]
        assert [row["event_id"] for row in waiting] == accepted
        assert broker.stop() == 0
        assert broker.verified()


def test_a_snapshot_that_finds_no_room_costs_nobody_anything() -> None:
    with (
        idle({"queue_length_max": 10_000}) as broker,
        small_disk(broker) as ballast,
    ):
        broker.start("--every", "20")
        broker.spawn("cat", "cat")
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
        fill(ballast)
        accepted = send_until_full(broker)
        eventually(lambda: "no snapshot was made" in broker.stderr(), "the attempt was made")
        eventually(lambda: bool(broker.kinds("upkeep.failed")), "and told")
        assert broker.kinds("upkeep.failed")[0]["what"] == "snapshot"
        ballast.unlink()
        assert broker.stop() == 0
        broker.start()
        assert enqueued(broker) == accepted
        assert broker.verified()


# --- a disk that answers with an error


class FailingDisk(OsFiles):
    """The real disk; the operations named in `failing` answer EIO."""

    def __init__(self) -> None:
        self.failing: frozenset[str] = frozenset()

    def write(self, handle: Handle, offset: int, data: bytes) -> int:
        self._check("write")
        return super().write(handle, offset, data)

    def sync(self, handle: Handle) -> None:
        self._check("sync")
        super().sync(handle)

    def sync_dir(self, directory: Path) -> None:
        self._check("sync_dir")
        super().sync_dir(directory)

    def rename(self, source: Path, target: Path) -> None:
        self._check("rename")
        super().rename(source, target)

    def read(self, handle: Handle, offset: int, size: int) -> bytes:
        self._check("read")
        return super().read(handle, offset, size)

    def open(self, path: Path, access: Access) -> Handle:
        self._check("open")
        return super().open(path, access)

    def _check(self, operation: str) -> None:
        if operation in self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


class Bench:
    """An engine on a journal whose disk and clock are the test's."""

    def __init__(self, directory: Path, files: OsFiles, clock: Clock | None = None) -> None:
        self.directory = directory
        self.log: Log = open_log(
            directory, kinds=KINDS, trusted=True, files=files, clock=clock, limits=SMALL
        )
        self.world, _ = begin_world(directory, self.log.head.seq)
        for _ in fold_rest(directory, self.world, self.log.head.seq):
            pass
        self.seen = Seen()
        self.engine = Engine(self.log, self.world, (self.seen,))
        self.running = asyncio.create_task(self.engine.run())

    async def begin(self) -> None:
        """A broker with one agent that takes no input yet."""
        epoch = self.log.epoch
        await self.engine.carry(StartBroker(epoch=epoch, pid=1, version="t", instance="t"))
        if self.world.agent("cat") is None:
            await self.engine.carry(Spawn(program=program("cat")))

    async def taken(self, body: str) -> str:
        verdict = await self.engine.carry(send(body))
        assert isinstance(verdict, Accepted)
        assert isinstance(verdict.answer, Sent)
        return verdict.answer.event_id


@contextlib.asynccontextmanager
async def bench(
    directory: Path, files: OsFiles | None = None, clock: Clock | None = None
) -> AsyncIterator[Bench]:
    made = Bench(directory, files or OsFiles(), clock)
    try:
        await made.begin()
        yield made
    finally:
        made.engine.stop()
        with contextlib.suppress(Exception):
            await made.running
        made.log.close()


async def take(made: Bench, count: int, acknowledged: list[str]) -> None:
    """Send one after the other, and note each that was acknowledged."""
    for number in range(count):
        event_id = await made.taken(f"number {number}")
        acknowledged.append(event_id)


@pytest.mark.parametrize("operation", ["write", "sync", "rename", "sync_dir"])
def test_an_operation_that_fails_ends_the_engine_and_loses_nothing(
    tmp_path: Path, operation: str
) -> None:
    """A rename and the sync of a directory happen when a segment ends; the others at once."""

    async def story() -> None:
        disk = FailingDisk()
        acknowledged: list[str] = []
        async with bench(tmp_path, disk) as made:
            await take(made, 5, acknowledged)
            shown = len(made.seen.kinds)
            disk.failing = frozenset({operation})
            with pytest.raises(OutcomeUnknown):
                await take(made, 100, acknowledged)
            with pytest.raises(DiskFailed):
                await made.running
            assert len(made.seen.kinds) - shown == len(acknowledged) - 5, "nothing else was shown"
            assert made.log.poisoned
            with pytest.raises(OutcomeUnknown):
                await made.engine.ask(lambda world, at: world.seq)
            disk.failing = frozenset()
        async with bench(tmp_path) as made:
            kept = [message.event_id for message in made.world.messages()]
            assert kept[: len(acknowledged)] == acknowledged
            assert len(kept) <= len(acknowledged) + 1, "one was on its way"
            await made.taken("goes on")
        assert verify(tmp_path, kinds=KINDS, full=True).ok

    play(story())


@pytest.mark.parametrize("operation", ["read", "open", "write", "sync", "rename", "sync_dir"])
def test_a_start_on_a_disk_that_fails_changes_no_record(tmp_path: Path, operation: str) -> None:
    async def story() -> None:
        async with bench(tmp_path) as made:
            known = [await made.taken(f"number {number}") for number in range(20)]
        # Not closed cleanly, so that the start has something to write.
        blind_head(tmp_path)
        before = [line.raw for line in Reader(tmp_path).lines()]
        disk = FailingDisk()
        disk.failing = frozenset({operation})
        with pytest.raises(DiskFailed):
            open_log(tmp_path, kinds=KINDS, files=disk)
        assert [line.raw for line in Reader(tmp_path).lines()][: len(before)] == before
        async with bench(tmp_path) as made:
            assert [message.event_id for message in made.world.messages()] == known
        assert verify(tmp_path, kinds=KINDS, full=True).ok

    play(story())


# --- clocks


class Leaping(OsClock):
    """The clock of this machine, with a wall clock that somebody sets."""

    def __init__(self) -> None:
        self.set_by_us = 0

    def wall(self) -> int:
        return super().wall() + self.set_by_us


@pytest.mark.parametrize("leap", [5 * HOUR_US, -5 * HOUR_US])
def test_a_wall_clock_that_leaps_moves_no_deadline_and_is_recorded_once(
    tmp_path: Path, leap: int
) -> None:
    async def story() -> None:
        clock = Leaping()
        async with bench(tmp_path, clock=clock) as made:
            minute = Send(sender="t", target="cat", body="for a minute", ttl_ms=60_000)
            await made.engine.carry(minute)
            before = made.log.now()
            clock.set_by_us = leap
            for _ in range(3):
                await made.engine.carry(NoteClock(wall_at=clock.wall()))
            await made.taken("after the leap")
            assert 0 <= made.log.now() - before < HOUR_US, "records go on in their own time"
            assert made.seen.kinds.count("clock.diverged") == 1
            assert "delivery.expired" not in made.seen.kinds
            assert len(made.world.deliveries) == 2
            last = made.log.head.at
        async with bench(tmp_path, clock=clock) as made:
            assert made.log.now() >= last, "never back"
            assert (made.log.now() >= last + 4 * HOUR_US) == (leap > 0), "forth at a start only"
            times = [line.at for line in Reader(tmp_path).lines()]
            assert times == sorted(times)
        assert verify(tmp_path, kinds=KINDS, full=True).ok

    play(story())


def test_time_without_a_broker_does_not_use_up_the_hold_of_a_gone_agent(tmp_path: Path) -> None:
    async def story() -> None:
        clock = Leaping()
        async with bench(tmp_path, clock=clock) as made:
            await made.taken("kept for the next of this name")
            ended = ReportEnded(name=AgentName("cat"), generation=1, reason="exited", code=0)
            await made.engine.carry(ended)
        clock.set_by_us = 10 * HOUR_US
        async with bench(tmp_path, clock=clock) as made:
            await made.engine.carry(NoteClock(wall_at=clock.wall()))
            assert len(made.world.deliveries) == 1
            assert "delivery.dead_lettered" not in made.seen.kinds

    play(story())


# --- processes that stand still


def test_a_broker_that_stood_still_answers_what_was_asked_meanwhile() -> None:
    with running(QUICK) as broker:
        kept = broker.directory / "kept"
        broker.spawn("ann", *chat(kept))
        answers: list[int] = []

        def ask(number: int) -> None:
            with httpx.Client(
                base_url=broker.http.base_url, headers=broker.http.headers, timeout=150
            ) as http:
                body = {"to": "ann", "text": f"number {number}"}
                answers.append(http.post("/api/send", json=body).status_code)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
        with stopped(broker.pid):
            for thread in threads:
                thread.start()
            assert answers == []
        for thread in threads:
            thread.join()
        assert answers == [200] * 5
        broker.settled()
        assert sorted(numbers(kept)) == [0, 1, 2, 3, 4], "each once"
        assert broker.stop() == 0
        assert broker.verified()


def test_a_holder_that_stood_still_holds_up_nobody_else_and_types_nothing_twice() -> None:
    with running(QUICK) as broker:
        kept = {name: broker.directory / f"kept-{name}" for name in ("ann", "bob")}
        pids = {name: broker.spawn(name, *chat(kept[name]))["pid"] for name in kept}
        with stopped(parent(pids["ann"])):
            for number in range(3):
                broker.send("ann", f"number {number}")
            assert broker.deliver("bob", "number 7")["verification"] == "echo"
            assert transcript(kept["ann"]) == []
            waiting = broker.get("/api/pending")["pending"]
            assert [row["agent"] for row in waiting] == ["ann"] * 3
        broker.settled()
        assert numbers(kept["ann"]) == [0, 1, 2]
        assert broker.stop() == 0
        assert broker.verified()


# --- directories that are not what they were


def of_before(journal: Path, older: Path) -> None:
    """The segments of an older backup, under the HEAD of today."""
    for path in journal.glob("0*.jsonl"):
        path.unlink()
    for path in older.glob("0*.jsonl"):
        shutil.copy(path, journal)


def half(journal: Path, older: Path) -> None:
    """A copy that ended in the middle of the last file."""
    tail = max(journal.glob("0*.jsonl"))
    content = tail.read_bytes().rstrip(b"\n")
    tail.write_bytes(content[: len(content) // 2])


def without_segments(journal: Path, older: Path) -> None:
    """A copy that took the small files only."""
    for path in journal.glob("0*.jsonl"):
        path.unlink()


def with_another(journal: Path, older: Path) -> None:
    """Somebody put the segment of another journal behind the last one."""
    last = list(Reader(journal).lines())[-1].seq
    with tempfile_journal() as other:
        [segment] = other.glob("0*.jsonl")
        content = segment.read_bytes().replace(b'"seq":1,', f'"seq":{last + 1},'.encode(), 1)
        (journal / f"{last + 1:020d}.jsonl").write_bytes(content)


def of_another(journal: Path, older: Path) -> None:
    """Somebody put the segment of another journal in the place of this one's."""
    tail = max(journal.glob("0*.jsonl"))
    with tempfile_journal() as other:
        [segment] = other.glob("0*.jsonl")
        tail.write_bytes(segment.read_bytes())


@contextlib.contextmanager
def tempfile_journal() -> Iterator[Path]:
    with idle() as broker:
        journal = broker.directory / "journal"
        open_log(journal, kinds=KINDS).close()
        yield journal


@pytest.mark.parametrize(
    ("spoil", "code"),
    [(of_before, 7), (half, 7), (without_segments, 7), (with_another, 4), (of_another, 4)],
)
def test_a_directory_that_misses_what_was_acknowledged_is_refused_and_left_as_it_is(
    spoil: Callable[[Path, Path], None], code: int
) -> None:
    with running({"queue_length_max": 10_000}) as broker:
        journal, older = broker.directory / "journal", broker.directory.parent / "older"
        broker.spawn("cat", "cat")
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
        broker.send("cat", "before the backup")
        shutil.copytree(journal, older)
        for number in range(5):
            broker.send("cat", f"after the backup {number}")
        broker.kill()
        whole = shutil.copytree(journal, broker.directory.parent / "whole")
        spoil(journal, older)
        before = contents(journal)
        broker.launch()
        assert broker.wait() == code, broker.stderr()
        assert "Next: " in broker.stderr()
        assert contents(journal) == before
        shutil.rmtree(journal)
        shutil.copytree(whole, journal)
        broker.start()
        assert len(broker.get("/api/pending")["pending"]) == 6


def contents(journal: Path) -> dict[str, bytes]:
    """Every file of a journal but the lock, which the attempt itself may sign."""
    files = [path for path in sorted(journal.rglob("*")) if path.is_file()]
    return {path.name: path.read_bytes() for path in files if path.name != "LOCK"}
