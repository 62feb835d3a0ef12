"""How far a long walk over a journal has come: one line on standard error that replaces itself.

Only where standard error is a terminal; a log or a pipe gets nothing. It says a position at most
ten times a second, and `done` leaves no trace of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator

import click

from ackbook.projections.codec import Entry

EVERY_RECORDS = 4_096
"""The clock is asked only this often: a record takes microseconds."""

EVERY_S = 0.1
"""Between two words."""


class Progress:
    """Of a walk through `last`."""

    def __init__(self, what: str, last: int) -> None:
        self._what = what
        self._last = last
        self._shown = sys.stderr.isatty()
        self._said_at = 0.0
        self._width = 0

    def watch(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The same entries, with a word on the way."""
        for count, entry in enumerate(entries):
            if self._shown and count % EVERY_RECORDS == 0:
                self._say(entry.seq)
            yield entry

    def done(self) -> None:
        """Wipe the line."""
        if self._width:
            click.echo(f"\r{' ' * self._width}\r", nl=False, err=True)
            self._width = 0

    def _say(self, seq: int) -> None:
        now = time.monotonic()
        if now - self._said_at < EVERY_S:
            return
        self._said_at = now
        text = f"{self._what} {seq:,} of {self._last:,} records"
        self._width = max(self._width, len(text))
        click.echo(f"\r{text:<{self._width}}", nl=False, err=True)
