"""Counts what a peer really syncs: an answer that no sync stands under is no answer.

The kernel is asked, through strace, in a round of its own that is not timed.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

CALLS = "fsync,fdatasync,msync,sync_file_range,syncfs,io_submit"
_ROW = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.MULTILINE)


def count_syncs(pids: Sequence[int], action: Callable[[], object]) -> int | None:
    """How often these processes and their children synced meanwhile; None without strace."""
    if shutil.which("strace") is None:
        return None
    with tempfile.NamedTemporaryFile() as file:
        attach = [part for pid in pids for part in ("-p", str(pid))]
        command = ["strace", "-f", "-c", "-e", f"trace={CALLS}", "-o", file.name, *attach]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr
        attached = [process.stderr.readline() for _ in pids]
        try:
            action()
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()
        if not all("attached" in line for line in attached):
            return None
        rows = _ROW.findall(Path(file.name).read_text())
    return sum(int(calls) for calls, name in rows if name != "total")
