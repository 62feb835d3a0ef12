"""What appends feel of a snapshot or a compaction that runs beside them.

The processes are those that a broker runs: one folds the journal and writes a snapshot, one packs
sealed segments. Appends are timed while such a process is alive, and as many right before it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from ackbook.broker.runtime.maintenance.snapshot_worker import snapshotter_command
from ackbook.journal import Log, open_log
from ackbook.journal.maintenance.archive_worker import worker_command

from .figures import Figure, figure, goal_of, middle, percentile, share, show
from .loops import run, timed_rate
from .starting import KNOWN

PRODUCERS = 64
APPENDS = 6_400
GOAL = 3.0
PIECES_MAX = 20
SEGMENTS = 4


def measure(console: Console, journal: Path, rounds: int) -> Iterator[Figure]:
    """The p99 beside each, as a multiple of the p99 without."""
    rows = []
    for name, command in {"snapshot": snapshotter_command, "compaction": _packing}.items():
        alone, beside = [], []
        for _ in range(rounds):
            _forget(journal)
            log = open_log(journal, kinds=KNOWN, trusted=True)
            try:
                alone.append(percentile(_waits(log), 99) * 1e6)
                beside.append(percentile(_beside(log, command), 99) * 1e6)
            finally:
                log.close()
        made = figure(
            f"p99_beside_{name}",
            share(beside, alone),
            "times the p99 without",
            against=f"no {name}: {middle(beside):,.0f} beside {middle(alone):,.0f} µs",
            rounds=rounds,
            goal=GOAL,
            sense="at most",
        )
        numbers = (f"{middle(alone):,.0f}", f"{middle(beside):,.0f}", f"{made.value:.2f}")
        rows.append((name, *numbers, *goal_of(made)))
        yield made
    show(
        console,
        f"p99 of an append, {PRODUCERS} producers, beside other work",
        "In µs; the work is done by the process that a broker runs for it.",
        ("", "alone µs", "beside µs", "times", "goal", "met"),
        rows,
    )


def _beside(log: Log, command: Callable[[Path], list[str]]) -> list[float]:
    log.sync_head()
    process = subprocess.Popen(command(log.directory), stdout=subprocess.DEVNULL)
    try:
        waits = _waits(log)
        for _ in range(PIECES_MAX):
            if process.poll() is not None:
                break
            waits += _waits(log)
    finally:
        process.terminate()
        process.wait()
    return waits


def _waits(log: Log) -> list[float]:
    return run(timed_rate(log, PRODUCERS, APPENDS))[1]


def _packing(journal: Path) -> list[str]:
    bases = sorted(int(path.stem) for path in journal.glob("0*.jsonl"))
    return worker_command(journal, bases[:SEGMENTS])


def _forget(journal: Path) -> None:
    """What an earlier round left behind: archives, and snapshots that would shorten the next."""
    for path in (*journal.glob("archive/*"), *journal.glob("snapshot-*")):
        path.unlink()
