"""Human: whether a person has begun to type something that is not submitted yet.

Keystrokes are known, since they come through us. A line is begun by a character and ended by Enter,
by ^C or by ^U. What editing keys leave of it is not computed but seen: when the row of the cursor,
once changed by the typing, looks again as it did before the first key, nothing is left.

What a terminal sends by itself (answers to queries, focus, mouse) is no typing. This module is
pure and knows neither the terminal nor the person.
"""

from __future__ import annotations

import re

_BY_ITSELF = re.compile(
    rb"\x1b(?:\[[?>]?[\d;]*[RcnyutIO]|\[<[\d;]*[mM]|\[M...|[\]P][^\x07\x1b]*(?:\x07|\x1b\\))",
    re.DOTALL,
)
_MOVES = re.compile(rb"\x1b(?:\[[\d;]*[CDHF]|O[CDHF])|\x1b\[20[01]~")
_ENDS = b"\r\n\x03\x15"
_HARMLESS = frozenset(b"\x01\x02\x05\x06\x0c\x1b\x08\x7f")
"""Keys that begin no line: to its ends, one character on, redraw, escape, delete."""


class HumanLine:
    """The line that a person is typing, if any."""

    def __init__(self) -> None:
        self.typing = False
        self._before = ""
        self._changed = False

    def keys(self, data: bytes, input_line: str) -> None:
        """Keystrokes go to the terminal; `input_line` is the row before the cursor until now."""
        rest = _MOVES.sub(b"", _BY_ITSELF.sub(b"", data))
        ended = max(rest.rfind(mark) for mark in _ENDS)
        if ended >= 0:
            self.typing = False
            rest = rest[ended + 1 :]
        if not self.typing and any(key not in _HARMLESS for key in rest):
            self.typing, self._before, self._changed = True, input_line.rstrip(), False

    def look(self, input_line: str) -> None:
        """The row before the cursor as it is now."""
        if not self.typing:
            return
        if input_line.rstrip() != self._before:
            self._changed = True
        elif self._changed:
            self.typing = False


def submits(data: bytes) -> bool:
    """Whether these keystrokes press Enter."""
    rest = _BY_ITSELF.sub(b"", data)
    return b"\r" in rest or b"\n" in rest


def abandons(data: bytes) -> bool:
    """Whether these keystrokes throw away what stands in the input line."""
    return b"\x03" in data or b"\x15" in data
