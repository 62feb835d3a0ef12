"""Human input: whether a person has begun to type something that is not submitted yet.

Keystrokes are known, since they come through us. A line is begun by a character. It is ended by
Enter, ^C or ^U, as soon as the screen shows that the program has taken that key, or after
`ENDING_MS` where a program shows nothing. What editing keys leave of a line is not computed but
seen: when the row before the cursor, once changed by the typing, looks again as it did before the
first key, nothing is left.

A line end inside a paste, or after Alt, is part of the line and ends nothing; an answer to a dialog
is a line as long as it stands behind the question. What a terminal sends by itself (answers to
queries, focus, mouse) is no typing. This module is pure and knows neither the terminal nor the
person; time is an argument.
"""

from __future__ import annotations

import re

ENDING_MS = 500
"""A line editor answers a key within a frame; a program that shows nothing is not waited for."""

_BY_ITSELF = re.compile(
    rb"\x1b(?:\[[?>]?[\d;]*[RcnyutIO]|\[<[\d;]*[mM]|\[M...|[\]P][^\x07\x1b]*(?:\x07|\x1b\\))",
    re.DOTALL,
)
_MOVES = re.compile(rb"\x1b(?:\[[\d;]*[CDHF]|O[CDHF])")
_PASTE_BEGINS, _PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"
_PASTE = re.compile(rb"\x1b\[200~(.*?)(?:\x1b\[201~|\Z)", re.DOTALL)
_CUT = re.compile(rb"\x1b(?:\[(?:2(?:0[01]?)?)?)?\Z")
_ALT_ENTER = re.compile(rb"\x1b[\r\n]")
_TEXT = b"x"
_ENDS = b"\r\n\x03\x15"
_HARMLESS = frozenset(b"\x01\x02\x05\x06\x0c\x1b\x08\x7f")
"""Keys that begin no line: to its ends, one character on, redraw, escape, delete."""


class Keyboard:
    """Reads what a person's terminal sends, in any pieces, as keys."""

    def __init__(self) -> None:
        self._pasting = False
        self._carry = b""

    def keys(self, data: bytes) -> bytes:
        """The keys of this piece; one character stands for each paste, and for Enter with Alt.

        A lone ^C ends a paste whose end was lost with the connection that it came through.
        """
        if data == b"\x03":
            self._pasting, self._carry = False, b""
            return data
        if self._pasting or self._carry != b"\x1b" or data.startswith(b"["):
            data = self._carry + data  # else it was the key Escape, which begins nothing
        if self._pasting:
            data = _PASTE_BEGINS + data
        self._pasting = data.rfind(_PASTE_BEGINS) > data.rfind(_PASTE_ENDS)
        cut = _CUT.search(data)
        self._carry = cut.group() if cut is not None else b""
        data = data.removesuffix(self._carry)
        return _ALT_ENTER.sub(_TEXT, _PASTE.sub(lambda paste: paste.group(1) and _TEXT, data))


class HumanLine:
    """The line that a person is typing, if any. Rows are what stands left of the cursor."""

    def __init__(self) -> None:
        self.typing = False
        self._question = ""
        self._before = ""
        self._changed = False
        self._ending: str | None = None
        self._ending_at = 0

    @property
    def answering(self) -> bool:
        """What is being typed stands behind the question of a dialog."""
        return self.typing and bool(self._question)

    def keys(self, data: bytes, row: str, at_ms: int, asked: bool = False) -> None:
        """Keys go to the terminal, whose row is still as it was before them.

        `asked`: the row is the question of a dialog.
        """
        rest = _MOVES.sub(b"", _BY_ITSELF.sub(b"", data))
        ended = max(rest.rfind(mark) for mark in _ENDS)
        begun = any(key not in _HARMLESS for key in rest[ended + 1 :])
        if ended >= 0 and not begun and self.typing:
            self._ending, self._ending_at = row.rstrip(), at_ms
        elif begun:
            if not self.typing:
                self._before, self._changed = row.rstrip(), False
                self._question = self._before if asked else ""
            self.typing, self._ending = True, None

    def look(self, row: str, at_ms: int) -> None:
        """The row as it is now."""
        row = row.rstrip()
        if self.typing and self._ending is not None:
            taken = not row.startswith(self._ending) or at_ms - self._ending_at >= ENDING_MS
            self.typing = not taken
        elif self.typing and not row.startswith(self._question):
            self.typing = False
        elif self.typing and row != self._before:
            self._changed = True
        elif self.typing and self._changed:
            self.typing = False


def submits(data: bytes) -> bool:
    """Whether these keystrokes press Enter."""
    rest = _BY_ITSELF.sub(b"", data)
    return b"\r" in rest or b"\n" in rest


def abandons(data: bytes) -> bool:
    """Whether these keystrokes throw away what stands in the input line."""
    return b"\x03" in data or b"\x15" in data
