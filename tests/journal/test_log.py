"""The log as its callers see it: turns, room, rolls, epochs, time, and many producers at once."""

import asyncio
import json
import shutil
import threading
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from ackbook.journal import (
    Appender,
    DiskFailed,
    Draft,
    Limits,
    Log,
    Poisoned,
    Reader,
    RecordRefused,
    open_log,
    verify,
)
from ackbook.journal.format.head import read_head
from ackbook.journal.storage.files import Handle, OsFiles
from tests.support.disk import SimulatedClock, SimulatedDisk

SIM = Path("/sim/journal")
SMALL = Limits(segment_bytes_max=3000, room_bytes_min=3000, reserve_bytes=4000, control_bytes=1500)
THING = Draft("thing.happened", b'{"n":1}')


def put(log: Log, draft: Draft = THING, count: int = 1) -> int:
    """Append one batch; the seq of its first record."""
    first = log.next_seq
    for _ in range(count):
        assert log.secure(log.measure(draft))
        log.stage([draft], log.now(), expect=log.next_seq)
    log.commit()
    return first


class SlowFiles(OsFiles):
    """A disk whose syncs wait until they are let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.syncs = 0

    def sync(self, handle: Handle) -> None:
        self.syncs += 1
        assert self.go.wait(150)
        super().sync(handle)


def test_a_position_names_the_last_durable_line(tmp_path: Path) -> None:
    log = open_log(tmp_path, new_id="5eed")
    assert (log.journal_id, log.epoch, log.head.seq, log.next_seq) == ("5eed", 1, 2, 3)
    assert put(log, count=3) == 3
    last = list(Reader(tmp_path).lines())[-1]
    assert (log.head.seq, log.head.at, log.head.crc) == (last.seq, last.at, last.crc)
    log.close()


def test_d_is_the_last_seq_of_the_batch_before(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    put(log, count=3)
    put(log, count=2)
    assert [line.d for line in Reader(tmp_path).lines(after=2)] == [2, 2, 2, 5, 5]
    log.close()


def test_nothing_is_staged_when_one_of_several_is_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    bad = Draft("thing.happened", b'{"n":NaN}')
    assert log.secure(log.measure(THING) + log.measure(bad))
    with pytest.raises(RecordRefused):
        log.stage([THING, bad], log.now(), expect=log.next_seq)
    with pytest.raises(RecordRefused, match="is next") as caught:
        log.stage([THING], log.now(), expect=log.next_seq + 1)
    assert caught.value.reason == "out_of_turn"
    with pytest.raises(RecordRefused) as caught:
        log.stage([THING], log.head.at - 1, expect=log.next_seq)
    assert caught.value.reason == "bad_time"
    assert log.staged == 0
    assert put(log) == 3
    log.close()
    assert verify(tmp_path).ok


def test_room_is_asked_for_before_and_a_batch_has_a_maximum(tmp_path: Path) -> None:
    log = open_log(tmp_path, limits=Limits(batch_bytes_max=1000))
    assert log.secure(300)
    log.stage([THING], log.now(), expect=log.next_seq)
    assert not log.secure(950)
    log.commit()
    assert log.secure(950)
    log.close()


def test_a_line_of_the_maximum_fits(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    limits = Limits()
    pad = b"x" * (limits.line_bytes_max - log.measure(THING) - 20)
    put(log, Draft("thing.happened", b'{"pad":"%b"}' % pad))
    log.close()
    assert verify(tmp_path).ok
    assert len(list(Reader(tmp_path).lines())[2].raw) > limits.line_bytes_max - 200


def test_a_segment_rolls_and_the_chain_can_be_checked_by_hand(tmp_path: Path) -> None:
    log = open_log(tmp_path, limits=SMALL)
    for _ in range(40):
        put(log, count=3)
    log.close()
    paths = sorted(tmp_path.glob("*.jsonl"))
    assert len(paths) > 3
    for before, after in pairwise(paths):
        lines = before.read_bytes().splitlines(keepends=True)
        seal, first = json.loads(lines[-1]), json.loads(after.read_bytes().split(b"\n")[0])
        assert seal["kind"] == "journal.sealed"
        assert seal["data"]["count"] == len(lines) - 1
        assert seal["data"]["bytes"] == sum(map(len, lines[:-1]))
        assert seal["data"]["sha256"] == sha256(b"".join(lines[:-1])).hexdigest()
        assert first["data"]["previous_sha256"] == sha256(before.read_bytes()).hexdigest()
        assert first["data"]["previous_crc"] == seal["crc"]
        assert first["seq"] == int(after.stem) == seal["seq"] + 1
    assert verify(tmp_path).segments == len(paths)


def test_an_old_segment_rolls_too() -> None:
    clock = SimulatedClock()
    log = open_log(SIM, files=SimulatedDisk(), clock=clock, limits=SMALL)
    put(log)
    assert log.statistics().segments == 1
    clock.advance(25 * 3600 * 1_000_000)
    put(log)
    assert log.statistics().segments == 2
    log.close()


def test_the_log_continues_where_it_ended_with_a_higher_epoch(tmp_path: Path) -> None:
    for epoch in range(1, 6):
        log = open_log(tmp_path, limits=SMALL)
        assert log.epoch == epoch
        put(log, count=8)
        log.close()
        log.close()
    assert [line.seq for line in Reader(tmp_path).lines()] == list(range(1, log.head.seq + 1))


def test_what_was_staged_and_not_committed_is_dropped_by_a_close(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    assert log.secure(log.measure(THING))
    log.stage([THING], log.now(), expect=log.next_seq)
    log.close()
    assert [line.kind for line in Reader(tmp_path).lines()][2:] == ["journal.closed"]
    assert verify(tmp_path).ok


def test_time_neither_leaps_nor_goes_back_when_the_wall_clock_does() -> None:
    disk, clock = SimulatedDisk(), SimulatedClock()
    log = open_log(SIM, files=disk, clock=clock)
    before = log.now()
    clock.jump(-7_200_000_000)
    assert 0 < log.now() - before < 1_000_000
    put(log)
    log.close()
    log = open_log(SIM, files=disk, clock=clock)
    assert log.now() >= log.head.at > before
    opened = [line for line in Reader(SIM, files=disk).lines() if line.kind == "journal.opened"]
    assert json.loads(opened[-1].data)["wall"] < before
    clock.jump(14_400_000_000)
    log.close()
    log = open_log(SIM, files=disk, clock=clock)
    assert abs(log.now() - clock.wall()) < 1_000_000
    log.close()


def test_a_failed_sync_ends_the_log() -> None:
    disk = SimulatedDisk()
    log = open_log(SIM, files=disk)
    assert log.secure(log.measure(THING))
    log.stage([THING], log.now(), expect=log.next_seq)
    disk.fail_in(2)
    with pytest.raises(DiskFailed, match="outcome of the batch is unknown"):
        log.commit()
    assert log.poisoned
    for attempt in (log.commit, log.sync_head, lambda: log.secure(10)):
        with pytest.raises(Poisoned):
            attempt()
    calls = disk.calls
    log.close()
    assert disk.calls == calls, "a poisoned log writes nothing any more"


def test_a_commit_that_is_interrupted_poisons() -> None:
    disk = SimulatedDisk()
    log = open_log(SIM, files=disk, clock=SimulatedClock())

    def interrupt() -> None:
        raise KeyboardInterrupt

    disk.before_sync = interrupt
    with pytest.raises(KeyboardInterrupt):
        put(log)
    assert log.poisoned
    with pytest.raises(Poisoned):
        log.secure(10)


def test_one_write_and_one_sync_make_a_batch() -> None:
    disk = SimulatedDisk()
    log = open_log(SIM, files=disk, clock=SimulatedClock(), limits=Limits(head_age_us_max=10**9))
    calls = disk.calls
    put(log, count=50)
    assert disk.calls - calls == 3, "the batch, its sync, HEAD"
    log.close()


def test_head_is_synced_within_a_second_of_writing_or_when_asked() -> None:
    disk, clock = SimulatedDisk(), SimulatedClock()
    log = open_log(SIM, files=disk, clock=clock)
    put(log)
    log.sync_head()
    clock.advance(1_000_000)
    put(log)
    disk.reboot("power")
    assert read_head(disk, SIM).seq == log.head.seq


def test_many_producers_share_syncs_and_keep_their_order(tmp_path: Path) -> None:
    files = SlowFiles()

    async def run() -> list[list[int]]:
        log = open_log(tmp_path, files=files)
        appender = Appender(log)
        before = files.syncs

        async def produce(name: int) -> list[int]:
            drafts = [Draft("thing.happened", b'{"who":%d}' % name)]
            return [await appender.append(drafts) for _ in range(20)]

        seqs = await asyncio.gather(*[produce(name) for name in range(16)])
        assert files.syncs - before < 16 * 20 / 4
        await appender.aclose()
        log.close()
        return list(seqs)

    seqs = asyncio.run(run())
    assert sorted(seq for each in seqs for seq in each) == list(range(3, 323))
    for name, mine in enumerate(seqs):
        assert mine == sorted(mine)
        lines = {line.seq: line for line in Reader(tmp_path).lines()}
        assert all(json.loads(lines[seq].data) == {"who": name} for seq in mine)


def test_a_refused_record_harms_only_its_producer(tmp_path: Path) -> None:
    async def run() -> None:
        log = open_log(tmp_path)
        appender = Appender(log)
        results = await asyncio.gather(
            appender.append([THING]),
            appender.append([Draft("thing.happened", b"rubbish")]),
            appender.append([THING, THING]),
            return_exceptions=True,
        )
        assert results[0] == 3
        assert isinstance(results[1], RecordRefused)
        assert results[2] == 4
        await appender.aclose()
        log.close()

    asyncio.run(run())


def test_a_failed_sync_tells_every_producer() -> None:
    async def run() -> None:
        disk = SimulatedDisk()
        log = open_log(SIM, files=disk)
        appender = Appender(log)
        disk.fail_in(2)
        results = await asyncio.gather(
            *[appender.append([THING]) for _ in range(5)], return_exceptions=True
        )
        assert all(isinstance(result, DiskFailed) for result in results)
        with pytest.raises(Poisoned):
            await appender.append([THING])
        log.close()

    asyncio.run(run())


def test_a_cancelled_waiter_does_not_cancel_the_commit(tmp_path: Path) -> None:
    files = SlowFiles()

    async def run() -> None:
        log = open_log(tmp_path, files=files)
        assert log.secure(log.measure(THING))
        log.stage([THING], log.now(), expect=log.next_seq)
        files.go.clear()
        waiter = asyncio.ensure_future(log.commit_async(idle=False))
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        files.go.set()
        log.close()

    asyncio.run(run())
    assert [line.kind for line in Reader(tmp_path).lines()][2:] == [
        "thing.happened",
        "journal.closed",
    ]


def test_a_loop_is_not_blocked_when_something_else_waits(tmp_path: Path) -> None:
    files = SlowFiles()

    async def run() -> None:
        log = open_log(tmp_path, files=files)
        assert log.secure(log.measure(THING))
        log.stage([THING], log.now(), expect=log.next_seq)
        files.go.clear()
        commit = asyncio.ensure_future(log.commit_async(idle=False))
        await asyncio.sleep(0)
        assert not commit.done(), "the loop goes on while the disk is at work"
        files.go.set()
        position = await commit
        assert position.seq == log.head.seq == 3
        log.close()

    asyncio.run(run())


def test_a_copy_of_a_living_directory_can_be_read(tmp_path: Path) -> None:
    log = open_log(tmp_path / "a", limits=SMALL)
    for _ in range(20):
        put(log, count=3)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert Reader(tmp_path / "b").head() == log.head.seq
    log.close()
