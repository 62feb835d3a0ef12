"""How a command fails: one exception, with the exit code of the process.

A failure is one sentence that names what is wrong and, wherever there is one, the next command to
run. This module knows neither the terminal nor the broker.
"""

from __future__ import annotations


class Failure(Exception):
    """A command that cannot be carried out: what is wrong, and what to do next."""

    def __init__(self, code: int, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.what}; {self.next_step}" if self.next_step else self.what
