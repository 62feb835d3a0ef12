"""Messages a second through HTTP, beside what the journal alone appends in the same run.

They go to an agent that is held and whose queue is full, so that nothing is typed and the state
does not grow: every message evicts the oldest one, which is a second record. Each is acknowledged
after the sync that it rests on. Each connection is kept and has one request at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from rich.console import Console

from .broker import Broker
from .figures import Figure, figure, middle, share, show
from .loops import new_journal, run
from .wire import Line

REQUESTS = {1: 400, 16: 3_000, 64: 4_000}
APPENDS = {1: 1_000, 16: 8_000, 64: 24_000}
"""Connections, and the messages that they send together in a round."""

QUEUE_LENGTH_MAX = 256
TEXT_BYTES = 150


class Answer(msgspec.Struct, frozen=True):
    """What `/api/send` answers, as far as it is needed."""

    seq: int


def measure(console: Console, broker: Broker, directory: Path, rounds: int) -> Iterator[Figure]:
    """A figure for each number of connections."""
    broker.run("spawn", "sink", "--", "cat")
    broker.run("hold", "sink")
    asyncio.run(send_all(broker, 16, QUEUE_LENGTH_MAX))
    rates: dict[int, list[float]] = {connections: [] for connections in REQUESTS}
    records: dict[int, list[float]] = {connections: [] for connections in REQUESTS}
    appends: dict[int, list[float]] = {connections: [] for connections in REQUESTS}
    for _ in range(rounds):
        for connections, requests in REQUESTS.items():
            rate, per_send = asyncio.run(send_all(broker, connections, requests))
            rates[connections].append(rate)
            records[connections].append(per_send)
            alone = run(new_journal(directory, connections, APPENDS[connections]))
            appends[connections].append(alone.rate)
    broker.run("release", "sink")
    rows = []
    for connections in REQUESTS:
        rate, alone_rate = middle(rates[connections]), middle(appends[connections])
        made = figure(
            f"http_sends_{connections}",
            share(rates[connections], appends[connections]),
            "share of the journal's appends/s",
            against=f"journal: {rate:,.0f} sends/s beside {alone_rate:,.0f} appends/s",
            rounds=rounds,
        )
        numbers = (f"{rate:,.0f}", f"{alone_rate:,.0f}", f"{made.value:.2f}")
        rows.append((str(connections), *numbers, f"{middle(records[connections]):.1f}"))
        yield made
    show(
        console,
        "Messages through HTTP to a held agent with a full queue",
        "Each is answered when it is on disk. Beside it: records a second through the journal"
        " alone, with as many producers, in the same rounds.",
        ("connections", "sends /s", "journal /s", "share", "records a send"),
        rows,
    )


async def send_all(broker: Broker, connections: int, requests: int) -> tuple[float, float]:
    """Messages a second over so many connections, and how many records each came to."""
    body = b'{"to":"sink","from":"bench","text":"%s"}' % (b"x" * TEXT_BYTES)
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(Line(broker)) for _ in range(connections)]

        async def converse(line: Line) -> list[int]:
            answers = [await line.post("/api/send", body) for _ in range(requests // connections)]
            return [msgspec.json.decode(answer, type=Answer).seq for answer in answers]

        begun = time.perf_counter()
        answered = await asyncio.gather(*map(converse, lines))
        took = time.perf_counter() - begun
    seqs = sorted(seq for some in answered for seq in some)
    return len(seqs) / took, (seqs[-1] - seqs[0]) / (len(seqs) - 1)
