"""Shows how deliveries to real programs are verified: `python -m tests.holder.verification_table`.

One row for each program and kind of message: the level that was reached, what proved it, how the
text was typed, and the median time from the order to the moment the holder saw the text, and to
the moment it had been submitted. `--json` prints the same as one object.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from pathlib import Path

from ackbook.broker.core.attempt_report import Report
from tests.support.holders import chat, message, program, running, short_directory

ROUNDS = 5
BODIES = {"single": "hello from the other side", "multi": "the first line\nthe second line\nend"}


def commands(directory: Path) -> dict[str, tuple[str, ...]]:
    """The programs that are installed, by their name in the table."""
    known = {
        "cat": ("cat",),
        "bash": ("bash", "--norc", "--noprofile", "-i"),
        "python": ("python3", "-q"),
        "node": ("node",),
        "sqlite3": ("sqlite3",),
        "prompt_toolkit": chat(directory / "chat"),
        "full screen": program("boxed", str(directory / "boxed")),
    }
    return {name: command for name, command in known.items() if shutil.which(command[0])}


def measure(name: str, command: tuple[str, ...], kind: str) -> dict[str, object]:
    """One row: several messages to a fresh program."""
    seen_ms, submitted_ms = [], []
    with running(*command) as (_, link):
        for number in range(1, ROUNDS + 1):
            order = message(number, BODIES[kind])
            link.ready()
            begins = time.monotonic()
            link.send(order)
            report = link.report(order, lambda each: each.seen is not None)
            seen_ms.append((time.monotonic() - begins) * 1000)
            report = link.report(order, lambda each: bool(each.seen and each.submitted))
            submitted_ms.append((time.monotonic() - begins) * 1000)
            link.settle(order)
    return {
        "program": name,
        "message": kind,
        "level": level(report),
        "seen_by": report.seen.how if report.seen else None,
        "submitted_by": report.submitted.how if report.submitted else None,
        "form": report.written.form if report.written else None,
        "seen_ms": round(statistics.median(seen_ms), 1),
        "submitted_ms": round(statistics.median(submitted_ms), 1),
    }


def level(report: Report) -> str:
    if report.submitted:
        return "submitted"
    return "seen" if report.seen else report.phase


def main() -> int:
    with short_directory() as directory:
        rows = [
            measure(name, command, kind)
            for name, command in commands(directory).items()
            for kind in BODIES
        ]
    if "--json" in sys.argv:
        print(json.dumps({"rows": rows}))
        return 0
    table = [list(rows[0])] + [[str(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
