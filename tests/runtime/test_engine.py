"""The engine against a real journal: what it promises about the moment of visibility."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from ackbook.broker.core.commands import (
    Accepted,
    Refused,
    Sent,
    SetMode,
    StartBroker,
    StopBroker,
    Verdict,
)
from ackbook.broker.history.journal_entries import entries
from ackbook.broker.runtime.engine.inbox import OutcomeUnknown, Stopped
from ackbook.journal import DiskFailed, Limits, Reader, RecordRefused, verify
from ackbook.projections.codec import kind_of
from ackbook.projections.facts import AgentName
from ackbook.projections.world.fold import World, fold, next_deadline
from tests.support.engines import DEADLINE_S, Bench, condition, play, send, working
from tests.support.holders import eventually


def answers(verdicts: list[Verdict]) -> list[int]:
    """The seqs of accepted messages."""
    found = []
    for verdict in verdicts:
        assert isinstance(verdict, Accepted)
        assert isinstance(verdict.answer, Sent)
        found.append(verdict.answer.seq)
    return found


def test_what_waits_together_has_one_time_and_one_sync(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path) as bench:
            await bench.agent(ready=False)
            before = bench.log.statistics().batches
            verdicts = await asyncio.gather(*(bench.engine.carry(send(str(n))) for n in range(20)))
            assert bench.log.statistics().batches == before + 1
            seqs = answers(list(verdicts))
            assert seqs == sorted(seqs), "in the order in which they were posted"
            assert len({entry.at for entry in bench.seen.batches[-1]}) == 1
            assert bench.seen.kinds.count("message.enqueued") == 20

    play(story())


def test_nothing_is_visible_before_the_sync_has_returned(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path) as bench:
            await bench.agent(ready=False)
            durable = bench.log.head.seq
            told = len(bench.seen.batches)
            bench.disk.gate.clear()
            posted = [bench.engine.post(send(f"secret {n}")) for n in range(2)]
            await asyncio.to_thread(bench.disk.waiting.wait, DEADLINE_S)
            asked = asyncio.create_task(bench.engine.ask(lambda world, at: world.seq))
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert not any(future.done() for future in posted)
            assert not asked.done()
            assert len(bench.seen.batches) == told
            assert Reader(bench.directory).head() == durable
            bench.disk.gate.set()
            await asyncio.gather(*posted)
            assert await asked == bench.log.head.seq
            assert len(bench.seen.batches) == told + 1
            assert Reader(bench.directory).head() == bench.log.head.seq > durable

    play(story())


def test_no_other_command_comes_between_those_of_one_caller(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path) as bench:
            await bench.agent(ready=False)
            groups = [
                bench.engine.post(*(send(f"group {g} part {p}") for p in range(5)))
                for g in range(10)
            ]
            seqs = [seq for group in groups for seq in answers(list(await group))]
            assert seqs == sorted(seqs)

    play(story())


def test_a_full_disk_refuses_messages_and_keeps_reports_until_there_is_room(tmp_path: Path) -> None:
    async def story() -> None:
        limits = Limits(room_bytes_min=64 * 1024, room_bytes_max=64 * 1024)
        async with working(tmp_path, limits) as bench:
            await bench.agent(ready=False)
            bench.disk.full = True
            verdict: Verdict = Accepted()
            while isinstance(verdict, Accepted):
                verdict = await bench.engine.carry(send("x" * 2_000))
            assert verdict.reason == "journal_full"
            mode = SetMode(name=AgentName("cat"), mode="manual_flush")
            reports = []
            while not reports or reports[-1].done():
                reports.append(bench.engine.post(mode, condition("cat")))
                mode = msgspec.structs.replace(
                    mode, mode="auto_inject" if mode.mode == "manual_flush" else "manual_flush"
                )
                refused = await bench.engine.carry(send("x" * 2_000))
                assert isinstance(refused, Refused), "a message does not wait for room"
            reports.append(bench.engine.post(mode))
            assert isinstance(await bench.engine.carry(send("x" * 2_000)), Refused)
            assert not reports[-1].done(), "essential commands keep their order"
            bench.disk.full = False
            async with asyncio.timeout(DEADLINE_S):
                for report in reports:
                    assert all(isinstance(v, Accepted) for v in await report)
                assert isinstance(await bench.engine.carry(send("z")), Accepted)
        assert verify(bench.directory).ok

    play(story())


def test_what_does_not_fit_into_the_room_that_is_there_waits_for_the_next_batch(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        room = 128 * 1024
        limits = Limits(room_bytes_min=room, room_bytes_max=room, batch_bytes_max=64 * 1024)
        async with working(tmp_path, limits) as bench:
            await bench.agent(ready=False)
            before = bench.log.statistics()
            posted = [bench.engine.post(send(f"{n} " + "x" * 2_000)) for n in range(100)]
            seqs = [seq for each in posted for seq in answers(list(await each))]
            after = bench.log.statistics()
        assert seqs == sorted(seqs)
        batches = after.batches - before.batches
        written = after.written_bytes - before.written_bytes
        assert written / (64 * 1024) < batches < len(posted) / 2
        assert max(len(b) for b in bench.seen.batches) * 2_000 < limits.batch_bytes_max
        assert verify(bench.directory).ok

    play(story())


def test_a_record_that_the_journal_refuses_ends_the_engine_and_is_never_answered(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, None, ())
        running = asyncio.create_task(bench.engine.run())
        await bench.start()
        await bench.agent(ready=False)
        told, durable = len(bench.seen.batches), bench.log.head.seq
        broken = msgspec.structs.replace(send("broken"), data=msgspec.Raw(b'{"a":\n1}'))
        posted = [bench.engine.post(each) for each in (send("before"), broken, send("behind"))]
        with pytest.raises(RecordRefused):
            await running
        for future in posted:
            with pytest.raises(OutcomeUnknown):
                await future
        with pytest.raises(OutcomeUnknown):
            await bench.engine.ask(lambda world, at: world.seq)
        with pytest.raises(Stopped):
            bench.engine.post(send("late"))
        assert len(bench.seen.batches) == told
        bench.log.close()
        assert Reader(bench.directory).head() == durable + 1, "nothing but the close"

    play(story())


def test_a_failed_sync_tells_every_waiter_that_nobody_knows(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, None, ())
        running = asyncio.create_task(bench.engine.run())
        await bench.start()
        await bench.agent(ready=False)
        told = len(bench.seen.batches)
        bench.disk.gate.clear()
        in_batch = [bench.engine.post(send(f"{n}")) for n in range(2)]
        await asyncio.to_thread(bench.disk.waiting.wait, DEADLINE_S)
        behind = bench.engine.post(send("behind"))
        asked = asyncio.create_task(bench.engine.ask(lambda world, at: world.seq))
        await asyncio.sleep(0)
        bench.disk.dying = True
        bench.disk.gate.set()
        with pytest.raises(DiskFailed):
            await running
        for future in (*in_batch, behind):
            with pytest.raises(OutcomeUnknown):
                await future
        with pytest.raises(OutcomeUnknown):
            await asked
        with pytest.raises(OutcomeUnknown):
            await bench.engine.ask(lambda world, at: world.seq)
        with pytest.raises(Stopped):
            bench.engine.post(send("late"))
        assert len(bench.seen.batches) == told
        bench.disk.dying = False
        bench.log.close()

    play(story())


def test_a_waiter_that_gives_up_does_not_take_its_wish_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path) as bench:
            await bench.agent(ready=False)
            bench.disk.gate.clear()
            tasks = [asyncio.create_task(bench.engine.carry(send(f"{n}"))) for n in range(2)]
            await asyncio.to_thread(bench.disk.waiting.wait, DEADLINE_S)
            tasks[0].cancel()
            bench.disk.gate.set()
            await tasks[1]
            assert tasks[0].cancelled()
            assert bench.seen.kinds.count("message.enqueued") == 2

    play(story())


def test_records_of_the_journal_itself_keep_their_turn(tmp_path: Path) -> None:
    async def story() -> None:
        limits = Limits(segment_bytes_max=32 * 1024)
        async with working(tmp_path, limits) as bench:
            await bench.agent(ready=False)
            for number in range(150):
                await bench.engine.carry(send(f"{number} " + "x" * 1_000))
            assert bench.log.statistics().segments > 2
            assert bench.world.seq == bench.log.head.seq
        assert verify(bench.directory).ok
        world = World()
        for entry in entries(bench.directory, 0):
            fold(world, entry)
        world.check()
        assert len(world.deliveries) == 150

    play(story())


def test_deadlines_are_met_without_a_command(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path) as bench:
            await bench.agent(ready=False)
            await bench.engine.carry(msgspec.structs.replace(send("soon gone"), ttl_ms=30))
            await bench.seen.wait_for("delivery.expired")

    play(story())


def test_a_start_comes_before_every_deadline_that_passed_meanwhile(tmp_path: Path) -> None:
    async def before() -> None:
        async with working(tmp_path) as bench:
            await bench.agent(ready=False)
            await bench.engine.carry(msgspec.structs.replace(send("late"), ttl_ms=500))

    async def after(bench: Bench) -> None:
        running = asyncio.create_task(bench.engine.run())
        await bench.start()
        await bench.seen.wait_for("delivery.expired")
        bench.engine.stop()
        await running
        bench.log.close()

    asyncio.run(before())
    bench = Bench(tmp_path, None, ())
    head, bench.world.seq, bench.world.at = bench.world.seq, 0, 0
    for entry in entries(bench.directory, 0):
        fold(bench.world, entry)
    assert bench.world.seq == head
    due = next_deadline(bench.world)
    assert due is not None
    eventually(lambda: bench.log.now() > due, "the deadline has passed")
    asyncio.run(after(bench))
    assert bench.seen.kinds[0] == "broker.started"


def test_what_waits_at_the_end_is_still_carried_out(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, None, ())
        running = asyncio.create_task(bench.engine.run())
        await bench.start()
        await bench.agent(ready=False)
        posted = [bench.engine.post(send(f"{n}")) for n in range(5)]
        last = bench.engine.post(StopBroker(reason="test"))
        bench.engine.stop()
        await asyncio.gather(*posted, last)
        await running
        assert bench.seen.kinds[-1] == "broker.stopped"
        bench.log.close()

    play(story())


def test_the_first_record_of_a_decision_says_by_which_command(tmp_path: Path) -> None:
    async def story() -> None:
        async with working(tmp_path) as bench:
            await bench.agent()
            await bench.engine.carry(send("x"))
        history = [e for e in entries(bench.directory, 0) if not kind_of(e).startswith("journal.")]
        assert [bool(bytes(e.by)) for e in history if kind_of(e) == "delivery.attempted"] == [False]
        assert all(bytes(e.by) for e in history if kind_of(e) == "message.enqueued")
        first = msgspec.json.decode(bytes(history[0].by), type=StartBroker)
        assert first.epoch == bench.log.epoch

    play(story())
