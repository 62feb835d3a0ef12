"""Tells a line that was edited, with its checksum made anew, from one beside which a byte rotted.

A checksum runs on over the file, so the line behind an edited one does not fit any more, although
it is whole and the line after that fits to it. Rot looks the same in one case: it hit that next
line and left it whole. But rot is small: where one other byte makes the next line fit, it was rot,
and the line before it is good. Where none does, one of the two was edited, and neither is proven.

A hand that makes every later checksum anew, and the seal, leaves no such trace: only what stands
elsewhere (the next segment, HEAD, a token) knows better.
"""

from typing import Final
from zlib import crc32

import msgspec

from ackbook.journal.format.record import (
    TRAILER_BYTES,
    UNREADABLE,
    Line,
    parse_line,
    running_after,
)

SEARCH_BYTES_MAX: Final = 64 * 1024
"""Of a longer line, one byte in three hundred times would explain anything by chance."""


def contradicts(line: Line, rest: bytes) -> bool:
    """Whether what follows a good line proves that this line, or the next one, was edited. `rest`
    begins with the next line, which does not fit."""
    raw, _, behind = rest.partition(b"\n")
    following = parse_line(raw)
    if following is None or following.seq != line.seq + 1 or not _is_json(raw):
        return False
    third = parse_line(behind.partition(b"\n")[0])
    if third is not None and not _fits(third, following):
        return False  # what the next line states is not good either
    return not _is_explained_by_rot(following, running_after(line.crc))


def _fits(line: Line, before: Line) -> bool:
    computed = crc32(line.raw[:-TRAILER_BYTES], running_after(before.crc))
    return line.seq == before.seq + 1 and b"%08x" % computed == line.raw[-10:-2]


def _is_json(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except UNREADABLE:
        return False
    return True


def _is_explained_by_rot(line: Line, running: int) -> bool:
    """Whether one byte of the line, changed, would make its checksum right."""
    body = line.raw[:-TRAILER_BYTES]
    computed = b"%08x" % crc32(body, running)
    if sum(ours != theirs for ours, theirs in zip(computed, line.raw[-10:-2], strict=True)) <= 1:
        return True  # it was in the checksum
    if len(body) > SEARCH_BYTES_MAX:
        return True  # nothing is known
    difference = int(computed, 16) ^ int(line.crc, 16)
    for _ in body:
        if difference in _OF_ONE_BYTE:
            return True
        index = _BY_TOP[difference >> 24]
        difference = ((difference ^ _TABLE[index]) << 8 | index) & 0xFFFFFFFF
    return False


def _table() -> tuple[int, ...]:
    """The change of a CRC-32 by one byte, as every textbook has it."""
    made = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        made.append(value)
    return tuple(made)


_TABLE: Final = _table()
_OF_ONE_BYTE: Final = frozenset(_TABLE[1:])
_BY_TOP: Final = {value >> 24: index for index, value in enumerate(_TABLE)}
"""Each top byte stands once in the table, so a step can be taken back."""
