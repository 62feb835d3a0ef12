"""What a message that waits holds in memory: a world of many, in a process of its own.

The figure is the growth of the resident set over the rebuild, so it counts what the allocator
keeps, not only what the objects say of themselves.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from ackbook.journal import Reader
from ackbook.projections.codec import decode_block
from ackbook.projections.world.fold import World, fold_all

from .figures import Figure, figure, goal_of, middle, show
from .history import Past

PENDING = 100_000
BODY_BYTES = 300
GOAL = 900.0


def measure(console: Console, directory: Path, rounds: int) -> Iterator[Figure]:
    """The figure, in bytes."""
    with tempfile.TemporaryDirectory(dir=directory) as home:
        with Past(Path(home, "journal")) as past:
            past.pend(PENDING, "x" * BODY_BYTES)
        told = [_in_a_process(home) for _ in range(rounds)]
    made = figure(
        "memory_pending",
        middle(told),
        "bytes a pending delivery",
        against=f"resident set before and after {PENDING:,} of them",
        rounds=rounds,
        goal=GOAL,
        sense="at most",
    )
    yield made
    show(
        console,
        f"Memory of one pending delivery with a body of {BODY_BYTES} bytes",
        "Growth of the resident set of a process that rebuilds the world, for each delivery.",
        ("", "bytes", "goal", "met"),
        [("message and delivery", f"{made.value:.0f}", *goal_of(made))],
    )


def _in_a_process(home: str) -> float:
    command = (sys.executable, "-m", __name__, str(Path(home, "journal")))
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _grow(directory: Path) -> float:
    world = World()
    before = 0
    for block in Reader(directory).blocks():
        fold_all(world, decode_block(block))
        before = before or _resident_bytes()
    gc.collect()
    return (_resident_bytes() - before) / len(world.deliveries)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    print(_grow(Path(sys.argv[1])))
