"""One journal that grows: what appends, starts, a rebuild and a verification cost on the way.

Nothing but the last two may grow with it. 100,000 messages wait in it from the beginning.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console

from ackbook.journal import open_log

from . import disturbance, rebuild
from .figures import Figure, figure, goal_of, middle, percentile, share, show
from .history import Past
from .loops import bare_loop, run, timed_rate
from .starting import KNOWN, note_snapshot, start_in_a_process

PENDING = 100_000
PRODUCERS = 64
APPENDS = 12_800
START_S_GOAL = 1.5


class Scale(msgspec.Struct, frozen=True):
    """At which lengths what is measured."""

    sizes: tuple[int, ...] = (110_000, 1_000_000, 2_700_000, 10_000_000)
    rebuilt: int = 1_000_000
    verified: int = 2_700_000
    """About 1 GB."""


QUICK = Scale((110_000, 200_000, 400_000), rebuilt=200_000, verified=400_000)


class Stage(msgspec.Struct, frozen=True):
    """At one length."""

    records: int
    rates: list[float]
    bare_rates: list[float]
    p99s_us: list[float]
    bare_p99s_us: list[float]
    start_s: list[float]

    @property
    def share(self) -> float:
        """Of the bare loop's appends/s."""
        return share(self.rates, self.bare_rates)

    @property
    def times_p99(self) -> float:
        """The p99 as a multiple of that of the bare loop's batch."""
        return share(self.p99s_us, self.bare_p99s_us)


def measure(console: Console, directory: Path, rounds: int, scale: Scale) -> Iterator[Figure]:
    """The figures of all lengths; journal and plot go into this directory."""
    stages = []
    with tempfile.TemporaryDirectory(dir=directory) as home:
        journal = Path(home, "journal")
        for size in scale.sizes:
            _grow(journal, size)
            if size == scale.rebuilt:
                yield from rebuild.measure(console, journal, rounds)
            if size == scale.verified:
                yield from rebuild.verification(console, journal, rounds)
            stages.append(_at(journal, size, rounds))
        yield from disturbance.measure(console, journal, rounds)
    yield from _figures(stages, rounds)
    _show(console, stages)
    _plot(console, stages, directory / "growth.png")


def _grow(journal: Path, size: int) -> None:
    with Past(journal) as past:
        if past.log.epoch == 1:
            past.pend(PENDING)
        past.arrive(max(0, size - past.log.next_seq) // 4)


def _at(journal: Path, size: int, rounds: int) -> Stage:
    note_snapshot(journal)
    starts = [start_in_a_process(journal) for _ in range(rounds)]
    stage = Stage(size, [], [], [], [], starts)
    log = open_log(journal, kinds=KNOWN, trusted=True)
    for _ in range(rounds):
        bare = bare_loop(journal.parent, PRODUCERS, APPENDS)
        stage.bare_rates.append(bare.rate)
        stage.bare_p99s_us.append(percentile(bare.latencies, 99) * 1e6)
        rate, waits = run(timed_rate(log, PRODUCERS, APPENDS))
        stage.rates.append(rate)
        stage.p99s_us.append(percentile(waits, 99) * 1e6)
    log.close()
    return stage


def _figures(stages: list[Stage], rounds: int) -> Iterator[Figure]:
    first, last = stages[0], stages[-1]
    yield figure(
        "start_with_snapshot",
        middle(last.start_s),
        "s of CPU",
        against=f"{last.records:,} records, {PENDING:,} pending, a fresh snapshot",
        rounds=rounds,
        goal=START_S_GOAL,
        sense="at most",
    )
    grown = (
        ("start_growth", middle(last.start_s) / middle(first.start_s), "CPU of a start"),
        ("appends_growth", last.share / first.share, "share of the bare loop's appends/s"),
        ("p99_growth", last.times_p99 / first.times_p99, "p99 beside that of the bare loop"),
    )
    for name, value, what in grown:
        yield figure(
            name,
            value,
            f"times the {what} at the first length",
            against=f"{last.records:,} records beside {first.records:,}",
            rounds=rounds,
        )


def _show(console: Console, stages: list[Stage]) -> None:
    goal = goal_of(next(_figures(stages, 1)))
    rows = [
        (
            f"{stage.records:,}",
            f"{middle(stage.rates):,.0f}",
            f"{stage.share:.2f}",
            f"{middle(stage.p99s_us):,.0f}",
            f"{stage.times_p99:.2f}",
            f"{middle(stage.start_s):.2f}",
            *(goal if stage is stages[-1] else ("", "")),
        )
        for stage in stages
    ]
    show(
        console,
        "A journal that grows",
        f"{PRODUCERS} producers, every append timed. A start: seconds of CPU with a fresh snapshot"
        f" and {PENDING:,} pending.",
        (
            "records",
            "appends /s",
            "share of bare",
            "p99 µs",
            "times bare",
            "start s",
            "goal",
            "met",
        ),
        rows,
    )


def _plot(console: Console, stages: list[Stage], path: Path) -> None:
    try:
        library = importlib.import_module("matplotlib")
    except ImportError:
        console.print("no plot: matplotlib is not installed")
        return
    library.use("Agg")
    plots = importlib.import_module("matplotlib.pyplot")
    picture, (left, right) = plots.subplots(1, 2, figsize=(10, 4))
    lengths = [stage.records for stage in stages]
    drawn = (
        (left, "appends/s, 64 producers", "journal", [stage.rates for stage in stages]),
        (left, "appends/s, 64 producers", "bare loop", [stage.bare_rates for stage in stages]),
        (right, "p99, µs", "an append", [stage.p99s_us for stage in stages]),
        (right, "p99, µs", "a batch, bare loop", [stage.bare_p99s_us for stage in stages]),
    )
    for axes, title, label, values in drawn:
        middles = [middle(each) for each in values]
        below = [mid - min(each) for mid, each in zip(middles, values, strict=True)]
        above = [max(each) - mid for mid, each in zip(middles, values, strict=True)]
        axes.errorbar(lengths, middles, yerr=(below, above), marker="o", capsize=4, label=label)
        axes.legend()
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("records of history")
        axes.set_title(title)
        axes.grid(alpha=0.3)
    picture.tight_layout()
    picture.savefig(path, dpi=120)
    plots.close(picture)
    console.print(f"plotted in {path}\n")
