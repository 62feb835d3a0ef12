"""What leaves the command line: data on standard output, talk on standard error.

Data is for programs as much as for people, so nothing else ever stands on standard output; with
`--json` it is one object, or one a line for streams. Colour is for terminals only, and never when
NO_COLOR is set. Text that came from agents may hold control characters, which would act on the
reader's terminal: `plain` shows them instead.

This module knows no verb and no shape of data.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from datetime import datetime
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_UNBOUNDED = 1_000
"""Columns where standard output is no terminal: a pipe shall get whole cells, not cut ones."""

PROSE_WIDTH_MIN = 20
"""In a narrower column the terminal's own wrapping reads better."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_encoder = msgspec.json.Encoder()


def emit(value: object) -> None:
    """One JSON object on one line of standard output."""
    click.echo(_encoder.encode(value).decode())


def tell(text: str = "") -> None:
    """A line of data for people, on standard output."""
    click.echo(text)


def say(text: str) -> None:
    """A line of talk, on standard error."""
    click.echo(text, err=True)


def say_meanwhile(text: str) -> None:
    """Talk that the next one replaces, where a person watches; an empty one takes it away."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)


def dim(text: str) -> str:
    return click.style(text, dim=True)


def bold(text: str) -> str:
    return click.style(text, bold=True)


def good(text: str) -> str:
    return click.style(text, fg="green")


def poor(text: str) -> str:
    return click.style(text, fg="yellow")


def bad(text: str) -> str:
    return click.style(text, fg="red")


def plain(text: str) -> str:
    """Text of strangers with its control characters made visible; newline and tab stay."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def hanging(head: str, text: str) -> str:
    """Prose behind its head, further lines indented to where it begins. A pipe gets one line."""
    begins = len(click.unstyle(head))
    width = shutil.get_terminal_size().columns - begins
    if not sys.stdout.isatty() or width < PROSE_WIDTH_MIN:
        return head + text
    return head + f"\n{' ' * begins}".join(textwrap.wrap(text, width) or [""])


def console() -> Console:
    """Where tables are printed. Imported late: most verbs print no table."""
    from rich.console import Console

    class Piped(Console):
        """Lets whoever calls know that the reader is gone; rich itself would end with 1."""

        def on_broken_pipe(self) -> None:
            raise

    unbounded = None if sys.stdout.isatty() else WIDTH_UNBOUNDED
    return Piped(
        width=unbounded,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )


def evidence_text(evidence: object) -> str:
    """What was observed and where: `echo line, output bytes 10 to 40`; empty where nothing was."""
    if not isinstance(evidence, dict):
        return ""
    how = str(evidence.get("how", "")).replace("_", " ")
    first, last = evidence.get("offset_from"), evidence.get("offset_to")
    if isinstance(first, int) and first >= 0:
        return f"{how}, output bytes {first} to {last}"
    return how


def clock_time(at: int) -> str:
    """A time in microseconds UTC, as the clock on the wall here shows it, to the millisecond."""
    return datetime.fromtimestamp(at / 1e6).strftime("%H:%M:%S.%f")[:-3]


def field_time(name: str, value: object) -> str | None:
    """The clock time that a field of a record holds; None for a field that holds none."""
    if isinstance(value, int) and name.endswith(("_at", "until")):
        return clock_time(value)
    return None


def full_time(at: int) -> str:
    """A time in microseconds UTC, with its day and its zone."""
    there = datetime.fromtimestamp(at / 1e6).astimezone()
    return there.strftime("%Y-%m-%d %H:%M:%S %Z")


def exact_time(at: int) -> str:
    """The same to the millisecond, for records that follow each other closely."""
    there = datetime.fromtimestamp(at / 1e6).astimezone()
    return there.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + there.strftime(" %Z")


def duration(microseconds: int) -> str:
    """A span of time in at most two units: `40 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`."""
    seconds = microseconds / 1e6
    if seconds < 1:
        return f"{round(seconds * 1e3)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
