"""Screen: the model of what a person would see, behind a protocol small enough to be replaced.

The model takes output in any pieces, valid or not, within bounded memory, and answers the queries
that programs send to a terminal. It knows neither the program nor the messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pyghostty import Terminal as Ghostty
from pyghostty import core as ghostty

SCROLLBACK_LINES = 0
"""Nobody asks for what has left the screen: output streams to whoever watches."""

BRACKETED_PASTE = 2004
"""The mode in which a program asks for pastes between two marks."""


class Screen(Protocol):
    """What the holder needs of a terminal model. Rows and columns count from 1."""

    def feed(self, data: bytes) -> None:
        """Output of the program, in any pieces."""

    def rows(self) -> tuple[str, ...]:
        """The text of every row, right-trimmed."""

    def repaint(self) -> str:
        """Escape sequences that draw this screen on an empty terminal, modes included."""

    def resize(self, rows: int, cols: int) -> None: ...

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def cursor(self) -> tuple[int, int]: ...

    @property
    def paste_mode(self) -> bool:
        """Whether the program has asked for pastes to be bracketed."""


class GhosttyScreen:
    """The `Screen` of libghostty. `reply` takes the answers to queries, while a feed is running."""

    def __init__(self, rows: int, cols: int, reply: Callable[[bytes], None]) -> None:
        self._terminal = Ghostty(cols, rows, scrollback=SCROLLBACK_LINES)
        self._terminal.on_reply(reply)

    def feed(self, data: bytes) -> None:
        self._terminal.feed(data)

    def rows(self) -> tuple[str, ...]:
        lines = [line.rstrip() for line in self._terminal.text().split("\n")]
        return tuple(lines + [""] * (self.size[0] - len(lines)))

    def repaint(self) -> str:
        options = ghostty.init_sized("GhosttyFormatterTerminalOptions")
        options.emit = ghostty.lib.GHOSTTY_FORMATTER_FORMAT_VT
        options.trim = True
        options.extra.modes = options.extra.scrolling_region = options.extra.keyboard = True
        options.extra.screen.cursor = options.extra.screen.style = True
        handle = ghostty.ffi.new("GhosttyFormatter*")
        made = ghostty.lib.ghostty_formatter_terminal_new(
            ghostty.ffi.NULL, handle, self._terminal._t[0], options[0]
        )
        ghostty.check(made, "formatter")
        try:
            text: str = ghostty.read_buf(
                lambda buffer, size, needed: ghostty.lib.ghostty_formatter_format_buf(
                    handle[0], buffer, size, needed
                )
            )
        finally:
            ghostty.lib.ghostty_formatter_free(handle[0])
        return text

    def resize(self, rows: int, cols: int) -> None:
        self._terminal.resize(cols, rows)

    @property
    def size(self) -> tuple[int, int]:
        cols, rows = self._terminal.size
        return rows, cols

    @property
    def cursor(self) -> tuple[int, int]:
        column, row = self._terminal.cursor
        return row + 1, column + 1

    @property
    def paste_mode(self) -> bool:
        return bool(self._terminal.mode(BRACKETED_PASTE))
