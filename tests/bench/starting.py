"""What a start costs that finds a fresh snapshot: `python -m tests.bench.starting JOURNAL`.

It opens the journal, loads the snapshot, folds what came after it and prints the seconds of CPU
that this took, without those of the imports. It closes cleanly.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from pathlib import Path

from ackbook.broker.history.world_loading import begin_world, fold_rest
from ackbook.broker.runtime.maintenance.snapshot_worker import snapshotter_command
from ackbook.journal import open_log, read_snapshot
from ackbook.projections.facts import KINDS
from ackbook.projections.world.serialization import FOLD_VERSION

KNOWN = KINDS | {"x.bench"}


def note_snapshot(directory: Path) -> None:
    """A snapshot of the last record, made by the process that a broker would run, and recorded."""
    log = open_log(directory, kinds=KNOWN, trusted=True, fold_version=FOLD_VERSION)
    log.sync_head()
    done = subprocess.run(
        snapshotter_command(directory), capture_output=True, text=True, check=True
    )
    log.note_snapshot(read_snapshot(directory / done.stdout.strip()))
    log.close()


def start_in_a_process(directory: Path) -> float:
    """Seconds of CPU."""
    command = (sys.executable, "-m", __name__, str(directory))
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def start(directory: Path) -> tuple[float, int]:
    """Seconds of CPU, and how many deliveries wait."""
    begun = time.process_time()
    gc.disable()  # as a start does: all of what it builds stays
    log = open_log(directory, kinds=KNOWN, trusted=True, fold_version=FOLD_VERSION)
    assert log.snapshot is not None, "a snapshot is there"
    world, _ = begin_world(directory, log.head.seq, log.snapshot)
    for _ in fold_rest(directory, world, log.head.seq):
        pass
    took = time.process_time() - begun
    log.close()
    return took, len(world.deliveries)


if __name__ == "__main__":
    print(start(Path(sys.argv[1]))[0])
