"""The two loops that everything is held against: a bare one, and the journal with producers.

The bare loop writes full batches, one record a producer, and calls fdatasync after each, into a
file whose size and blocks are there ahead; it numbers nothing, checks nothing, wakes nobody. The
journal writes its room ahead as it goes, which counts against it, and takes the batches that come
about when each producer waits for its record before it appends the next.

Both run as a broker runs: on uvloop where it is installed, the collector frozen and seldom.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import os
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ackbook.journal import Appender, Draft, Log, OsFiles, open_log
from ackbook.journal.storage.files import Handle

T = TypeVar("T")

LINE_BYTES = 300
COLLECTOR = (50_000, 20, 100)


class CountingFiles(OsFiles):
    """The real file system; it counts how often it was told to sync."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs = 0

    def sync(self, handle: Handle) -> None:
        self.syncs += 1
        super().sync(handle)


class Round(msgspec.Struct, frozen=True):
    """What one side did in one round; `latencies` in seconds, one each append or each batch."""

    rate: float
    per_sync: float
    latencies: list[float]


def run(main: Coroutine[Any, Any, T]) -> T:
    """On the loop that a broker would use."""
    factory = None
    if importlib.util.find_spec("uvloop") is not None:
        factory = importlib.import_module("uvloop").new_event_loop
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


def bare_loop(directory: Path, batch: int, records: int) -> Round:
    """Nothing but write and fdatasync."""
    data = (b"x" * (LINE_BYTES - 1) + b"\n") * batch
    latencies = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        descriptor = file.fileno()
        os.pwrite(descriptor, b"\n" * (records * LINE_BYTES), 0)
        os.fsync(descriptor)
        begun = last = time.perf_counter()
        for offset in range(0, records // batch * len(data), len(data)):
            os.pwrite(descriptor, data, offset)
            os.fdatasync(descriptor)
            now = time.perf_counter()
            latencies.append(now - last)
            last = now
        took = last - begun
    return Round(len(latencies) * batch / took, batch, latencies)


async def new_journal(directory: Path, producers: int, records: int) -> Round:
    """Producers that each wait for their own, in a journal of its own."""
    files = CountingFiles()
    with tempfile.TemporaryDirectory(dir=directory) as home:
        log = open_log(Path(home, "journal"), files=files, trusted=True)
        try:
            return await produce(log, files, producers, records)
        finally:
            log.close()


async def produce(log: Log, files: CountingFiles, producers: int, records: int) -> Round:
    """So many records from so many producers."""
    draft = draft_of_line(log.measure(Draft("x.bench", b'{"text":""}')))
    appender = Appender(log)

    async def one() -> None:
        for _ in range(records // producers):
            await appender.append([draft])

    synced = files.syncs
    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(producers)))
    took = time.perf_counter() - begun
    synced = files.syncs - synced
    await appender.aclose()
    done = records // producers * producers
    return Round(done / took, done / synced, [])


async def timed_rate(log: Log, producers: int, records: int) -> tuple[float, list[float]]:
    """Records a second, and the latency of each append, in seconds."""
    draft = draft_of_line(log.measure(Draft("x.bench", b'{"text":""}')))
    appender = Appender(log)
    latencies: list[float] = []

    async def one() -> None:
        for _ in range(records // producers):
            begun = time.perf_counter()
            await appender.append([draft])
            latencies.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(producers)))
    took = time.perf_counter() - begun
    await appender.aclose()
    return len(latencies) / took, latencies


async def timed_new(directory: Path, producers: int, records: int) -> list[float]:
    """The latencies in a journal of its own."""
    with tempfile.TemporaryDirectory(dir=directory) as home:
        log = open_log(Path(home, "journal"), trusted=True)
        try:
            return (await timed_rate(log, producers, records))[1]
        finally:
            log.close()


def draft_of_line(framing: int) -> Draft:
    """A record whose line has about LINE_BYTES bytes."""
    return Draft("x.bench", b'{"text":"%s"}' % (b"x" * (LINE_BYTES - framing)))
