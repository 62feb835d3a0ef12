"""Inherited: nobody goes through life with what the caller of his parents ignored or blocked.

`nohup`, the `&` of a shell script and many a supervisor start programs with signals ignored or
blocked. Both outlive every exec, so that far from there Ctrl-C does nothing, a hang-up ends nobody,
and the end of a child is not told. A handler does not outlive an exec. Hence:

| | ignored by its caller | blocked by its caller |
|---|---|---|
| a process of ours | a handler that does nothing; the end of a child is heard | unblocked |
| a program of others | default, all of them | unblocked |

The signals that the C library keeps for its threads (32 and 33 of glibc) nobody but itself can set.
What only a process itself can want ignored stays so in ours, and Python's `subprocess` gives it
back to children: a write to a pipe that is closed, or beyond a limit, is an error there.
"""

from __future__ import annotations

import signal
from types import FrameType

FIXED = frozenset({signal.SIGKILL, signal.SIGSTOP})
"""Nobody can ignore or handle these."""

STAYS = frozenset({signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTTIN, signal.SIGTTOU})
"""Ignored, a read or a write under them says what is wrong; with a handler it would be tried again
for ever."""


def settle_in() -> None:
    """Make this process one of ours: see the table. It is called in the main thread, before there
    is another one. Whoever wants to hear a signal sets his handler afterwards."""
    for number in signal.valid_signals() - FIXED - STAYS:
        if signal.getsignal(number) is signal.SIG_IGN:
            is_child = number == signal.SIGCHLD
            signal.signal(number, signal.SIG_DFL if is_child else _unheard)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def forget() -> None:
    """Make this process one of others: every signal does what it does by default, and none is
    blocked. Between fork and exec."""
    for number in signal.valid_signals() - FIXED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _unheard(_: int, __: FrameType | None) -> None:
    """Whoever started us wants nothing to happen."""
