"""How a command ends: the exit codes of every verb, and the one exception that carries them.

A program that calls ackbook decides by the exit code alone, so a code means the same in every verb,
and no verb invents one. A failure is one sentence that names what is wrong and, wherever there is
one, the next command to run. This module knows neither the terminal nor the broker.
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


class Failure(Exception):
    """A command that cannot be carried out: what is wrong, and what to do next."""

    def __init__(self, code: int, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.what}; {self.next_step}" if self.next_step else self.what
