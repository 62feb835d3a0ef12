"""Messages a second through HTTP, beside what the journal alone appends in the same run.

They go to an agent that is held and whose queue is full, so that nothing is typed and the state
does not grow: every message evicts the oldest one, which is a second record. Each is acknowledged
after the sync that it rests on. Each connection is kept and has one request at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack

import msgspec
from rich.console import Console

from .broker import Broker
from .figures import Figure, middle, show
from .wire import Line

REQUESTS = {1: 400, 16: 3_000, 64: 4_000}
"""Connections, and the messages that they send together in a round."""

QUEUE_LENGTH_MAX = 256
TEXT_BYTES = 150


class Answer(msgspec.Struct, frozen=True):
    """What `/api/send` answers, as far as it is needed."""

    seq: int


def measure(
    console: Console, broker: Broker, rounds: int, appends: Mapping[int, float]
) -> Iterator[Figure]:
    """A figure for each number of connections; `appends` holds records a second by producers."""
    broker.run("spawn", "sink", "--", "cat")
    broker.run("hold", "sink")
    asyncio.run(send_all(broker, 16, QUEUE_LENGTH_MAX))
    rates: dict[int, list[float]] = {connections: [] for connections in REQUESTS}
    records: dict[int, list[float]] = {connections: [] for connections in REQUESTS}
    for _ in range(rounds):
        for connections, requests in REQUESTS.items():
            rate, per_send = asyncio.run(send_all(broker, connections, requests))
            rates[connections].append(rate)
            records[connections].append(per_send)
    broker.run("release", "sink")
    rows = []
    for connections in REQUESTS:
        against = appends[min(appends, key=lambda producers: abs(producers - connections))]
        figure = Figure(
            f"http_sends_{connections}", middle(rates[connections]), "sends/s", against, rounds
        )
        rows.append(
            (
                str(connections),
                f"{figure.value:,.0f}",
                f"{against:,.0f}",
                f"{figure.ratio:.2f}",
                f"{middle(records[connections]):.1f}",
            )
        )
        yield figure
    show(
        console,
        "Messages through HTTP to a held agent with a full queue",
        "Each is answered when it is on disk. Beside it: records a second through the journal"
        " alone, with the nearest number of producers, in the same run.",
        ("connections", "sends /s", "journal /s", "ratio", "records a send"),
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
