"""Snapshots made beside a broker that runs, and starts that build on them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from ackbook.broker.core.plan import plan
from ackbook.broker.history.world_loading import begin_world
from ackbook.broker.runtime.engine.feed import Feed
from ackbook.broker.runtime.maintenance.snapshot_schedule import (
    SnapshotSchedule,
    SnapshotStart,
    Upkeep,
)
from ackbook.broker.runtime.maintenance.snapshot_worker import make_snapshot
from ackbook.broker.runtime.maintenance.worker_process import WorkFailed
from ackbook.journal import (
    Corrupt,
    Limits,
    Position,
    Reader,
    SnapshotFile,
    open_log,
    verify,
    write_snapshot,
)
from ackbook.projections.codec import decode
from ackbook.projections.facts import KINDS
from ackbook.projections.world.fold import World, fold, next_deadline
from ackbook.projections.world.serialization import FOLD_VERSION, dump, load
from tests.core.test_properties import Broker
from tests.support.brokers import Row, Running, idle, running
from tests.support.engines import Bench, play, send, working
from tests.support.histories import damaged, replayed, snapshots_of, started
from tests.support.holders import eventually, gone
from tests.support.machine import processes

SMALL = Limits(segment_bytes_max=4_096, room_bytes_min=64 * 1024, reserve_bytes=48 * 1024)
"""A segment rolls after a dozen records."""


async def many(bench: Bench, count: int) -> None:
    await asyncio.gather(*(bench.engine.carry(send(f"message {n}")) for n in range(count)))


def worker_of(bench: Bench) -> SnapshotSchedule:
    return SnapshotSchedule(bench.engine, bench.log, SnapshotStart(), Upkeep())


@contextlib.contextmanager
def history(directory: Path, *, at: int = 0) -> Iterator[Path]:
    """A journal of many segments with snapshots; `at` is the number of them."""

    async def story() -> None:
        async with working(directory, SMALL) as bench:
            await bench.agent(ready=False)
            for _ in range(at):
                await many(bench, 20)
                await worker_of(bench).make()
            await many(bench, 20)

    play(story())
    yield directory / "journal"


# --- any history


class Cut(Broker):
    """Histories of the rules, each cut at every record: loaded there, it goes on alike."""

    def teardown(self) -> None:
        lines, whole = self.broker.lines, self.broker.replayed()
        expected = list(dump(whole))
        before = World()
        for at, line in enumerate(lines):
            blocks = [b"".join(each + b"\n" for each in dump(before))]
            if at % 7 == len(lines) % 7:
                loaded = load(blocks)
                for rest in lines[at:]:
                    fold(loaded, decode(rest))
                loaded.check()
                assert list(dump(loaded)) == expected, f"cut before record {at + 1}"
                assert list(plan(loaded)) == list(plan(whole))
                assert next_deadline(loaded) == next_deadline(whole)
            fold(before, decode(line))


def test_a_snapshot_at_any_record_and_the_rest_are_the_whole_history() -> None:
    few = settings(max_examples=25, stateful_step_count=30, deadline=None, print_blob=True)
    run_state_machine_as_test(Cut, settings=few)  # type: ignore[no-untyped-call]


# --- while the engine works


def test_a_snapshot_is_the_state_of_a_full_replay(tmp_path: Path) -> None:
    with history(tmp_path, at=1) as journal:
        [snapshot] = snapshots_of(journal)
        lines = b"".join(snapshot.blocks()).splitlines()
        assert lines == list(dump(replayed(journal, snapshot.seq)))
        assert len(lines) > 20, "agents, messages and deliveries"


def test_appends_go_on_while_a_snapshot_is_made(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path) as bench:
            await bench.agent(ready=False)
            await many(bench, 50)
            making = asyncio.create_task(worker_of(bench).make())
            meanwhile = 0
            while not making.done():
                await bench.engine.carry(send("meanwhile"))
                meanwhile += not making.done()
            assert meanwhile > 0
            snapshot = await making
            assert snapshot.seq < bench.log.head.seq
            await many(bench, 5)
            assert list(dump(bench.world)) == list(
                dump(replayed(bench.directory, bench.log.head.seq))
            )

    play(story())


def test_a_snapshot_counts_when_the_journal_says_so_and_two_are_kept(tmp_path: Path) -> None:
    with history(tmp_path, at=3) as journal:
        kept = snapshots_of(journal)
        noted = [line for line in Reader(journal).lines() if line.kind == "journal.snapshotted"]
        assert len(noted) == 3
        assert [each.name for each in kept] == [
            name for line in noted[1:] for name in [line.data.decode().split('"')[3]]
        ]
        assert verify(journal, kinds=KINDS).ok


def test_what_the_journal_says_of_itself_is_shown_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        feed = Feed(tmp_path / "journal", 0)
        async with working(tmp_path, watchers=[feed]) as bench:
            await worker_of(bench).make()
            assert feed.head == bench.log.head.seq
            [*_, last] = Reader(bench.directory).lines()
            assert (last.seq, last.kind) == (feed.head, "journal.snapshotted")

    play(story())


def test_whoever_makes_a_snapshot_has_an_unfinished_file_of_its_own(tmp_path: Path) -> None:
    with history(tmp_path) as journal:
        unfinished: list[str] = []

        def look() -> bool:
            unfinished.extend(path.name for path in journal.glob("*.tmp"))
            return True

        made = make_snapshot(journal, is_wanted=look)
        assert set(unfinished) == {f"{made.name}.{os.getpid()}.tmp"}


def test_an_attempt_that_fails_ends_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path) as bench:
            await bench.agent(ready=False)
            await many(bench, 10)
            [tail] = bench.directory.glob("0*.jsonl")
            good = tail.read_bytes()
            place = good.index(b"message 3")
            with damaged(tail, place):
                with pytest.raises(WorkFailed, match=str(tail.name)):
                    await worker_of(bench).make()
                assert snapshots_of(bench.directory) == []
                await many(bench, 10)
            assert (await worker_of(bench).make()).seq == bench.log.head.seq - 1
            await many(bench, 10)

    play(story())


def test_a_worker_that_nobody_waits_for_is_ended(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path) as bench:
            await bench.agent(ready=False)
            making = asyncio.create_task(worker_of(bench).make())
            while not (pids := workers_in(bench.directory)):
                assert not making.done()
                await asyncio.sleep(0)
            making.cancel()
            with pytest.raises(asyncio.CancelledError):
                await making
            assert all(gone(pid) for pid in pids)

    play(story())


def workers_in(journal: Path) -> list[int]:
    """The processes that make a snapshot of this journal."""
    return processes("ackbook.broker.runtime.maintenance.snapshot_worker", str(journal))


# --- starts


def test_without_its_snapshots_a_journal_comes_to_the_same_world(tmp_path: Path) -> None:
    with history(tmp_path, at=2) as journal:
        head = Reader(journal).head()
        assert begin_world(journal, head)[1] is not None
        with_them = list(dump(started(journal, head)))
        for path in journal.glob("snapshot-*"):
            path.unlink()
        assert begin_world(journal, head)[1] is None
        assert list(dump(started(journal, head))) == with_them
        assert with_them == list(dump(replayed(journal, head)))


def test_a_start_reads_nothing_from_before_its_snapshot(tmp_path: Path) -> None:
    with history(tmp_path, at=4) as journal:
        head = Reader(journal).head()
        expected = list(dump(started(journal, head)))
        kept = snapshots_of(journal)[-1].seq
        names = sorted(journal.glob("0*.jsonl"))
        before = [name for name, after in pairwise(names) if int(after.stem) <= kept]
        assert before
        for name in before:
            name.write_bytes(b"")
        assert list(dump(started(journal, head))) == expected


def unloadable(journal: Path, at: Position) -> None:
    """It verifies, and holds no world."""
    write_with(journal, at, FOLD_VERSION, [b'{"entity":"nothing"}'])


def of_another_version(journal: Path, at: Position) -> None:
    write_with(journal, at, FOLD_VERSION + 1, [b'{"entity":"something"}'])


def of_another_state(journal: Path, at: Position) -> None:
    """Its lines are those of an earlier record."""
    write_with(journal, at, FOLD_VERSION, list(dump(replayed(journal, at.seq - 1))))


def write_with(journal: Path, at: Position, version: int, lines: list[bytes]) -> None:
    identity = Reader(journal).journal_id
    assert identity is not None
    write_snapshot(journal, journal_id=identity, position=at, fold_version=version, lines=lines)


@pytest.mark.parametrize("make", [unloadable, of_another_version, of_another_state])
def test_a_snapshot_that_cannot_be_used_is_passed_over(
    tmp_path: Path, make: Callable[[Path, Position], None]
) -> None:
    with history(tmp_path, at=1) as journal:
        head = Reader(journal).head()
        [good] = snapshots_of(journal)
        expected = list(dump(replayed(journal, head)))
        [line] = Reader(journal).lines(head - 1, head)
        make(journal, Position(line.seq, line.at, line.crc))
        with contextlib.closing(open_log(journal, kinds=KINDS, fold_version=FOLD_VERSION)) as log:
            world, used = begin_world(journal, head, log.snapshot)
        assert used is not None
        assert used.seq == good.seq
        assert world.seq == good.seq
        assert list(dump(started(journal, head))) == expected


def test_a_history_that_begins_too_late_is_never_taken_for_an_empty_one(tmp_path: Path) -> None:
    with history(tmp_path) as journal:
        head = Reader(journal).head()
        min(journal.glob("0*.jsonl")).unlink()
        with pytest.raises(Corrupt):
            started(journal, head)


# --- whole brokers


def test_a_broker_makes_snapshots_by_itself_and_starts_from_them() -> None:
    with running(None, "--every", "40") as broker:
        park(broker, 60)
        eventually(lambda: bool(broker_snapshots(broker)), "a snapshot was made")
        eventually(lambda: bool(broker.kinds("journal.snapshotted")), "it was recorded")
        waiting = waits(broker)
        broker.kill()
        copy = broker.directory.parent / "copy"
        shutil.copytree(broker.directory / "journal", copy)
        broker.start()
        opened = broker.kinds("journal.opened")[-1]
        assert opened["recovery"]["snapshot"] == broker_snapshots(broker)[-1].name
        assert waits(broker) == waiting
        head = Reader(copy).head()
        assert list(dump(started(copy, head))) == list(dump(replayed(copy, head)))
        assert broker.stop() == 0
        assert broker.verified()


def test_a_broker_whose_snapshots_were_deleted_starts_as_it_was() -> None:
    with running(None, "--every", "40") as broker:
        park(broker, 60)
        eventually(lambda: bool(broker_snapshots(broker)), "a snapshot was made")
        waiting = waits(broker)
        broker.kill()
        for path in (broker.directory / "journal").glob("snapshot-*"):
            path.unlink()
        broker.start()
        assert "snapshot" not in broker.kinds("journal.opened")[-1]["recovery"]
        assert waits(broker) == waiting
        assert broker.verified()


def test_a_killed_broker_leaves_no_worker_behind() -> None:
    with idle() as broker:
        journal = broker.directory / "journal"
        broker.start("--every", "1")
        eventually(lambda: bool(workers_in(journal)), "a worker is at work")
        broker.kill()
        eventually(lambda: not workers_in(journal), "the worker has ended")
        broker.start("--every", "1")
        assert broker.stop() == 0
        assert workers_in(journal) == []
        assert broker.verified()


def park(broker: Running, count: int) -> None:
    """Messages that wait for a flush."""
    broker.spawn("cat", "cat")
    broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
    for number in range(count):
        broker.send("cat", f"parked {number}")


def waits(broker: Running) -> list[Row]:
    """What is pending, but for its age."""
    rows = broker.get("/api/pending")["pending"]
    return [{name: row[name] for name in row if name != "age_ms"} for row in rows]


def broker_snapshots(broker: Running) -> list[SnapshotFile]:
    return snapshots_of(broker.directory / "journal")
