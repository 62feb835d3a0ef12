"""What a process inherits through exec: made as bad as a caller can, and read back."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import msgspec

UNWANTED = (
    *(signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT),
    *(signal.SIGPIPE, signal.SIGCHLD, signal.SIGTSTP, signal.SIGUSR1, signal.SIGRTMIN),
)
"""What a caller ignores and blocks here."""


class Inherited(msgspec.Struct, frozen=True):
    """Of a process: which signals it ignores and blocks, its umask, and its descriptors.

    Of the signals that a program can set. The C library keeps two for its threads, lets nobody set
    them, and sets them itself before it needs them: what a caller left there harms nobody."""

    ignored: frozenset[int]
    blocked: frozenset[int]
    umask: int
    descriptors: frozenset[int]


CLEAN = Inherited(frozenset(), frozenset(), 0o022, frozenset({0, 1, 2}))


def spoil() -> None:
    """What a thoughtless caller leaves to whom it starts. Between fork and exec."""
    for number in UNWANTED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, UNWANTED)
    os.umask(0o077)
    for descriptor in (90, 91):  # not where Popen has its own pipe
        os.dup2(2, descriptor)


def inherited_by(pid: int) -> Inherited:
    """How a process began that has changed nothing of it: `cat` and `sleep` are such."""
    status = Path(f"/proc/{pid}/status").read_text()
    listed = os.listdir(f"/proc/{pid}/fd")
    return Inherited(
        ignored=_numbers(status, "SigIgn"),
        blocked=_numbers(status, "SigBlk"),
        umask=int(_field(status, "Umask"), 8),
        descriptors=frozenset(map(int, listed)),
    )


def _numbers(status: str, field: str) -> frozenset[int]:
    mask = int(_field(status, field), 16)
    return frozenset(n for n in signal.valid_signals() if mask >> (n - 1) & 1)


def _field(status: str, name: str) -> str:
    found = re.search(rf"^{name}:\s*(\w+)", status, re.MULTILINE)
    assert found is not None, status
    return found[1]
