"""What a start without a snapshot costs, and what looking at everything costs.

Rebuilding reads a journal as a broker does: each block's checksum, each line typed, each fact
folded into the world. Beside it a loop that only parses each line and forgets it. Times are of the
CPU, since a disk that is shared would say more about its other users.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import orjson
from rich.console import Console

from ackbook.journal import Reader, verify
from ackbook.journal.format.layout import segment_name
from ackbook.projections.codec import decode_block
from ackbook.projections.world.fold import World, fold_all

from .figures import Figure, figure, goal_of, middle, share, show
from .starting import KNOWN

REBUILD_GOAL = 1.5
VERIFY_GOALS = {"fast": 3.0, "full": 15.0}
PIECE_BYTES = 64 * 1024


def measure(console: Console, directory: Path, rounds: int) -> Iterator[Figure]:
    """The figures of rebuilding the journal in this directory."""
    sides: dict[str, Callable[[Path], int]] = {
        "parsing each line, nothing checked": parse_lines,
        "checksums": check_blocks,
        "checksums, typed": decode_blocks,
        "checksums, typed, folded": rebuild,
    }
    took: dict[str, list[float]] = {name: [] for name in sides}
    records = 0
    for _ in range(rounds):
        for name, side in sides.items():
            seconds, records = timed(side, directory)
            took[name].append(seconds)
    bare = took["parsing each line, nothing checked"]
    ours = took["checksums, typed, folded"]
    made = figure(
        "rebuild",
        share(ours, bare),
        "times parsing each line",
        against=f"bare loop: {middle(ours):.2f} beside {middle(bare):.2f} s of CPU,"
        f" {records:,} records",
        rounds=rounds,
        goal=REBUILD_GOAL,
        sense="at most",
    )
    yield made
    rows = [
        (name, f"{middle(times):.2f}", f"{middle(times) / records * 1e6:.2f}", f"{ratio:.2f}")
        for name, times in took.items()
        for ratio in (share(times, bare),)
    ]
    rows[-1] += goal_of(made)
    show(
        console,
        f"Rebuilding {records:,} records",
        "Seconds and microseconds of CPU; the parsing loop is orjson over the lines of each file.",
        ("", "s", "µs a record", "times", "goal", "met"),
        rows,
    )


def verification(console: Console, directory: Path, rounds: int) -> Iterator[Figure]:
    """What `verify` costs, beside reading it all from a warm cache plus one crc32 pass."""
    sides = {"fast": look_at_every_byte, "full": look_at_everything}
    ours: dict[str, list[float]] = {name: [] for name in sides}
    bare: list[float] = []
    for _ in range(rounds):
        bare.append(timed(sum_bytes, directory)[0])
        for name, side in sides.items():
            ours[name].append(timed(side, directory)[0])
    size = sum(path.stat().st_size for path in segments(directory))
    rows = []
    for name, times in ours.items():
        made = figure(
            f"verify_{name}",
            share(times, bare),
            "times reading and one crc32",
            against=f"read + crc32: {middle(times):.2f} beside {middle(bare):.2f} s of CPU,"
            f" {size / 1e6:,.0f} MB",
            rounds=rounds,
            goal=VERIFY_GOALS[name],
            sense="at most",
        )
        numbers = (f"{middle(times):.2f}", f"{middle(bare):.2f}", f"{made.value:.1f}")
        rows.append((name, *numbers, *goal_of(made)))
        yield made
    show(
        console,
        f"Verifying {size / 1e6:,.0f} MB",
        "Seconds of CPU. Fast: every byte's checksum. Full: every seal's sha256 as well, and every"
        " line typed.",
        ("", "s", "read + crc32 s", "times", "goal", "met"),
        rows,
    )


def timed(side: Callable[[Path], int], directory: Path) -> tuple[float, int]:
    """Seconds of CPU, and what it gave."""
    gc.collect()
    gc.disable()  # as a start does: all of what it builds stays
    begun = time.process_time()
    given = side(directory)
    took = time.process_time() - begun
    gc.enable()
    return took, given


def segments(directory: Path) -> list[Path]:
    bases = sorted(int(path.stem) for path in directory.glob("0*.jsonl"))
    return [directory / segment_name(base) for base in bases]


def parse_lines(directory: Path) -> int:
    count, loads = 0, orjson.loads
    for path in segments(directory):
        with path.open("rb") as file:
            for line in file:
                loads(line)
                count += 1
    return count


def check_blocks(directory: Path) -> int:
    return sum(block.count(b"\n") for block in Reader(directory).blocks())


def decode_blocks(directory: Path) -> int:
    return sum(len(decode_block(block)) for block in Reader(directory).blocks())


def rebuild(directory: Path) -> int:
    world = World()
    for block in Reader(directory).blocks():
        fold_all(world, decode_block(block))
    return world.seq


def sum_bytes(directory: Path) -> int:
    running = 0
    for path in segments(directory):
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                running = crc32(piece, running)
    return running


def look_at_every_byte(directory: Path) -> int:
    report = verify(directory, kinds=KNOWN, full=False)
    assert report.ok, report
    return report.records


def look_at_everything(directory: Path) -> int:
    report = verify(directory, kinds=KNOWN)
    assert report.ok, report
    assert decode_blocks(directory) == report.records
    return report.records
