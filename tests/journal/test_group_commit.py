"""What producers that share batches can count on, beyond what one of them alone can."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ackbook.journal import (
    Appender,
    Draft,
    Limits,
    OsFiles,
    Reader,
    RecordRefused,
    open_log,
    verify,
)
from ackbook.journal.format.layout import list_directory
from ackbook.journal.format.record import encode_line, encode_lines, time_part
from ackbook.journal.storage.files import Handle

THING = Draft("thing.happened", b'{"what":"tea"}')
RUBBISH = Draft("thing.happened", b"rubbish")

drafts = st.builds(
    Draft,
    kind=st.sampled_from(["a.b", "thing.happened"]),
    data=st.sampled_from([b"{}", b'{"text":"%d and 100%"}', b'{"a":[1,2]}']),
    by=st.none() | st.just(b'{"command":"send"}'),
    cause=st.sampled_from([(), (1,), (3, 2)]),
)


@given(st.lists(drafts, max_size=8), st.integers(0, 2**32 - 1))
def test_a_batch_is_the_bytes_of_its_lines_one_by_one(batch: list[Draft], running: int) -> None:
    times, alone, sum_alone = time_part(5, 4), b"", running
    for seq, draft in enumerate(batch, start=9):
        line, sum_alone = encode_line(draft, seq, times, sum_alone)
        alone += line
    assert encode_lines(batch, 9, times, running) == (alone, sum_alone)


class WatchedFiles(OsFiles):
    """The real file system; it keeps the size of the largest write since it was last asked."""

    largest = 0

    def write(self, handle: Handle, offset: int, data: bytes) -> int:
        if data.strip(b"\n"):
            self.largest = max(self.largest, len(data))
        return super().write(handle, offset, data)


def test_no_batch_is_larger_than_its_bound_however_many_wait(tmp_path: Path) -> None:
    files = WatchedFiles()
    limits = Limits(batch_bytes_max=2_000)

    async def run() -> list[int]:
        log = open_log(tmp_path, files=files, limits=limits)
        files.largest = 0
        appender = Appender(log)
        seqs = await asyncio.gather(*[appender.append([THING, THING]) for _ in range(100)])
        assert 0 < files.largest <= limits.batch_bytes_max
        await appender.aclose()
        log.close()
        return list(seqs)

    assert asyncio.run(run()) == list(range(3, 203, 2))


def test_a_call_that_no_batch_can_hold_is_refused_and_harms_no_other(tmp_path: Path) -> None:
    async def run() -> list[int | BaseException]:
        log = open_log(tmp_path, limits=Limits(batch_bytes_max=2_000))
        appender = Appender(log)
        commands = [[THING], [THING] * 100, [THING]]
        told = await asyncio.gather(*map(appender.append, commands), return_exceptions=True)
        await appender.aclose()
        log.close()
        return list(told)

    first, refused, last = asyncio.run(run())
    assert (first, last) == (3, 4)
    assert isinstance(refused, RecordRefused)
    assert refused.reason == "too_large"


def sizes_of_unfinished(directory: Path) -> list[int]:
    names = list_directory(OsFiles(), directory).temporary
    return [path.stat().st_size for path in (directory / name for name in names) if path.exists()]


@pytest.mark.parametrize("idle", [True, False])
def test_the_next_segment_is_prepared_beside_the_batches_and_goes_with_the_log(
    tmp_path: Path, idle: bool
) -> None:
    limits = Limits(segment_bytes_max=64_000, room_bytes_min=16_000, reserve_bytes=48_000)

    async def run() -> int:
        log, prepared = open_log(tmp_path, limits=limits), 0
        for _ in range(2_000):
            assert log.offer([THING], log.now())
            await log.commit_async(idle=idle)
            prepared = max(prepared, *sizes_of_unfinished(tmp_path), 0)
        log.close()
        return prepared

    assert asyncio.run(run()) > limits.segment_bytes_max
    assert sizes_of_unfinished(tmp_path) == []
    report = verify(tmp_path)
    assert report.ok
    assert report.segments > 2


def test_each_learns_its_own_seq_when_some_are_refused(tmp_path: Path) -> None:
    async def run() -> list[int | BaseException]:
        log = open_log(tmp_path)
        appender = Appender(log)
        commands = [[THING], [RUBBISH], [THING, THING], [THING, RUBBISH], [THING]]
        told = await asyncio.gather(*map(appender.append, commands), return_exceptions=True)
        await appender.aclose()
        log.close()
        return list(told)

    told = asyncio.run(run())
    assert [each for each in told if isinstance(each, int)] == [3, 4, 6]
    assert [isinstance(each, RecordRefused) for each in told] == [False, True, False, True, False]
    assert sum(line.kind == THING.kind for line in Reader(tmp_path).lines()) == 4


def test_who_gave_up_waiting_does_not_shift_the_seqs_of_the_others(tmp_path: Path) -> None:
    async def run() -> list[int]:
        log = open_log(tmp_path)
        appender = Appender(log)
        first, given_up, last = (appender.append([THING]) for _ in range(3))
        given_up.cancel()
        seqs = [await first, await last]
        await appender.aclose()
        log.close()
        return seqs

    assert asyncio.run(run()) == [3, 5]
