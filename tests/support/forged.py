"""Journal files as a hand makes them that knows the format: edited, with checksums made anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from ackbook.journal.format.head import SLOT_BYTES
from ackbook.journal.format.record import TRAILER_BYTES, Line, parse_line, running_after

Edit = Callable[[Line], bytes]
"""The bytes that a line is to have; its checksum is made anew."""


def edited(content: bytes, edit: Edit) -> bytes:
    """All lines as `edit` wants them, and every checksum of the file made anew."""
    running, made = 0, b""
    for raw in content.rstrip(b"\n").split(b"\n"):
        line = parse_line(raw)
        assert line is not None
        made += _signed(edit(line), running)
        running = running_after(made[-11:-3].decode())
    return made


def edited_line(content: bytes, seq: int, edit: Edit) -> bytes:
    """One line edited, and its own checksum made anew: those behind it stay what they were."""
    running, made = 0, []
    for raw in content.rstrip(b"\n").split(b"\n"):
        line = parse_line(raw)
        assert line is not None
        made.append(_signed(edit(line), running) if line.seq == seq else raw + b"\n")
        running = running_after(made[-1][-11:-3].decode())
    return b"".join(made)


def _signed(raw: bytes, running: int) -> bytes:
    body = raw[:-TRAILER_BYTES]
    return body + b',"crc":"%08x"}\n' % crc32(body, running)


def blind_head(journal: Path) -> None:
    """HEAD as a power cut may leave it: there, and without a word that can be read."""
    (journal / "HEAD").write_bytes(b"\xff" * 2 * SLOT_BYTES)
