"""Durable appends through the journal, beside what people use instead, in the same rounds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
from rich.console import Console

from .figures import Figure, figure, goal_of, middle, share, show
from .loops import new_journal, run
from .peers import Missing, Peer, Start
from .peers.postgres import postgres
from .peers.sockets import beanstalkd, redis, redis_pipelined
from .peers.sqlite import persist_queue, sqlite
from .peers.syncs import count_syncs

PEERS: dict[str, Start] = {
    "redis": redis,
    "redis_pipelined": redis_pipelined,
    "sqlite": sqlite,
    "postgresql": postgres,
    "persist_queue": persist_queue,
    "beanstalkd": beanstalkd,
}
GOALS = {"redis": 2.5, "sqlite": 5.0, "postgresql": 8.0, "persist_queue": 25.0, "beanstalkd": 20.0}
"""Redis that gets 64 commands in one piece is shown, and no goal: there are not 64 who wait."""
ALONE_GOAL = 1.1

OURS = {1: 1_500, 64: 24_000}
THEIRS = {1: 1_000, 64: 6_400}
COUNTED = 640


class Rates(msgspec.Struct):
    """Of one peer, by producers, round by round."""

    by_producers: dict[int, list[float]]
    version: str
    per_sync: float | None = None


def measure(console: Console, directory: Path, rounds: int) -> Iterator[Figure]:
    """A figure for each peer at 64 producers, and one at a single producer for the best of them."""
    ours: dict[int, list[float]] = {producers: [] for producers in OURS}
    rates: dict[str, Rates] = {}
    with ExitStack() as stack:
        running = _start(console, directory, stack)
        for name, peer in running.items():
            rates[name] = Rates({producers: [] for producers in THEIRS}, peer.version)
        for _ in range(rounds):
            for producers, records in OURS.items():
                ours[producers].append(run(new_journal(directory, producers, records)).rate)
                for name, peer in running.items():
                    rates[name].by_producers[producers].append(
                        peer.run(producers, THEIRS[producers])
                    )
        for name, peer in running.items():
            syncs = count_syncs(peer.pids, lambda peer=peer: peer.run(64, COUNTED))  # type: ignore[misc]
            rates[name].per_sync = COUNTED / syncs if syncs else None
    made = list(_figures(ours, rates, rounds))
    _show(console, made, ours, rates)
    yield from made


def _start(console: Console, directory: Path, stack: ExitStack) -> dict[str, Peer]:
    running: dict[str, Peer] = {}
    for name, start in PEERS.items():
        home = stack.enter_context(tempfile.TemporaryDirectory(dir=directory))
        Path(home).chmod(0o755)
        own = Path(home, "peer")
        own.mkdir()
        try:
            running[name] = stack.enter_context(start(own))
        except Missing as missing:
            console.print(f"left out: {missing}")
    return running


def _figures(
    ours: dict[int, list[float]], rates: dict[str, Rates], rounds: int
) -> Iterator[Figure]:
    for name, peer in rates.items():
        theirs = peer.by_producers[64]
        yield figure(
            f"against_{name}_64",
            share(ours[64], theirs),
            f"times the records/s of {name}",
            against=f"{peer.version}: {middle(ours[64]):,.0f} beside {middle(theirs):,.0f}"
            " records/s",
            rounds=rounds,
            goal=GOALS.get(name),
        )
    if rates:
        best = max(
            GOALS.keys() & rates.keys(), key=lambda name: middle(rates[name].by_producers[1])
        )
        theirs = rates[best].by_producers[1]
        yield figure(
            "against_best_1",
            share(ours[1], theirs),
            f"times the records/s of {best}",
            against=f"{rates[best].version}: {middle(ours[1]):,.0f} beside {middle(theirs):,.0f}"
            " records/s",
            rounds=rounds,
            goal=ALONE_GOAL,
        )


def _show(
    console: Console,
    made: list[Figure],
    ours: dict[int, list[float]],
    rates: dict[str, Rates],
) -> None:
    rows = [("journal", f"{middle(ours[1]):,.0f}", f"{middle(ours[64]):,.0f}", "", "", "", "", "")]
    for (name, peer), each in zip(rates.items(), made, strict=False):
        alone, many = (middle(peer.by_producers[producers]) for producers in (1, 64))
        synced = "not counted" if peer.per_sync is None else f"{peer.per_sync:.1f}"
        numbers = (f"{alone:,.0f}", f"{many:,.0f}", f"{each.value:.1f}", *goal_of(each))
        rows.append((name, *numbers, synced, peer.version))
    if len(made) > len(rates):
        best = made[-1]
        rows.append(("best, alone", "", "", f"{best.value:.2f}", *goal_of(best), "", best.against))
    show(
        console,
        "Beside what people use instead",
        "Records a second, each answered after the sync that it rests on; the syncs were counted by"
        " strace in a round of their own with 64 producers.",
        ("", "1 producer", "64", "ours is times", "goal", "met", "records a sync", "version"),
        rows,
    )
