"""Durable appends through the journal, beside a bare loop of write and fdatasync.

Both write lines of the same size into a file on the same disk; both acknowledge nothing before an
fdatasync has returned. The bare loop always writes full batches, one record a producer, into a file
whose size and blocks are there ahead; it numbers nothing, checks nothing, wakes nobody. The journal
writes its room ahead as it goes, which counts against it, and takes the batches that come about
when each producer waits for its record before it appends the next.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from journal import Appender, Draft, OsFiles, open_log
from journal.files import Handle

from .figures import Figure, middle, show

LINE_BYTES = 300
RECORDS = {1: 1_500, 8: 8_000, 64: 24_000, 512: 48_000}
"""Producers, and the records that they append together in a round: about a quarter second each,
and less than a segment holds."""


class CountingFiles(OsFiles):
    """The real file system; it counts how often it was told to sync."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs = 0

    def sync(self, handle: Handle) -> None:
        self.syncs += 1
        super().sync(handle)


def measure(console: Console, directory: Path, rounds: int) -> Iterator[Figure]:
    """Interleaved rounds of both sides; a figure for each number of producers."""
    rows = []
    for producers, records in RECORDS.items():
        ours, bare, batches = [], [], []
        for _ in range(rounds):
            bare.append(bare_loop(directory, producers, records))
            rate, per_sync = asyncio.run(through_the_journal(directory, producers, records))
            ours.append(rate)
            batches.append(per_sync)
        ratio = middle([one / other for one, other in zip(ours, bare, strict=True)])
        figure = Figure(
            f"journal_appends_{producers}", middle(ours), "records/s", middle(bare), rounds
        )
        rows.append(
            (
                str(producers),
                f"{figure.value:,.0f}",
                f"{figure.against:,.0f}",
                f"{ratio:.2f}",
                f"{middle(batches):.1f}",
                f"{producers:.1f}",
            )
        )
        yield figure
    show(
        console,
        "Durable appends",
        f"Lines of {LINE_BYTES} bytes; each side acknowledges after its fdatasync, and the syncs"
        " are counted. The bare loop writes full batches into a file whose blocks are there. The"
        " ratio is the median of those of the rounds.",
        ("producers", "journal /s", "bare loop /s", "ratio", "records a sync", "bare loop"),
        rows,
    )


def bare_loop(directory: Path, batch: int, records: int) -> float:
    """Records a second of nothing but write and fdatasync."""
    data = (b"x" * (LINE_BYTES - 1) + b"\n") * batch
    syncs = 0
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        descriptor = file.fileno()
        os.pwrite(descriptor, b"\n" * (records * LINE_BYTES), 0)
        os.fsync(descriptor)
        begun = time.perf_counter()
        for offset in range(0, records // batch * len(data), len(data)):
            os.pwrite(descriptor, data, offset)
            os.fdatasync(descriptor)
            syncs += 1
        took = time.perf_counter() - begun
    return syncs * batch / took


async def through_the_journal(directory: Path, producers: int, records: int) -> tuple[float, float]:
    """Records a second, and records a sync, of producers that each wait for their own."""
    files = CountingFiles()
    with tempfile.TemporaryDirectory(dir=directory) as home:
        log = open_log(Path(home, "journal"), files=files, trusted=True)
        draft = draft_of_line(log.measure(Draft("x.bench", b'{"text":""}')))
        appender = Appender(log)

        async def produce() -> None:
            for _ in range(records // producers):
                await appender.append([draft])

        synced = files.syncs
        begun = time.perf_counter()
        await asyncio.gather(*(produce() for _ in range(producers)))
        took = time.perf_counter() - begun
        synced = files.syncs - synced
        await appender.aclose()
        log.close()
    done = records // producers * producers
    return done / took, done / synced


def draft_of_line(framing: int) -> Draft:
    """A record whose line has about LINE_BYTES bytes."""
    return Draft("x.bench", b'{"text":"%s"}' % (b"x" * (LINE_BYTES - framing)))
