"""Reads one segment in blocks of verified lines, in bounded memory (an archive is unpacked first).

Each block is checked with one checksum that runs on from the block before; when that fails the
block is walked line by line, so that everything before the first bad line is still given. Newlines
at the end are room; when something stands behind them, that is said in `wrong`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from msgspec import Struct

from ackbook.journal.format.compression import PackUnreadable, is_packed, unpack
from ackbook.journal.format.record import Position, parse_line
from ackbook.journal.reading.scanner import BLOCK_BYTES, Block, Walker, good_block
from ackbook.journal.storage.files import Files, read_whole

_Read = Callable[[int, int], bytes]
"""Bytes from an offset on, fewer than asked for only at the end."""


class LinePosition(Struct, frozen=True, gc=False):
    """Where the next line of a segment starts, and what is known of everything before it."""

    base: int
    expected: int
    offset: int = 0
    running: int = 0
    count: int = 0


class SegmentBlocks:
    """Iterate once. `place` is behind the last block that was given; `wrong` says why the blocks
    ended before the end of the segment, None when they did not."""

    __slots__ = ("_files", "_path", "place", "wrong")

    def __init__(self, files: Files, path: Path, place: LinePosition) -> None:
        self._files = files
        self._path = path
        self.place = place
        self.wrong: str | None = None

    def __iter__(self) -> Iterator[Block]:
        if is_packed(self._path.name):
            yield from self._unpacked()
            return
        handle = self._files.open(self._path, "read")
        try:
            yield from self._blocks(partial(self._files.read, handle))
        finally:
            self._files.close(handle)

    def _unpacked(self) -> Iterator[Block]:
        try:
            content = unpack(self._path.name, read_whole(self._files, self._path))
        except PackUnreadable as error:
            self.wrong = str(error)
            return
        yield from self._blocks(lambda offset, size: content[offset : offset + size])

    def _blocks(self, read: _Read) -> Iterator[Block]:
        held, at_end = b"", False
        while not at_end:
            offset = self.place.offset + len(held)
            # A line longer than a block is read in steps that double.
            size = BLOCK_BYTES - len(held) if len(held) < BLOCK_BYTES else len(held)
            part = read(offset, size)
            at_end = not part
            held += part
            whole = held if at_end else held[: held.rfind(b"\n") + 1]
            lines = _without_room(whole)
            if lines:
                block = self._check(lines)
                if block is not None:
                    yield block
                if self.wrong is not None:
                    return
                held = held[len(lines) :]
            if len(lines) < len(whole):
                self._check_room(read)
                return

    def _check(self, data: bytes) -> Block | None:
        place = self.place
        block = good_block(data, place.expected, place.running)
        if block is not None:
            count = place.count + block.last.seq - block.first + 1
            following = block.last.seq + 1
            offset = place.offset + len(data)
            self.place = LinePosition(place.base, following, offset, block.running, count)
            return block
        return self._walk(data)

    def _walk(self, data: bytes) -> Block | None:
        place = self.place
        walker = Walker(
            data,
            place.expected,
            offset=place.offset,
            running=place.running,
            count=place.count,
        )
        for _ in walker:
            pass
        self.wrong = walker.wrong
        last = walker.last
        if last is None:
            return None
        self.place = LinePosition(
            place.base, walker.expected, walker.byte, walker.running, walker.count
        )
        good = data[: walker.end]
        first = parse_line(good[: good.index(b"\n")])
        assert first is not None, "the walker gave it"
        position = Position(last.seq, last.at, last.crc)
        return Block(good, first.seq, position, last.d, walker.running, dense=False)

    def _check_room(self, read: _Read) -> None:
        offset = self.place.offset
        while part := read(offset, BLOCK_BYTES):
            if part.strip(b"\n"):
                self.wrong = "a blank line before the end"
                return
            offset += len(part)


def _without_room(data: bytes) -> bytes:
    """The lines of it, the last one with its newline, also when it has none."""
    if data.endswith(b"}\n"):
        return data
    content = data.rstrip(b"\n")
    return content + b"\n" if content else b""


def between(block: Block, after: int, through: int) -> bytes:
    """The lines of a block with `after < seq <= through`."""
    if after < block.first and block.last.seq <= through:
        return block.data
    lines = block.data[:-1].split(b"\n")
    if block.dense:
        chosen = lines[max(0, after + 1 - block.first) : max(0, through + 1 - block.first)]
    else:
        chosen = [raw for raw in lines if _is_between(raw, after, through)]
    return b"\n".join(chosen) + b"\n" if chosen else b""


def _is_between(raw: bytes, after: int, through: int) -> bool:
    line = parse_line(raw)
    return line is not None and after < line.seq <= through
