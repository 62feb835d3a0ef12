"""What the tasks of a loop are promised that share one journal."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

import ackbook.journal.reading.follow
from ackbook.journal import (
    AsyncJournal,
    DiskFailed,
    Limits,
    NotOpen,
    OsFiles,
    RecordRefused,
    open_journal,
    read_journal,
    verify,
)
from ackbook.journal.storage.files import Handle

TEA = {"item": "tea"}
LIMITS = Limits(segment_bytes_max=20_000, room_bytes_min=8_000, room_bytes_max=16_000)


class WatchedFiles(OsFiles):
    """The real file system; it counts its syncs, waits in them when told to, and fails."""

    def __init__(self) -> None:
        self.syncs = 0
        self.go = threading.Event()
        self.go.set()
        self.arrived = threading.Event()
        self.synced_head = threading.Event()
        self.error: OSError | None = None

    def sync(self, handle: Handle) -> None:
        self.syncs += 1
        if self.error is not None:
            raise self.error
        if not self.go.is_set():
            self.arrived.set()
        assert self.go.wait(150)
        super().sync(handle)
        if Path(os.readlink(f"/proc/self/fd/{handle}")).name == "HEAD":
            self.synced_head.set()


def test_many_producers_share_syncs_and_each_learns_its_own_position(tmp_path: Path) -> None:
    files = WatchedFiles()

    async def produce(journal: AsyncJournal, number: int, told: dict[int, int]) -> None:
        for each in range(20):
            seq = await journal.append("number.counted", {"n": number * 100 + each})
            told[seq] = number * 100 + each

    async def run() -> dict[int, int]:
        told: dict[int, int] = {}
        async with open_journal(tmp_path, files=files) as journal:
            before = files.syncs
            await asyncio.gather(*(produce(journal, number, told) for number in range(64)))
            assert files.syncs - before < 200, "1280 records in all"
        return told

    told = asyncio.run(run())
    assert len(told) == 1280
    assert {r.seq: r.value["n"] for r in read_journal(tmp_path).read()} == told


def test_the_records_of_a_call_stand_together(tmp_path: Path) -> None:
    async def run() -> list[range]:
        async with open_journal(tmp_path, limits=Limits(batch_bytes_max=2_000)) as journal:
            with pytest.raises(RecordRefused, match="a batch is 2000"):
                await journal.append_all([("order.placed", TEA)] * 20)
            assert list(await journal.append_all([])) == []
            several = [("order.placed", TEA)] * 3
            return await asyncio.gather(*(journal.append_all(several) for _ in range(20)))

    told = asyncio.run(run())
    assert sorted(seq for seqs in told for seq in seqs) == [
        record.seq for record in read_journal(tmp_path).read()
    ]


def test_a_record_that_is_refused_harms_only_its_own_producer(tmp_path: Path) -> None:
    async def run() -> list[int | BaseException]:
        async with open_journal(tmp_path) as journal:
            commands = [("a.b", TEA), ("nodot", TEA), ("a.b", {"n": float("inf")}), ("a.b", TEA)]
            return await asyncio.gather(
                *(journal.append(kind, data) for kind, data in commands), return_exceptions=True
            )

    told = asyncio.run(run())
    assert [isinstance(each, RecordRefused) for each in told] == [False, True, True, False]
    assert [record.seq for record in read_journal(tmp_path).read()] == [told[0], told[3]]


def test_who_is_cancelled_takes_nobody_along(tmp_path: Path) -> None:
    files = WatchedFiles()

    async def run() -> list[int]:
        async with open_journal(tmp_path, files=files, limits=LIMITS) as journal:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(journal.append("a.b", {"n": n})) for n in range(64)]
                await asyncio.sleep(0)
                tasks[5].cancel()
            return [task.result() for task in tasks if not task.cancelled()]

    told = asyncio.run(run())
    assert len(told) == 63
    there = {record.seq: record.value["n"] for record in read_journal(tmp_path).read()}
    assert [there[seq] for seq in told] == [n for n in range(64) if n != 5]


def test_followers_on_the_loop_and_in_a_thread_hear_of_each_record_and_end_at_the_close(
    tmp_path: Path,
) -> None:
    async def collect(journal: AsyncJournal) -> list[int]:
        return [record.seq async for record in journal.follow()]

    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            collected = asyncio.create_task(collect(journal))
            threaded = asyncio.create_task(
                asyncio.to_thread(lambda: [record.seq for record in journal.follow()])
            )
            told = [await journal.append("order.placed", TEA) for _ in range(50)]
        assert await collected == told
        assert await threaded == told

    asyncio.run(run())


def test_a_follower_on_the_loop_need_not_look_to_hear_of_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ackbook.journal.reading.follow, "PAUSE_S_MIN", 3600.0)
    monkeypatch.setattr(ackbook.journal.reading.follow, "PAUSE_S_MAX", 3600.0)

    async def run() -> None:
        heard: asyncio.Queue[int] = asyncio.Queue()

        async def follow(orders: AsyncJournal) -> None:
            async for record in orders.follow():
                heard.put_nowait(record.seq)

        async with open_journal(tmp_path) as orders:
            following = asyncio.create_task(follow(orders))
            for _ in range(20):
                seq = await orders.append("order.placed", TEA)
                assert await asyncio.wait_for(heard.get(), 20) == seq
        await following

    asyncio.run(run())


def test_the_witness_of_the_last_append_is_durable_soon_without_another_one(
    tmp_path: Path,
) -> None:
    files = WatchedFiles()

    async def run() -> None:
        async with open_journal(tmp_path, files=files) as orders:
            await orders.append("order.placed", TEA)
            assert await asyncio.to_thread(files.synced_head.wait, 20)

    asyncio.run(run())


def test_a_long_past_leaves_the_loop_to_others_meanwhile(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            await journal.append_all([("order.placed", {"n": n}) for n in range(10_000)])
            turns = 0

            async def count_turns() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            other = asyncio.create_task(count_turns())
            async for record in journal.follow():
                if record.value["n"] == 9_999:
                    break
            other.cancel()
            assert turns >= 10

    asyncio.run(run())


def test_snapshots_and_compactions_take_their_turn_among_producers(tmp_path: Path) -> None:
    async def produce(journal: AsyncJournal, until: asyncio.Event) -> int:
        count = 0
        while not until.is_set():
            await journal.append("number.counted", {"n": count})
            count += 1
        return count

    async def run() -> int:
        async with open_journal(tmp_path, limits=LIMITS) as journal:
            until = asyncio.Event()
            producers = [asyncio.create_task(produce(journal, until)) for _ in range(8)]
            number = removed = 0
            async for record in journal.follow():
                number += 1
                if number % 300 == 0:
                    await journal.snapshot(number, through=record.seq)
                    removed += len((await journal.compact()).removed)
                if number >= 3_000:
                    break
            until.set()
            assert removed > 3
            return sum(await asyncio.gather(*producers))

    count = asyncio.run(run())
    with open_journal(tmp_path) as journal:
        state = journal.state()
        left = sum(1 for _ in journal.read(after=state.seq))
        assert (state.load(int) or 0) + left == count
        assert sum(1 for _ in journal.read()) == count
    assert verify(tmp_path).ok


def test_one_compaction_takes_everything_when_the_newest_snapshot_holds_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            seq = await journal.append("order.placed", TEA)
            await journal.snapshot(1, through=seq)
            assert (await journal.compact()).through > seq
            assert [record.seq for record in journal.read()] == [seq]

    asyncio.run(run())


def test_closing_waits_for_what_was_asked_for(tmp_path: Path) -> None:
    async def run() -> list[int]:
        async with open_journal(tmp_path) as journal:
            tasks = [asyncio.create_task(journal.append("a.b", {"n": n})) for n in range(10)]
            await asyncio.sleep(0)
        with pytest.raises(NotOpen, match="is closed"):
            await journal.append("a.b", TEA)
        with pytest.raises(NotOpen, match="is closed"):
            await journal.compact()
        await journal.close()
        return [task.result() for task in tasks]

    told = asyncio.run(run())
    assert [record.seq for record in read_journal(tmp_path).read()] == told


def test_closing_is_done_to_its_end_when_its_caller_is_cancelled(tmp_path: Path) -> None:
    files = WatchedFiles()

    async def run() -> None:
        async with open_journal(tmp_path, files=files) as journal:
            closing = asyncio.create_task(journal.close())
            await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing

    asyncio.run(run())
    with open_journal(tmp_path) as journal:
        assert journal.recovery.clean


def test_a_sync_that_fails_ends_the_journal_for_all(tmp_path: Path) -> None:
    files = WatchedFiles()

    async def run() -> int:
        async with open_journal(tmp_path, files=files) as journal:
            kept = await journal.append("order.placed", TEA)
            files.error = OSError(5, "Input/output error")
            told = await asyncio.gather(
                *(journal.append("order.placed", TEA) for _ in range(8)), return_exceptions=True
            )
            assert all(isinstance(each, DiskFailed) for each in told)
            files.error = None
            with pytest.raises(DiskFailed, match="failed before"):
                await journal.append("order.placed", TEA)
            assert [record.seq for record in journal.read()] == [kept]
            return kept

    kept = asyncio.run(run())
    assert next(read_journal(tmp_path).read()).seq == kept


def test_what_was_given_to_a_loop_is_not_written_by_the_way(tmp_path: Path) -> None:
    async def run() -> None:
        journal = open_journal(tmp_path)
        async with journal as on_loop:
            with pytest.raises(NotOpen, match="given to a loop"):
                journal.append("order.placed", TEA)
            journal.close()
            await on_loop.append("order.placed", TEA)

    asyncio.run(run())
    with open_journal(tmp_path) as journal:
        assert journal.recovery.clean
        assert len(list(journal.read())) == 1
