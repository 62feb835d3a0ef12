"""Durable appends through the journal, beside a bare loop of write and fdatasync."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from .figures import Figure, figure, goal_of, middle, percentile, share, show
from .loops import LINE_BYTES, bare_loop, new_journal, run, timed_new

RECORDS = {1: 1_500, 8: 8_000, 64: 24_000, 512: 48_000}
"""Producers, and the records that they append together in a round: about a quarter second each,
and less than a segment holds."""

GOALS = {1: 0.85, 8: 0.85, 64: 0.6, 512: 0.45}

TIMED = 64
LATENCY_GOALS = {50: 1.7, 99: 3.0}


def measure(console: Console, directory: Path, rounds: int) -> Iterator[Figure]:
    """Interleaved rounds of both sides; a figure for each number of producers."""
    rows = []
    for producers, records in RECORDS.items():
        ours, bare = [], []
        for _ in range(rounds):
            bare.append(bare_loop(directory, producers, records))
            ours.append(run(new_journal(directory, producers, records)))
        rate, bare_rate = middle(r.rate for r in ours), middle(r.rate for r in bare)
        made = figure(
            f"journal_appends_{producers}",
            share([r.rate for r in ours], [r.rate for r in bare]),
            "share of the bare loop's records/s",
            against=f"bare loop: {rate:,.0f} beside {bare_rate:,.0f} records/s",
            rounds=rounds,
            goal=GOALS[producers],
        )
        per_sync = middle(r.per_sync for r in ours)
        numbers = (f"{rate:,.0f}", f"{bare_rate:,.0f}", f"{made.value:.2f}", *goal_of(made))
        rows.append((str(producers), *numbers, f"{per_sync:.1f}", f"{producers:.1f}"))
        yield made
    show(
        console,
        "Durable appends",
        f"Lines of {LINE_BYTES} bytes; each side acknowledges after its fdatasync, and the syncs"
        " are counted. The bare loop writes full batches into a file whose blocks are there.",
        (
            "producers",
            "journal /s",
            "bare loop /s",
            "share",
            "goal",
            "met",
            "records a sync",
            "bare loop",
        ),
        rows,
    )


def latency(console: Console, directory: Path, rounds: int) -> Iterator[Figure]:
    """How long one of 64 producers waits, beside how long a batch of 64 takes in the bare loop."""
    ours: dict[int, list[float]] = {percent: [] for percent in LATENCY_GOALS}
    bare: dict[int, list[float]] = {percent: [] for percent in LATENCY_GOALS}
    for _ in range(rounds):
        batches = bare_loop(directory, TIMED, RECORDS[TIMED]).latencies
        waits = run(timed_new(directory, TIMED, RECORDS[TIMED]))
        for percent in LATENCY_GOALS:
            ours[percent].append(percentile(waits, percent) * 1e6)
            bare[percent].append(percentile(batches, percent) * 1e6)
    rows = []
    for percent, goal in LATENCY_GOALS.items():
        made = figure(
            f"append_latency_p{percent}",
            share(ours[percent], bare[percent]),
            "times the bare loop's batch",
            against=f"bare loop: {middle(ours[percent]):,.0f} beside"
            f" {middle(bare[percent]):,.0f} µs",
            rounds=rounds,
            goal=goal,
            sense="at most",
        )
        numbers = (f"{middle(ours[percent]):,.0f}", f"{middle(bare[percent]):,.0f}")
        rows.append((f"p{percent}", *numbers, f"{made.value:.2f}", *goal_of(made)))
        yield made
    show(
        console,
        f"Latency of one append, {TIMED} producers",
        "In µs, from the call to the wake-up of its producer; the bare loop's: one batch.",
        ("", "journal µs", "bare loop µs", "times", "goal", "met"),
        rows,
    )
