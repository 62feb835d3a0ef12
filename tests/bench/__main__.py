"""`make bench`: all measurements in one run, as tables, and in build/bench.json."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path

from rich.console import Console

from . import appends, screens, sends
from .broker import running_broker
from .figures import save

ROOT = Path(__file__).parent.parent.parent
BUILD = ROOT / "build"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of everything, interleaved")
    rounds = parser.parse_args().rounds
    console = Console(highlight=False)
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    console.print(
        f"{cores} cores, load {load:.1f}, Python {platform.python_version()};"
        f" medians of {rounds} interleaved rounds; disk of {BUILD}\n"
    )
    if load > cores / 2:
        console.print("The machine is busy with other work: figures and ratios mean little.\n")
    BUILD.mkdir(exist_ok=True)
    figures = list(appends.measure(console, BUILD, rounds))
    alone = dict(zip(appends.RECORDS, (figure.value for figure in figures), strict=True))
    with running_broker(BUILD) as broker:
        figures += sends.measure(console, broker, rounds, alone)
        figures += screens.measure(console, broker, rounds)
    save(figures, BUILD / "bench.json")
    console.print(f"written to {BUILD / 'bench.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
