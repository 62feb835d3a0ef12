"""Exit codes: the one list of what the process of a command says by how it ends.

A program that calls ackbook decides by the exit code alone, so a code means the same in every verb,
and no verb invents one. A broker in front ends with one of these, too. This module knows no error.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the exit code of a command says.

    The last two are the shell's own numbers for a command that was interrupted (signal 2) or whose
    reader went away (signal 13).
    """

    DONE = 0
    NO = 1
    USAGE = 2
    NOT_FOUND = 3
    CORRUPT = 4
    LOCKED = 5
    TIMED_OUT = 6
    LOST = 7
    REFUSED = 8
    UNCONFIRMED = 9
    NEWER_FORMAT = 10
    IO_ERROR = 74
    INTERRUPTED = 130
    READER_GONE = 141
