"""Compaction of a journal under a broker and without one: what goes, and that no answer is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ackbook.broker.runtime.maintenance.compaction_schedule import CompactionRequest, Compactor, Run
from ackbook.broker.runtime.maintenance.snapshot_schedule import (
    SnapshotSchedule,
    SnapshotStart,
    Upkeep,
)
from ackbook.broker.wire.retention import parse_retention
from ackbook.journal import FOREVER, Limits, Reader, Retention, verify
from ackbook.projections.facts import KINDS
from ackbook.projections.world.serialization import dump
from tests.support.brokers import Row, Running, idle, running
from tests.support.engines import Bench, play, send, working
from tests.support.histories import archives, damaged, replayed, segments, snapshots_of, started
from tests.support.holders import ROOT, eventually
from tests.support.past import a_busy_day

SMALL = Limits(segment_bytes_max=8_192, room_bytes_min=64 * 1024, reserve_bytes=48 * 1024)
"""A segment rolls after two dozen records."""


def raw(journal: Path) -> list[bytes]:
    return [line.raw for line in Reader(journal).lines()]


async def fill(bench: Bench, batches: int) -> None:
    for _ in range(batches):
        await asyncio.gather(*(bench.engine.carry(send(f"message {n}")) for n in range(20)))


def compactor_of(bench: Bench, upkeep: Upkeep = Upkeep()) -> Compactor:  # noqa: B008
    snapshots = SnapshotSchedule(bench.engine, bench.log, SnapshotStart(), upkeep)
    return Compactor(bench.engine, bench.log, snapshots, upkeep)


@contextlib.asynccontextmanager
async def at_work(compactor: Compactor) -> AsyncIterator[Compactor]:
    """The life of a compactor for the length of the block."""
    life = asyncio.create_task(compactor.run())
    try:
        yield compactor
    finally:
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life


async def over(run: Run) -> Run:
    async with asyncio.timeout(60):
        await run.over.wait()
    return run


# --- beside the engine


def test_a_compaction_leaves_one_segment_and_every_record(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path, SMALL) as bench:
            await bench.agent(ready=False)
            await fill(bench, 8)
            before, names = raw(bench.directory), segments(bench.directory)
            assert len(names) > 3
            async with at_work(compactor_of(bench)) as compactor:
                run = await over(compactor.begin(CompactionRequest()))
                assert run.report is not None, run.failed
                assert set(run.report.removed) >= set(names[:-1])
                assert run.done == run.total == len(run.report.removed) == len(run.report.archived)
                assert archives(bench.directory) == sorted(run.report.archived)
                assert len(segments(bench.directory)) == 1
                assert raw(bench.directory)[: len(before)] == before
                await fill(bench, 1)
                world = list(dump(started(bench.directory, bench.log.head.seq)))
                assert world == list(dump(replayed(bench.directory, bench.log.head.seq)))
                assert world == list(dump(bench.world))
        assert verify(tmp_path / "journal", kinds=KINDS, full=True).ok

    play(story())


def test_appends_go_on_while_history_is_packed(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path, SMALL) as bench:
            await bench.agent(ready=False)
            await fill(bench, 4)
            async with at_work(compactor_of(bench)) as compactor:
                run, meanwhile = compactor.begin(CompactionRequest()), 0
                while not run.over.is_set():
                    await bench.engine.carry(send("meanwhile"))
                    meanwhile += not run.over.is_set()
                assert run.report is not None, run.failed
                assert meanwhile > 0

    play(story())


def test_too_much_in_sealed_segments_is_compacted_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ackbook.broker.runtime.maintenance.compaction_schedule.LOOK_S", 0.05)

    async def story() -> None:
        async with working(tmp_path, SMALL) as bench:
            await bench.agent(ready=False)
            upkeep = Upkeep(sealed_bytes_max=16_000)
            snapshots = SnapshotSchedule(bench.engine, bench.log, SnapshotStart(), upkeep)
            async with at_work(Compactor(bench.engine, bench.log, snapshots, upkeep)):
                await fill(bench, 4)
                await snapshots.make()
                await fill(bench, 1)
                await snapshots.make()

                def some() -> bool:
                    return bool(archives(bench.directory))

                await asyncio.to_thread(eventually, some, "something was compacted")
                newest = snapshots_of(bench.directory)
                assert int(segments(bench.directory)[0].split(".")[0]) <= newest[0].seq + 1

    play(story())


def test_a_compaction_that_fails_ends_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path, SMALL) as bench:
            await bench.agent(ready=False)
            await fill(bench, 4)
            async with at_work(compactor_of(bench)) as compactor:
                names = segments(bench.directory)
                with damaged(bench.directory / names[1], 1_000):
                    failed = await over(compactor.begin(CompactionRequest()))
                    assert names[1] in failed.failed
                    assert failed.report is None
                    await bench.seen.wait_for("upkeep.failed")
                    assert set(names) <= set(segments(bench.directory))
                    await fill(bench, 1)
                run = await over(compactor.begin(CompactionRequest()))
                assert run.report is not None, run.failed
                assert len(segments(bench.directory)) == 1

    play(story())


def test_an_audit_trail_that_nobody_wants_is_forgotten_and_the_state_is_not(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path, SMALL) as bench:
            await bench.agent(ready=False)
            await fill(bench, 4)
            async with at_work(compactor_of(bench)) as compactor:
                run = await over(compactor.begin(CompactionRequest(Retention(bytes_max=0))))
                assert run.report is not None, run.failed
                assert archives(bench.directory) == []
                reader = Reader(bench.directory)
                assert reader.first_seq == run.report.through + 1
                assert list(dump(started(bench.directory, bench.log.head.seq))) == list(
                    dump(bench.world)
                )

    play(story())


# --- through a broker, and without one


def test_a_running_broker_compacts_and_still_knows_why() -> None:
    with running() as broker:
        broker.spawn("cat", "cat")
        delivery = broker.deliver("cat", "long ago", idempotency_key="k")
        park(broker, 40)
        told, before = broker.get(f"/api/why/{delivery['delivery_id']}"), broker.records()
        foretold = ackbook(broker, "compact", "--dry-run")
        assert segments(broker.directory / "journal") == foretold["removed"]
        report = ackbook(broker, "compact")
        assert report["removed"] == foretold["removed"]
        assert len(archives(broker.directory / "journal")) == len(report["archived"]) == 1
        assert broker.records()[: len(before)] == before
        assert broker.get(f"/api/why/{delivery['delivery_id']}") == told
        broker.kill()
        broker.start()
        again = broker.send("cat", "long ago", idempotency_key="k")
        assert again["repeated"]
        assert broker.post("/api/spawned/cat/flush")["flushed"] == 40
        assert broker.get(f"/api/why/{delivery['delivery_id']}") == told
        assert broker.stop() == 0
        assert broker.verified()


def test_a_broker_compacts_by_itself() -> None:
    with running(None, "--every", "30", "--sealed", "0") as broker:
        journal = broker.directory / "journal"
        park(broker, 40)
        ackbook(broker, "compact")
        eventually(lambda: len(snapshots_of(journal)) == 2, "there are two snapshots")
        assert broker.stop() == 0
        assert broker.verified()


def test_a_request_that_makes_no_sense_is_refused() -> None:
    with running() as broker:
        answer = broker.http.post("/api/compact", json={"keep_audit": "a while"})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert broker.http.get("/api/compact", params={"run": 7}).status_code == 404


def test_offline_tools_tell_the_same_after_a_compaction(tmp_path: Path) -> None:
    ids = a_busy_day(tmp_path / "journal")
    with idle() as other:
        other.directory = tmp_path
        asked = [
            ["why", ids["arrived"], "--json"],
            ["events", "--json"],
            ["cat", "--to", "20", "--json"],
            ["replay", "--to", "20", "--json"],
        ]
        before = [output(other, *words) for words in asked]
        pending = json.loads(output(other, "replay", "--json"))["pending"]
        report = ackbook(other, "compact")
        assert report["removed"]
        assert [output(other, *words) for words in asked] == before
        assert json.loads(output(other, "verify", "--json"))["ok"]
        assert ackbook(other, "compact")["removed"] == [], "one run suffices"
        assert ackbook(other, "compact", "--keep-audit", "none")["forgotten"]
        assert archives(tmp_path / "journal") == []
        assert json.loads(output(other, "verify", "--json"))["ok"]
        now = json.loads(output(other, "replay", "--json"))
        assert now["pending"] == pending, "the state needs no archive"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("forever", FOREVER),
        ("none", Retention(bytes_max=0)),
        ("30d", Retention(age_s_max=30 * 86_400)),
        ("10 GB", Retention(bytes_max=10**10)),
        ("12h", Retention(age_s_max=43_200)),
        ("", None),
        ("10", None),
        ("-3d", None),
        ("ten years", None),
    ],
)
def test_a_retention_is_an_age_a_size_or_a_word(said: str, meant: Retention | None) -> None:
    assert parse_retention(said) == meant


def park(broker: Running, count: int) -> None:
    """Messages that wait for a flush, with enough text for a segment worth its archive."""
    if not broker.get("/api/spawned")["agents"]:
        broker.spawn("cat", "cat")
    broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
    for number in range(count):
        broker.send("cat", f"parked {number} " + "x" * 600)


def output(broker: Running, *words: str) -> str:
    """What a command says on standard output when it succeeds."""
    command = [sys.executable, "-m", "ackbook", *words, "--dir", str(broker.directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ackbook(broker: Running, *words: str) -> Row:
    row: Row = json.loads(output(broker, *words, "--json"))
    return row
