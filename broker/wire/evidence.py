"""Evidence: what the stream of output and the screen prove about one attempt at typing.

| level | proof | `how` |
|---|---|---|
| seen | the text stands in the output that came after the first byte was written | `echo_line` |
| seen | it stands on the screen once more than it did before | `grid_rows` |
| seen | the program shows a new placeholder for a large paste | `paste_placeholder` |
| submitted | after Enter the text has left the place before the cursor | `input_emptied` |
| submitted | line mode: after Enter the program has read the line | `input_emptied` |
| submitted | the text never stood before the cursor; output followed Enter | `output_followed` |

Whatever stood on the screen before is counted first, so that a text typed again, or one that the
program printed by itself, proves nothing. Nothing here quotes the text: evidence is positions.

This module is pure. It is told what happens, in order: `output` with every piece of the stream,
`look` with the screen as often as somebody looks, `entered` when Enter was typed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ackbook.broker.wire import echo
from ackbook.broker.wire.profiles import Profile
from ackbook.projections.facts import EventId, Evidence

TAIL_MAX = 40
"""Squashed characters of the end of a text that tell whether it stands before the cursor."""

TAIL_ROWS = 4
"""Rows above the cursor that such a tail can reach up to, in the narrowest useful terminal."""


class TerminalView(msgspec.Struct, frozen=True, kw_only=True):
    """A look at the terminal. `cursor` is (row, column) from 1, `cols` the width of a row.

    `unread`: bytes of whole lines that the program has not read yet; None outside line mode.
    """

    rows: tuple[str, ...]
    cols: int
    cursor: tuple[int, int]
    offset: int
    unread: int | None = None


class Witness:
    """Watches one attempt. `before` is the screen at the moment before the first byte."""

    def __init__(
        self, event_id: EventId, shown: str, before: TerminalView, profile: Profile
    ) -> None:
        self.seen: Evidence | None = None
        self.submitted: Evidence | None = None
        self.input_empty = False
        self.drawn = False
        """The end of the text stands on the screen: what a long text can show of itself."""
        self._token = event_id
        self._parts = echo.parts_of(shown)
        self._tail = echo.tail_of(self._parts, TAIL_MAX)
        self._profile = profile
        self._before = _Counts.of(self._parts, self._tail, profile, before)
        self._search = echo.Search(self._parts, before.offset, self._before.whole + 1)
        self._entered_at: int | None = None
        self._at_cursor = False
        self._line_mode = False
        self._answered = False

    @property
    def at_cursor(self) -> bool:
        """The text stood right before the cursor when somebody looked last before Enter."""
        return self._at_cursor

    @property
    def finished(self) -> bool:
        """Nothing is left to be seen."""
        return self.seen is not None and self.submitted is not None

    def output(self, data: bytes, offset: int) -> None:
        """A piece of the stream; `offset` is the stream's length after it."""
        if self._entered_at is not None and offset > self._entered_at:
            self._answered = True
        if self.seen is None and (place := self._search.feed(data)) is not None:
            self.seen = Evidence(
                how="echo_line",
                offset_from=place.begins,
                offset_to=place.ends,
                matched=self._token,
            )

    def entered(self, view: TerminalView) -> None:
        """Enter is about to be typed; the screen stands as in `view`."""
        self.look(view)
        self._entered_at = view.offset
        self._line_mode = view.unread is not None

    def look(self, view: TerminalView) -> None:
        """What the screen shows now."""
        at_cursor = stands_at_cursor(self._tail, view)
        now = _Counts.of(self._parts, self._tail, self._profile, view)
        self.drawn = at_cursor or now.tail > self._before.tail
        if self.seen is None:
            self.seen = self._seen_on(view, now)
        if self._entered_at is None:
            self._at_cursor = at_cursor
            return
        if self.submitted is None:
            self.submitted = self._submitted_on(view, at_cursor)
        self.input_empty = self.submitted is not None or not (
            at_cursor if self._at_cursor else self.drawn
        )

    def _seen_on(self, view: TerminalView, now: _Counts) -> Evidence | None:
        if now.whole > self._before.whole:
            first, last = _rows_of(self._parts, view.rows)
            return Evidence(
                how="grid_rows",
                offset_from=self._before.offset,
                offset_to=view.offset,
                row_first=first,
                row_last=last,
                matched=self._token,
            )
        if now.placeholders > self._before.placeholders:
            return Evidence(
                how="paste_placeholder",
                offset_from=self._before.offset,
                offset_to=view.offset,
            )
        return None

    def _submitted_on(self, view: TerminalView, at_cursor: bool) -> Evidence | None:
        assert self._entered_at is not None
        if self._line_mode:
            done, how, note = view.unread == 0, "input_emptied", "the line was read"
        elif self._at_cursor:
            done, how, note = not at_cursor, "input_emptied", ""
        else:
            done, how, note = self._answered, "output_followed", ""
        if not done:
            return None
        return Evidence(how=how, offset_from=self._entered_at, offset_to=view.offset, note=note)


class _Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How often things stand on a screen: the whole text, the end of it, placeholders."""

    whole: int
    tail: int
    placeholders: int
    offset: int

    @classmethod
    def of(
        cls, parts: Sequence[str], tail: Sequence[str], profile: Profile, view: TerminalView
    ) -> _Counts:
        text = "\n".join(view.rows)
        squashed = echo.squash(text)
        return cls(
            whole=echo.count(parts, squashed),
            tail=echo.count(tail, squashed),
            placeholders=sum(len(shape.findall(text)) for shape in profile.placeholders),
            offset=view.offset,
        )


def stands_at_cursor(tail: Sequence[str], view: TerminalView) -> bool:
    """Whether a text that ends in the parts of `tail` stands right before the cursor."""
    row, column = view.cursor
    here = echo.squash(before_column(view.rows[row - 1], column)) if row <= len(view.rows) else ""
    above = view.rows[max(0, row - 1 - TAIL_ROWS) : row - 1]
    wrapped = column == 1 and bool(above) and width(above[-1]) >= view.cols
    if not here and not wrapped:
        return False
    return echo.ends_with(tail, echo.squash("".join(above)) + here)


def before_column(row: str, column: int) -> str:
    """The part of a row of cells that lies left of `column`, counted from 1."""
    cells = 0
    for index, mark in enumerate(row):
        cells += echo.cells(mark)
        if cells >= column:
            return row[:index]
    return row


def width(row: str) -> int:
    """The cells that a row of text takes."""
    return sum(map(echo.cells, row))


def _rows_of(parts: Sequence[str], rows: Sequence[str]) -> tuple[int, int]:
    """The first and the last row (from 0) of the last place where the parts stand."""
    owners = [number for number, row in enumerate(rows) for _ in echo.squash(row)]
    text = "".join(map(echo.squash, rows))
    last, start = None, 0
    while (place := echo.find(parts, text, start)) is not None:
        last, start = place, place.ends
    if last is None:
        return -1, -1
    return owners[last.begins], owners[last.ends - 1]
