"""Health: a broker that serves and is not well says so, says why, and says when it is over."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ackbook.broker.runtime.maintenance.scrub_schedule import Checker
from ackbook.broker.runtime.maintenance.snapshot_schedule import (
    SnapshotSchedule,
    SnapshotStart,
    Upkeep,
)
from ackbook.journal import Limits, verify
from ackbook.projections.facts import KINDS
from tests.support.brokers import Row, Running, idle
from tests.support.engines import Bench, play, send, working
from tests.support.histories import archives, damaged, segments
from tests.support.holders import eventually
from tests.support.machine import fill, small_disk
from tests.support.past import a_busy_day
from tests.support.shell import ackbook

SMALL = Limits(segment_bytes_max=8_192, room_bytes_min=64 * 1024, reserve_bytes=48 * 1024)
TINY = Limits(segment_bytes_max=2_048, room_bytes_min=64 * 1024, reserve_bytes=48 * 1024)
QUICKLY = Upkeep(check_s=0.02, recheck_s=0.02)


def health(broker: Running) -> Row:
    return broker.get("/health")


def codes(broker: Running) -> list[str]:
    found = health(broker)
    assert (found["status"] == "ok") == (found["reasons"] == [])
    return [reason["code"] for reason in found["reasons"]]


@contextlib.contextmanager
def old_history() -> Iterator[Running]:
    """A broker on a journal of several small segments, not started yet."""
    with idle() as broker:
        a_busy_day(broker.directory / "journal", TINY)
        assert len(segments(broker.directory / "journal")) > 3
        yield broker


# --- a disk without room


def test_a_full_disk_is_told_and_so_is_its_end_without_anybody_sending() -> None:
    with idle({"queue_length_max": 10_000}) as broker, small_disk(broker) as ballast:
        broker.start()
        broker.spawn("cat", "cat")
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
        assert codes(broker) == []
        fill(ballast)
        while broker.http.post("/api/send", json={"to": "cat", "text": "x" * 9_000}).is_success:
            pass
        assert codes(broker) == ["journal_full"]
        [reason] = health(broker)["reasons"]
        assert str(broker.directory / "journal") in reason["what"]
        assert "free some space" in reason["next"]
        listed = ackbook("ls", "--dir", broker.directory, cwd=Path("/"))
        assert listed.code == 0
        assert "degraded" in listed.err
        assert reason["what"] in listed.err
        ballast.unlink()
        eventually(lambda: codes(broker) == [], "it is well by itself")
        assert "degraded" not in ackbook("ls", "--dir", broker.directory, cwd=Path("/")).err
        broker.send("cat", "again")


def test_a_snapshot_that_cannot_be_made_is_told_until_one_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path, SMALL) as bench:
            await bench.agent(ready=False)
            snapshots = SnapshotSchedule(
                bench.engine, bench.log, SnapshotStart(), Upkeep(snapshot_records=1)
            )
            life = asyncio.create_task(snapshots.run())
            with damaged(bench.directory / segments(bench.directory)[0], 100):
                await bench.seen.wait_for("upkeep.failed")
                assert snapshots.failed
            life.cancel()
            await snapshots.make()
            assert snapshots.failed == ""

    play(story())


# --- older history


def test_a_byte_of_an_older_segment_that_rots_is_told_and_never_repaired() -> None:
    with old_history() as broker:
        journal = broker.directory / "journal"
        broker.start("--check", "0.05")
        older = segments(journal)[1]
        before = (journal / older).read_bytes()
        with damaged(journal / older, 900):
            rotten = (journal / older).read_bytes()
            eventually(lambda: codes(broker) == ["history_damaged"], "it is found")
            [reason] = health(broker)["reasons"]
            assert older in reason["what"]
            assert "byte" in reason["what"]
            assert reason["next"].startswith("ackbook salvage")
            eventually(lambda: bool(broker.kinds("upkeep.failed")), "it is recorded")
            assert older in broker.kinds("upkeep.failed")[0]["error"]
            assert "older history is damaged" in broker.stderr()
            assert broker.send("bob", "it serves all the same")["success"]
            assert (journal / older).read_bytes() == rotten
        eventually(lambda: codes(broker) == [], "it was brought back, and is well by itself")
        assert (journal / older).read_bytes() == before
        assert len(broker.kinds("upkeep.failed")) == 1, "told once"
        assert broker.stop() == 0
        assert broker.verified()


def test_an_archive_that_rots_or_goes_is_told() -> None:
    with old_history() as broker:
        journal = broker.directory / "journal"
        assert ackbook("compact", "--dir", broker.directory, cwd=Path("/")).code == 0
        broker.start("--check", "0.05")
        path = journal / "archive" / archives(journal)[1]
        with damaged(path, path.stat().st_size // 2):
            eventually(lambda: codes(broker) == ["history_damaged"], "it is found")
            assert path.name in health(broker)["reasons"][0]["what"]
        eventually(lambda: codes(broker) == [], "it was brought back")
        content = path.read_bytes()
        path.unlink()
        eventually(lambda: codes(broker) == ["history_damaged"], "it is missed")
        assert "were archived and are not there" in health(broker)["reasons"][0]["what"]
        path.write_bytes(content)
        eventually(lambda: codes(broker) == [], "it was brought back")
        assert broker.stop() == 0


def test_a_name_that_stands_for_something_else_is_told_while_a_broker_runs() -> None:
    with old_history() as broker:
        strange = broker.directory / "journal" / "snapshot-00000000000000000004.jsonl"
        broker.start("--check", "0.05")
        os.mkfifo(strange)
        eventually(lambda: codes(broker) == ["history_damaged"], "it is found")
        assert strange.name in health(broker)["reasons"][0]["what"]
        strange.unlink()
        eventually(lambda: codes(broker) == [], "it is gone")
        assert broker.stop() == 0


# --- how it goes about it


@contextlib.asynccontextmanager
async def checking(bench: Bench) -> AsyncIterator[Checker]:
    """The life of a checker for the length of the block."""
    checker = Checker(bench.engine, bench.log, QUICKLY)
    life = asyncio.create_task(checker.run())
    try:
        yield checker
    finally:
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life


async def fill_segments(bench: Bench) -> None:
    await bench.agent(ready=False)
    for _ in range(4):
        await asyncio.gather(*(bench.engine.carry(send(f"message {n}")) for n in range(20)))


async def found(checker: Checker, count: int) -> None:
    """Until so many files are known to be damaged."""
    await asyncio.to_thread(eventually, lambda: len(checker.wrong) >= count, "it is found")


def test_every_older_file_gets_its_turn_again_and_again_and_is_told_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path, SMALL) as bench:
            await fill_segments(bench)
            *others, last = segments(bench.directory)[:-1]
            assert others
            with contextlib.ExitStack() as spoilt:
                for name in others:
                    spoilt.enter_context(damaged(bench.directory / name, 500))
                async with checking(bench) as checker:
                    with damaged(bench.directory / last, 500):
                        await found(checker, len(others) + 1)
                    # Its turn comes after that of the others, each time.
                    await asyncio.to_thread(
                        eventually, lambda: len(checker.wrong) == len(others), "it is looked at"
                    )
                    assert {damage.file for damage in checker.wrong} == set(others)
                    assert bench.seen.kinds.count("upkeep.failed") == len(others) + 1
        assert verify(tmp_path / "journal", kinds=KINDS, full=True).ok

    play(story())


def test_a_busy_broker_puts_its_checks_off_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ackbook.broker.runtime.maintenance.scrub_schedule.BUSY_RECORDS_MIN", -1)

    async def story() -> None:
        async with working(tmp_path, SMALL) as bench:
            await fill_segments(bench)
            with damaged(bench.directory / segments(bench.directory)[0], 500):
                async with checking(bench) as checker:
                    for _ in range(50):
                        await bench.engine.carry(send("busy"))
                        await asyncio.sleep(0.01)
                    assert checker.wrong == ()
                    monkeypatch.setattr(
                        "ackbook.broker.runtime.maintenance.scrub_schedule.DELAY_S_MAX", 0.0
                    )
                    await found(checker, 1)

    play(story())
