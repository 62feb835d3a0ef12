"""Bounds of a listing as people name them: a position, a time, or how long ago.

`4298` is a record; `2026-11-22`, `2026-11-22T14:30` and `2026-11-22T14:30:05Z` are times, local
unless they say otherwise; `30m`, `12h`, `7d` are that long before now. A bound is compared with
records and knows nothing else of a journal.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_SEQ_DIGITS_MAX = 13
"""More than any position has."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A record, or a time in microseconds UTC: one of them is given."""

    seq: int | None = None
    at: int | None = None

    def is_after(self, seq: int, at: int) -> bool:
        """Whether this moment lies behind what happened at `seq` and `at`."""
        if self.seq is not None:
            return seq < self.seq
        assert self.at is not None
        return at < self.at


def since_option(function: F) -> F:
    """`--since`: a moment with which it begins."""
    return _option("--since", "Enqueued from then on: SEQ, TIME or 12h.")(function)


def until_option(function: F) -> F:
    """`--until`: a moment before which it ends."""
    return _option("--until", "Enqueued before then.")(function)


def _option(name: str, meaning: str) -> Callable[[F], F]:
    return click.option(name, metavar="WHEN", callback=_read, help=meaning)


def _read(_: click.Context, __: click.Parameter, text: str | None) -> Bound | None:
    if text is None:
        return None
    moment = parse_bound(text.strip(), time.time())
    if moment is None:
        raise click.BadParameter(
            f"{text!r} is neither a position, a time such as 2026-11-22T14:30, nor an age such"
            " as 12h"
        )
    return moment


def parse_bound(text: str, now_s: float) -> Bound | None:
    """What was named; None where it is none of the spellings."""
    if text.isascii() and text.isdecimal() and len(text) <= _SEQ_DIGITS_MAX:
        return Bound(seq=int(text))
    if ago := _AGO.fullmatch(text):
        return Bound(at=int((now_s - int(ago[1]) * _SECONDS[ago[2]]) * 1e6))
    try:
        return Bound(at=int(datetime.fromisoformat(text).timestamp() * 1e6))
    except (ValueError, OverflowError, OSError):
        return None


def iso(at: int) -> str:
    """A time in microseconds UTC as text that sorts."""
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="microseconds")
