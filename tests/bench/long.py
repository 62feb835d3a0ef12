"""`make long`: a journal of ten million records, and everything that one may want of it.

`python -m tests.bench.long [--records N] [--beside N] [--dir DIR]` makes a journal of N records and
one of a tenth (`--beside`), and does the same to both: verify, rebuild, start, compact, explain,
replay, copy, damage, salvage. Each step is a process of its own; printed are its seconds, its CPU
and its peak memory. What is done piece by piece must not need more memory for a longer history:
where the peak grows beyond a bound, or a step does not end as it should, the exit code is 1.

It takes about 8 GB of disk and half an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from ackbook.broker.history.world_loading import begin_world, fold_rest
from ackbook.broker.runtime.maintenance.snapshot_worker import snapshotter_command
from ackbook.journal import Reader

from . import starting
from .history import Past

RECORDS = 10_000_000
RECORDS_A_MESSAGE = 4
PENDING = 1_000

GROWTH_MAX = 1.3
GROWTH_KIB_MIN = 32 * 1024
"""Peaks of this machine differ by so much from run to run."""

ACKBOOK = (sys.executable, "-P", "-m", "ackbook")
HERE = (sys.executable, "-m", "tests.bench.long")


class Step(msgspec.Struct, frozen=True):
    """What one process did. `answer` is its standard output."""

    name: str
    code: int
    wall_s: float
    cpu_s: float
    peak_kib: int
    answer: str


class Failed(Exception):
    """A step did not end as it should."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make long", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--beside", type=int, help="the length to compare with")
    parser.add_argument("--dir", type=Path, help="where there is room for it")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rebuild", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.build is not None:
        return build(given.build, given.records)
    if given.rebuild is not None:
        return rebuild(given.rebuild)
    console = Console(highlight=False, width=max(100, Console().width))
    beside = given.beside or given.records // 10
    table = _table(beside, given.records)
    grown = []
    with tempfile.TemporaryDirectory(prefix="ackbook-long-", dir=given.dir) as root:
        steps = zip(
            list(_life(Path(root) / "shorter", beside)),
            _life(Path(root) / "longer", given.records),
            strict=True,
        )
        for shorter, longer in steps:
            table.add_row(longer.name, *_cells(shorter), *_cells(longer))
            console.print(f"{longer.name}: {longer.wall_s:.1f} s", style="dim")
            if has_grown(shorter, longer):
                grown.append(longer.name)
    console.print(table)
    for name in grown:
        console.print(f"{name} needs more memory for a longer history")
    return 1 if grown else 0


def build(directory: Path, records: int) -> int:
    """Messages that arrived, and some that wait."""
    with Past(directory / "journal") as past:
        past.arrive((records - PENDING) // RECORDS_A_MESSAGE)
        past.pend(PENDING)
    return 0


def rebuild(directory: Path) -> int:
    """Fold every record, as a start without a snapshot does."""
    journal = directory / "journal"
    head = Reader(journal).head()
    world, _ = begin_world(journal, head)
    for _ in fold_rest(journal, world, head):
        pass
    print(len(world.deliveries))
    return 0


def _life(directory: Path, records: int) -> Iterator[Step]:
    """Everything that is done to one journal. Raises `Failed`."""
    journal, aside = directory / "journal", directory.with_name(f"{directory.name}-aside")
    middle, dir_ = records // 2, ("--dir", str(directory))
    yield _run("build", (*HERE, "--build", str(directory), "--records", str(records)))
    yield _run("verify --fast", (*ACKBOOK, "verify", "--fast", *dir_))
    yield _run("verify --full", (*ACKBOOK, "verify", *dir_))
    yield _run("head (checks all of it)", (*ACKBOOK, "head", *dir_))
    yield from _damage(journal, middle, dir_, aside)
    pending = _run("rebuild without a snapshot", (*HERE, "--rebuild", str(directory)))
    _expect(pending, int(pending.answer) == PENDING)
    yield pending
    yield _run("the first snapshot", snapshotter_command(journal))
    yield _run("start from a snapshot", (sys.executable, "-m", starting.__name__, str(journal)))
    message = _message_near(journal, middle)
    yield _run("compact", (*ACKBOOK, "compact", *dir_))
    _expect(pending, len(list(journal.glob("0*.jsonl"))) == 1)
    yield _run("verify --full, of archives", (*ACKBOOK, "verify", *dir_))
    yield _run("why, of a message in an archive", (*ACKBOOK, "why", message, *dir_))
    shown = _run(
        "replay --to the middle", (*ACKBOOK, "replay", "--json", "--to", f"{middle}", *dir_)
    )
    _expect(shown, json.loads(shown.answer)["seq"] == middle)
    yield shown
    span = ("--from", f"{middle}", "--to", f"{middle + 999}")
    records_shown = _run("cat of 1000 in the middle", (*ACKBOOK, "cat", *span, *dir_))
    _expect(records_shown, records_shown.answer.count("\n") == 1_000)
    yield records_shown
    yield _run("stat", (*ACKBOOK, "stat", *dir_))
    yield _run("backup", (*ACKBOOK, "backup", str(aside), *dir_))
    shutil.rmtree(aside)
    shutil.rmtree(directory)


def _damage(journal: Path, middle: int, dir_: tuple[str, ...], aside: Path) -> Iterator[Step]:
    """One byte in the middle is another one for a while."""
    path = max(path for path in journal.glob("0*.jsonl") if int(path.stem) <= middle)
    with path.open("r+b") as file:
        place = path.stat().st_size // 2
        file.seek(place)
        before = file.read(1)
        file.seek(place)
        file.write(bytes([before[0] ^ 1]))
    yield _run("verify, one byte is another", (*ACKBOOK, "verify", *dir_), code=4)
    saved = _run("salvage", (*ACKBOOK, "salvage", "--json", "--out", str(aside), *dir_), code=7)
    _expect(saved, json.loads(saved.answer)["lost_records"] == 1)
    yield saved
    shutil.rmtree(aside)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(before)


def _message_near(journal: Path, seq: int) -> str:
    lines = Reader(journal).lines(seq, seq + RECORDS_A_MESSAGE)
    first = next(line for line in lines if line.kind == "message.enqueued")
    event_id: str = json.loads(first.data)["event_id"]
    return event_id


def _run(name: str, command: tuple[str, ...] | list[str], *, code: int = 0) -> Step:
    """A process to its end, and what the kernel says that it took."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.monotonic() - begun
        out.seek(0)
        err.seek(0)
        if process.returncode != code:
            raise Failed(f"{name} ended with {process.returncode}: {err.read().decode()[-2_000:]}")
        cpu_s = usage.ru_utime + usage.ru_stime
        answer = out.read().decode()
    return Step(name, process.returncode, wall_s, cpu_s, usage.ru_maxrss, answer)


def _expect(step: Step, holds: bool) -> None:
    if not holds:
        raise Failed(f"{step.name} said {step.answer[:500]}")


def has_grown(shorter: Step, longer: Step) -> bool:
    more = longer.peak_kib - shorter.peak_kib
    return more > GROWTH_KIB_MIN and longer.peak_kib > GROWTH_MAX * shorter.peak_kib


def _table(shorter: int, longer: int) -> Table:
    table = Table(title=f"{shorter:,} records, and {longer:,}", box=None)
    table.add_column(no_wrap=True)
    for _ in (shorter, longer):
        for what in ("wall s", "CPU s", "peak MiB"):
            table.add_column(what, justify="right", no_wrap=True)
    return table


def _cells(step: Step) -> tuple[str, str, str]:
    return f"{step.wall_s:.1f}", f"{step.cpu_s:.1f}", f"{step.peak_kib / 1_024:.0f}"


if __name__ == "__main__":
    sys.exit(main())
