"""The caller's own terminal while it is joined to an agent's: raw, and afterwards as it was.

In raw mode every key goes to the program, so one key is kept for the way out. However the joining
ends (detached, program gone, connection broken, a signal, a bug), the modes of the line discipline
come back, and the display leaves what the program may have switched on: the alternate screen, mouse
reports, bracketed paste, a hidden cursor. This module knows terminals and no network.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import anyio

DETACH_KEYS = (b"\x1d", b"\x1b[93;5u", b"\x1b[27;5;93~")
"""Ctrl-] as terminals send it: plainly, by the kitty protocol, by xterm's modifyOtherKeys."""

MAIN_SCREEN = b"\x1b[?1047l"
CALM = (
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l"  # no mouse reports
    b"\x1b[?2004l\x1b[?1004l\x1b[?1l\x1b>\x1b[<u"  # paste, focus, cursor keys, keypad, kitty keys
    b"\x1b[?7h\x1b[?25h\x1b[0m\x1b[r"  # wrapping and cursor on, no colours, whole screen scrolls
)
TITLE_KEPT, TITLE_BACK = b"\x1b[22;2t", b"\x1b[23;2t"
"""Put the window's title on a stack, and take it from there again."""

READ_BYTES_MAX = 64 * 1024
"""Keys that are taken at once; a larger paste comes in pieces."""


@contextmanager
def raw_mode(keyboard: int, display: int) -> Iterator[None]:
    """Every key is ours until the block ends; then both are as they were before."""
    before = termios.tcgetattr(keyboard)
    try:
        tty.setraw(keyboard, termios.TCSADRAIN)
        yield
    finally:
        with suppress(OSError, termios.error):  # a window that was closed needs nothing back
            termios.tcsetattr(keyboard, termios.TCSAFLUSH, before)
            if os.isatty(display):
                _calm(display)


def show_title(display: int, title: str) -> None:
    """What the window is about; `raw_mode` brings the old title back at its end."""
    if os.isatty(display):
        write_all(display, TITLE_KEPT + b"\x1b]2;" + title.encode() + b"\x07")


def size(display: int) -> tuple[int, int]:
    """Rows and columns; 24 by 80 where there is no terminal to ask."""
    try:
        packed = fcntl.ioctl(display, termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return (24, 80)
    rows, cols, _, _ = struct.unpack("HHHH", packed)
    return (rows or 24, cols or 80)


def until_detach(keys: bytes) -> tuple[bytes, bool]:
    """What was typed before the way out, and whether it was taken."""
    found = [at for key in DETACH_KEYS if (at := keys.find(key)) >= 0]
    return (keys[: min(found)], True) if found else (keys, False)


def write_all(display: int, data: bytes) -> None:
    """Write everything; a slow terminal slows its own reader, nobody else."""
    view = memoryview(data)
    while view:
        view = view[os.write(display, view) :]


async def keys_from(keyboard: int) -> bytes:
    """The next keys that were typed; empty when the terminal is gone."""
    await anyio.wait_readable(keyboard)
    try:
        return os.read(keyboard, READ_BYTES_MAX)
    except OSError:
        return b""


def _calm(display: int) -> None:
    """Undo the display's modes. The cursor is kept: a reset scroll region would home it."""
    write_all(display, MAIN_SCREEN + b"\x1b7" + CALM + b"\x1b8" + TITLE_BACK + b"\r\n")
