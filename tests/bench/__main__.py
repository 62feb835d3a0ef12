"""`make bench`: all measurements in one run, as tables, and in build/bench.json.

Each part stands alone: one that fails says so and leaves its figures out, and the run says in its
exit code that it was not whole.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from rich.console import Console

from . import against, appends, growth, memory, screens, sending, sends
from .broker import running_broker
from .figures import Figure, goal_of, save, show

ROOT = Path(__file__).parent.parent.parent
BUILD = ROOT / "build"
WIDTH_MIN = 120

Part = Callable[[], Iterator[Figure]]


class Effort(msgspec.Struct, frozen=True):
    """How often the quick parts are repeated, how often the long ones, and how long a history."""

    rounds: int = 7
    long_rounds: int = 5
    scale: growth.Scale = growth.Scale()


QUICK = Effort(rounds=3, long_rounds=2, scale=growth.QUICK)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds and short histories")
    parser.add_argument("--only", default="", help="parts to run, comma between them")
    options = parser.parse_args()
    effort = QUICK if options.quick else Effort()
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH_MIN)
    console.print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python"
        f" {platform.python_version()}; medians of {effort.rounds} or {effort.long_rounds}"
        f" interleaved rounds; disk of {BUILD}\n"
    )
    BUILD.mkdir(exist_ok=True)
    figures: list[Figure] = []
    broken = False
    for name, part in _parts(console, effort).items():
        if options.only and name not in options.only.split(","):
            continue
        begun = time.monotonic()
        try:
            figures += part()
        except Exception:
            broken = True
            console.print_exception()
        console.print(f"({name}: {time.monotonic() - begun:.0f} s)\n", style="dim")
    _sum_up(console, figures)
    save(figures, BUILD / "bench.json")
    console.print(f"written to {BUILD / 'bench.json'}")
    return 1 if broken else 0


def _parts(console: Console, effort: Effort) -> dict[str, Part]:
    rounds, long_rounds = effort.rounds, effort.long_rounds

    def brokers() -> Iterator[Figure]:
        with running_broker(BUILD) as broker:
            yield from sends.measure(console, broker, BUILD, rounds)
            yield from screens.measure(console, broker, rounds)

    return {
        "appends": lambda: appends.measure(console, BUILD, rounds),
        "latency": lambda: appends.latency(console, BUILD, rounds),
        "against": lambda: against.measure(console, BUILD, long_rounds),
        "engine": lambda: sending.measure(console, BUILD, rounds),
        "memory": lambda: memory.measure(console, BUILD, long_rounds),
        "growth": lambda: growth.measure(console, BUILD, long_rounds, effort.scale),
        "broker": brokers,
    }


def _sum_up(console: Console, figures: list[Figure]) -> None:
    show(
        console,
        "All figures with a goal",
        "Held against what stands beside each of them, in the same run.",
        ("figure", "value", "goal", "met", "unit"),
        [
            (each.name, f"{each.value:,.2f}", *goal_of(each), each.unit)
            for each in figures
            if each.goal is not None
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
