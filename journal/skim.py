"""Looks at the two ends of a sealed segment whose content a snapshot vouches for.

A start that loads a snapshot does not read what came before it; it only makes sure that the file
is the one that belongs in this place: its first line, its last two lines, its size. Whether a byte
in between has rotted is `verify`'s question. None says only: look closer.
"""

from pathlib import Path
from typing import Final
from zlib import crc32

from journal.control import Sealed, SegmentStarted, is_control, read_control
from journal.door import knows
from journal.files import Files
from journal.limits import FORMAT
from journal.record import TRAILER_BYTES, Line, parse_line, running_after
from journal.segment import Look

_END_BYTES: Final = 16 * 1024
"""A seal and an ordinary line before it; a longer line makes the look a closer one."""


def skim_sealed(files: Files, path: Path, base: int, kinds: frozenset[str] | None) -> Look | None:
    """What the ends of the file say, when they leave no question open."""
    handle = files.open(path, "read")
    try:
        size = files.size(handle)
        start = files.read(handle, 0, _END_BYTES)
        end = files.read(handle, max(0, size - _END_BYTES), _END_BYTES)
    finally:
        files.close(handle)
    first = parse_line(start.partition(b"\n")[0])
    before, _, last_line = end.removesuffix(b"\n").rpartition(b"\n")
    previous = parse_line(before.rpartition(b"\n")[2])
    last = parse_line(last_line)
    if first is None or previous is None or last is None or not end.endswith(b"\n"):
        return None
    if not (_checks(first, 0) and _checks(last, running_after(previous.crc))):
        return None
    started, seal = read_control(first), read_control(last)
    if not isinstance(started, SegmentStarted) or not isinstance(seal, Sealed):
        return None
    if first.seq != base or started.base != base or started.format > FORMAT:
        return None
    if seal.count != last.seq - base or seal.bytes != size - len(last_line) - 1:
        return None
    if seal.kinds is None or not all(is_control(kind) or knows(kinds, kind) for kind in seal.kinds):
        return None
    return Look(
        base=base,
        size=size,
        count=seal.count + 1,
        end=size,
        running=running_after(last.crc),
        last=last,
        started=started,
        seal=seal,
        epoch=started.epoch,
        started_at=first.at,
    )


def _checks(line: Line, running: int) -> bool:
    return b"%08x" % crc32(line.raw[:-TRAILER_BYTES], running) == line.raw[-10:-2]
