"""How people name a moment of a journal: a position, a time, or so long before its end or now.

| written | meant |
|---|---|
| `4298` | that record |
| `2026-01-31`, `2026-01-31T18:32:05` | that time, on the clock on the wall here; or with a zone |
| `18:32` | the last such time of day that the journal knows |
| `-5m`, `end-5m` | so long before the last record: tomorrow and in a copy it is the same |
| `12h` | so long before now |
| `end` | the last record |

What means nothing here is said so, with what would mean something.
"""

from __future__ import annotations

import re
import time as clock
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import NamedTuple, TypeVar

import click

from ackbook.broker.exit_codes import ExitCode
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.output import exact_time, plain
from ackbook.tools.history.journal import JournalHistory

FORMS = "2026-01-31T18:32:05, 18:32, -5m, 12h, or end"
"""What may stand for a time."""

FORMS_TOLD = "2026-01-31T18:32:05, 18:32, -5m (before the last record), 12h (before now), or end"
"""The same where there is room to say what it is relative to."""

END = "end"

_SEQ = re.compile(r"[0-9]{1,13}")
"""More digits than any position has are none."""

_BEFORE = re.compile(r"((?:end)?-)?([0-9]{1,12})(ms|s|m|h|d|w)")
_UNIT_US = {
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 7 * 86_400_000_000,
}

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")


class Moment(NamedTuple):
    """A record that somebody meant, and its time; 0 and 0 before the first one."""

    seq: int
    at: int

    def told(self) -> str:
        return (
            f"record {self.seq}, {exact_time(self.at)}" if self.seq else "before the first record"
        )


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a listing begins or ends: a record, or a time in microseconds UTC, one of them. It need
    not be in the journal."""

    seq: int | None = None
    at: int | None = None

    def is_after(self, seq: int, at: int) -> bool:
        """Whether this moment lies behind what happened at `seq` and `at`."""
        if self.seq is not None:
            return seq < self.seq
        assert self.at is not None
        return at < self.at


def since_option(function: F) -> F:
    """`--since`: a moment with which a listing begins."""
    meaning = f"Enqueued from then on: a position, or {FORMS_TOLD}."
    return click.option("--since", metavar="WHEN", help=meaning)(function)


def until_option(function: F) -> F:
    """`--until`: a moment before which it ends."""
    return click.option("--until", metavar="WHEN", help="Enqueued before then.")(function)


def bound_of(history: JournalHistory, text: str | None) -> Bound | None:
    """The bound that is meant; None where none was named. Raises `Failure` for what is none."""
    if text is None:
        return None
    if _SEQ.fullmatch(text):
        return Bound(seq=int(text))
    head = history.head()
    end = at_seq(history, head)
    if text == END:
        return Bound(seq=head)
    at = read_time(text, end.at, _now())
    if at is None:
        raise _not_understood(text)
    return Bound(at=at)


def moment_of(history: JournalHistory, text: str) -> Moment:
    """The record that is meant by a position, a time or `end`. Raises `Failure` as `at_seq` and
    `at_time` do."""
    if _SEQ.fullmatch(text):
        return at_seq(history, int(text))
    return at_time(history, text)


def at_seq(history: JournalHistory, seq: int) -> Moment:
    """The moment of this record. Raises `Failure` where the journal does not reach so far."""
    head = history.head()
    if seq > head:
        raise Failure(ExitCode.USAGE, f"the journal ends at {head}, there is no record {seq} yet")
    line = history.line(seq)
    return Moment(seq, line.at if line else 0)


def at_time(history: JournalHistory, text: str) -> Moment:
    """The last record at or before this time. Raises `Failure` for what is no time, and for one
    before all that is kept: which record was the last one then is not known any more."""
    head = history.head()
    if not head:
        return Moment(0, 0)
    end = at_seq(history, head)
    if text == END:
        return end
    at = read_time(text, end.at, _now())
    if at is None:
        raise _not_understood(text)
    found = history.position_at(at)
    if found is None and (oldest := history.oldest()) > 1:
        raise _before_what_is_kept(text, oldest)
    return Moment(found.seq, found.at) if found else Moment(0, 0)


def read_time(text: str, end_at: int, now_at: int) -> int | None:
    """Microseconds UTC; `end_at` is the time of the last record. None for what is no time."""
    text = text.strip()
    before = _BEFORE.fullmatch(text)
    if before is not None:
        origin = end_at if before[1] else now_at
        return max(0, origin - int(before[2]) * _UNIT_US[before[3]])
    return _day_time(text, end_at) or _calendar_time(text)


def _day_time(text: str, end_at: int) -> int | None:
    """A time of day: the last such one that is not after the last record."""
    clock = _parsed(time.fromisoformat, text) if ":" in text else None
    if clock is None:
        return None
    end = datetime.fromtimestamp(end_at / 1e6, clock.tzinfo)
    then = datetime.combine(end.date(), clock)
    return _microseconds(then if then <= end else then - timedelta(days=1))


def _calendar_time(text: str) -> int | None:
    # Python reads a bare number as a date, which nobody means here: it is a position.
    if text.isdecimal():
        return None
    then = _parsed(datetime.fromisoformat, text)
    return None if then is None else _microseconds(then)


def _parsed(parse: Callable[[str], T], text: str) -> T | None:
    try:
        return parse(text)
    except ValueError:
        return None


def _microseconds(then: datetime) -> int | None:
    try:
        since = then.astimezone() - datetime.fromtimestamp(0).astimezone()
    except (OverflowError, ValueError):
        return None
    return max(0, since // timedelta(microseconds=1))


def _now() -> int:
    return clock.time_ns() // 1_000


def _before_what_is_kept(text: str, oldest: int) -> Failure:
    return Failure(
        ExitCode.NOT_FOUND,
        f"{plain(text)} is before record {oldest}, the first that is kept; which record was the"
        " last one then is not known",
        "name a later time, or a position",
    )


def _not_understood(text: str) -> Failure:
    if _SEQ.fullmatch(text):
        return Failure(
            ExitCode.USAGE, f"{text} is a position, and no time", f"say: ackbook replay --to {text}"
        )
    return Failure(ExitCode.USAGE, f"{plain(text)!r} is no time", f"a time is written {FORMS_TOLD}")
