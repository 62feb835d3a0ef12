"""The whole engine beside the journal's appends: rules, fold, record, sync, events.

So many senders each send to an agent that is held and wait for the answer; nothing is typed, and
each send is one record. No HTTP and no terminal: `sends` has the first, `screens` both.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from ackbook.broker.core.commands import Send, Spawn, StartBroker
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.journal import open_log
from ackbook.projections.codec import Entry
from ackbook.projections.events.derive import derive
from ackbook.projections.facts import KINDS, Policy
from ackbook.projections.world.fold import World
from tests.support.orders import program

from .figures import Figure, figure, goal_of, middle, share, show
from .loops import new_journal, run

SENDERS = 64
SENDS = 12_800
APPENDS = 24_000
GOAL = 0.4
BODY = "x" * 60
"""Makes a line of 300 bytes with what else a message has."""


class Deriving:
    """A watcher that makes the events of every entry, as the feed does."""

    def __init__(self) -> None:
        self.events = 0

    def committed(self, world: World, entries: Sequence[Entry], touched: frozenset[str]) -> None:
        for entry in entries:
            self.events += len(derive(entry))


def measure(console: Console, directory: Path, rounds: int) -> Iterator[Figure]:
    """The share of the journal's appends that the engine reaches."""
    ours, bare, sizes = [], [], []
    for _ in range(rounds):
        bare.append(run(new_journal(directory, SENDERS, APPENDS)).rate)
        rate, size = run(send_all(directory))
        ours.append(rate)
        sizes.append(size)
    made = figure(
        "engine_sends_64",
        share(ours, bare),
        "share of the journal's appends/s",
        against=f"journal: {middle(ours):,.0f} sends/s beside {middle(bare):,.0f} appends/s",
        rounds=rounds,
        goal=GOAL,
    )
    yield made
    show(
        console,
        f"The engine, {SENDERS} senders to a held agent",
        "Each send is decided, folded, written, synced, told and derived; one record a send.",
        ("", "sends /s", "appends /s", "share", "goal", "met", "bytes a record"),
        [
            (
                "engine",
                f"{middle(ours):,.0f}",
                f"{middle(bare):,.0f}",
                f"{made.value:.2f}",
                *goal_of(made),
                f"{middle(sizes):.0f}",
            )
        ],
    )


async def send_all(directory: Path) -> tuple[float, float]:
    """Sends a second, and the bytes of a record."""
    with tempfile.TemporaryDirectory(dir=directory) as home:
        log = open_log(Path(home, "journal"), kinds=KINDS, trusted=True)
        world = World()
        world.seq, world.at = log.head.seq, log.head.at
        watcher = Deriving()
        engine = Engine(log, world, (watcher,))
        running = asyncio.create_task(engine.run())
        policy = Policy(queue_length_max=2 * SENDS)
        await engine.carry(
            StartBroker(epoch=1, pid=1, version="bench", instance="bench", policy=policy)
        )
        await engine.carry(Spawn(program=program("sink")))

        async def one(sender: str) -> None:
            for _ in range(SENDS // SENDERS):
                await engine.post(Send(sender=sender, target="sink", body=BODY))

        before = log.statistics()
        begun = time.perf_counter()
        await asyncio.gather(*(one(f"sender-{number}") for number in range(SENDERS)))
        took = time.perf_counter() - begun
        after = log.statistics()
        engine.stop()
        await running
        log.close()
    records = after.records - before.records
    assert SENDS <= records <= SENDS + 10, records
    assert watcher.events >= SENDS
    return SENDS / took, (after.written_bytes - before.written_bytes) / records
