"""What a worker of the broker begins with: nothing of the broker's own callers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.holders import ROOT
from tests.support.inherited import UNWANTED, spoil

SETTLED = """
import asyncio, sys
from ackbook.broker.runtime.system.inherited import settle_in
from ackbook.broker.runtime.maintenance.worker_process import work

settle_in()
with asyncio.Runner(loop_factory={loop}) as runner:
    sys.stdout.buffer.write(runner.run(work(["sh", "-c", {script!r}])))
"""
LOOPS = {"asyncio": "None", "uvloop": "__import__('uvloop').new_event_loop"}
SCRIPT = "cat /proc/self/status; echo session $(ps -o sid= -p $$) $$"


def settled(loop: str, script: str) -> str:
    """What a worker says that a process of ours starts, whose caller ignores and blocks much."""
    done = subprocess.run(
        [sys.executable, "-c", SETTLED.format(loop=LOOPS[loop], script=script)],
        cwd=ROOT,
        preexec_fn=spoil,
        restore_signals=False,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("loop", LOOPS)
def test_a_worker_ignores_and_blocks_nothing_that_its_brokers_caller_did(loop: str) -> None:
    said = dict(line.split(":", 1) for line in settled(loop, SCRIPT).splitlines() if ":" in line)
    ignored, blocked = (int(said[name], 16) for name in ("SigIgn", "SigBlk"))
    unwanted = sum(1 << (number - 1) for number in UNWANTED)
    assert (ignored & unwanted, blocked) == (0, 0)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_worker_has_a_session_of_its_own(loop: str) -> None:
    [line] = [each for each in settled(loop, SCRIPT).splitlines() if each.startswith("session")]
    _, session, pid = line.split()
    assert session == pid
