"""Goes through the bytes of one segment and says how far they are good, and why not further.

A line is good when it has the next seq, a `d` before it, and the checksum of every byte up to it.
The first line that is not good ends the walk: nothing behind it can be checked. Newlines at the
very end are room written ahead and mean nothing; blank lines anywhere else are damage.

Two speeds: `Walker` looks at each line, and passes over whole blocks of them when nobody wants to
see each; `good_block` checks a block of lines with one checksum and is what readers use, until it
fails. Neither knows what the findings mean: `recovery.decision_table` does.
"""

import re
from collections.abc import Callable, Iterator
from zlib import crc32

from msgspec import Struct

from ackbook.journal.format.control import CONTROL_PREFIX, REPAIRED, Repaired, read_control
from ackbook.journal.format.record import (
    HEAD,
    LINE_START,
    TRAILER_BYTES,
    Line,
    Position,
    claims_durable,
    parse_line,
)

# The newline before a line may itself be what went bad. What stands behind one of these bytes is
# a value inside the data of a line, and bears no witness.
_LINE_STARTS = re.compile(rb'(?<![:,\[ ])\{"seq":')


# A newline stands nowhere but behind a line, so this finds every line and nothing else.
# A newline stands nowhere but behind a line, so this finds every line and nothing else.
_HEADS = re.compile(rb"\n" + HEAD)

BLOCK_BYTES = 64 * 1024
"""Larger blocks leave the cache between the checksum and the decoder."""

IsDull = Callable[[int, int, set[str]], bool]
"""Whether nobody wants to see each line of a block, by its first and last seq and its kinds."""


class Walker:
    """Iterates over the good lines of `data` and knows, at each moment, where it stands.

    `data` starts at the byte `offset` of its segment, with line `count` + 1, which must have the
    seq `expected`; `running` is the checksum of everything before it. Blocks that are good and
    dull are passed over; the walk never ends inside one, so `last` and all else is then as if each
    of its lines had been given.
    """

    __slots__ = (
        "_content",
        "_data",
        "_is_dull",
        "_offset",
        "count",
        "end",
        "expected",
        "last",
        "running",
        "unfinished",
        "wrong",
    )

    def __init__(
        self,
        data: bytes,
        expected: int,
        *,
        offset: int = 0,
        running: int = 0,
        count: int = 0,
        is_dull: IsDull | None = None,
    ) -> None:
        self._data = data
        self._is_dull = is_dull
        self._content = len(data.rstrip(b"\n"))
        self._offset = offset
        self.count = count
        self.end = 0
        """Bytes of `data` that are good."""
        self.expected = expected
        self.last: Line | None = None
        self.running = running
        self.unfinished = False
        """The last good line has no newline: the file ends with its last byte."""
        self.wrong: str | None = None
        """Why the walk ended before the end; None when the rest is room."""

    def __iter__(self) -> Iterator[Line]:
        while self.end < self._content and self.wrong is None:
            stop = self._content
            if self._is_dull is not None:
                stop = self._end_of_block()
                if self._pass_over(stop, self._is_dull):
                    continue
            yield from self._each(min(stop, self._content))

    def _each(self, stop: int) -> Iterator[Line]:
        """The lines that begin before `stop`."""
        data, size = self._data, len(self._data)
        while self.end < stop:
            end = data.find(b"\n", self.end)
            raw = data[self.end : end if end >= 0 else size]
            line = self._check(raw)
            if line is None:
                return
            self.unfinished = end < 0
            self.running = crc32(raw[-TRAILER_BYTES:] + b"\n", int(raw[-10:-2], 16))
            self.end = size if end < 0 else end + 1
            self.count += 1
            self.last = line
            self.expected = line.seq + 1
            if line.kind.startswith(CONTROL_PREFIX):
                self._follow(line)
            yield line

    def _end_of_block(self) -> int:
        """Behind the last newline in reach, or behind the content."""
        stop = min(self.end + BLOCK_BYTES, self._content + 1)
        return self._data.rfind(b"\n", self.end, stop) + 1 or stop

    def _pass_over(self, stop: int, is_dull: IsDull) -> bool:
        """Go to `stop`, when all up to there is good and dull."""
        block = good_block(self._data[self.end : stop], self.expected, self.running)
        if block is None:
            return False
        # No newline stands before the first line of all, so its block is never passed over.
        heads = _HEADS.findall(self._data, max(0, self.end - 1), stop)
        seqs = range(block.first, block.last.seq + 1)
        if len(heads) != len(seqs):
            return False
        for (seq, _, d, _), expected in zip(heads, seqs, strict=True):
            if int(seq) != expected or int(d) >= expected:
                return False
        if not is_dull(block.first, block.last.seq, {head[3].decode() for head in heads}):
            return False
        self.last = parse_line(block.data[block.data.rfind(b"\n", 0, -1) + 1 : -1])
        self.end, self.running = stop, block.running
        self.expected = block.last.seq + 1
        self.count += len(seqs)
        return True

    @property
    def byte(self) -> int:
        """Where in the segment the good part ends."""
        return self._offset + self.end

    @property
    def rest(self) -> bytes:
        """Everything after the good part, without the newlines at the end."""
        return self._data[self.end : self._content]

    def _check(self, raw: bytes) -> Line | None:
        line = parse_line(raw)
        if line is None:
            self.wrong = _describe(raw)
            return None
        if line.seq != self.expected:
            self.wrong = f"seq {line.seq} stands where {self.expected} belongs"
            return None
        if line.d >= line.seq:
            self.wrong = f"line {line.seq} says that {line.d} was durable before it"
            return None
        computed = b"%08x" % crc32(raw[:-TRAILER_BYTES], self.running)
        if computed != raw[-10:-2]:
            self.wrong = f"checksum {line.crc} in the line, {computed.decode()} computed"
            return None
        return line

    def _follow(self, line: Line) -> None:
        # A person accepted a loss here: the seqs go on after the last missing one.
        control = read_control(line)
        if isinstance(control, Repaired) and control.last >= line.seq:
            self.expected = control.last + 1


class Block(Struct, frozen=True, gc=False):
    """Whole lines that verified together. `dense` when each has the seq of the one before + 1."""

    data: bytes
    first: int
    last: Position
    d: int
    running: int
    dense: bool = True


def good_block(data: bytes, expected: int, running: int) -> Block | None:
    """The block, when `data` is whole lines that are all good; None says only: look closer."""
    if data[-1:] != b"\n":
        return None
    first = parse_line(data[: data.index(b"\n")])
    last = parse_line(data[data.rfind(b"\n", 0, -1) + 1 : -1])
    if first is None or last is None or first.seq != expected:
        return None
    if last.kind == REPAIRED:
        return None  # which seq follows, only its data says
    count = data.count(b"\n")
    if last.seq - first.seq + 1 != count:
        return None
    checksum = crc32(memoryview(data)[: -TRAILER_BYTES - 1], running)
    if b"%08x" % checksum != last.raw[-10:-2]:
        return None
    after = crc32(data[-TRAILER_BYTES - 1 :], checksum)
    return Block(data, first.seq, Position(last.seq, last.at, last.crc), last.d, after)


def proof_of_durability(rest: bytes, seq: int) -> Line | None:
    """A later line that says that `seq`, which is bad here, was durable once. `rest` starts with
    the bad line."""
    for start in _LINE_STARTS.finditer(rest):
        stop = rest.find(b"\n", start.start())
        line = claims_durable(rest[start.start() : stop if stop >= 0 else len(rest)], seq)
        if line is not None:
            return line
    return None


def meaningful_bytes(rest: bytes) -> int:
    """How many bytes are neither NUL nor newline: what a disk fills holes with is no loss."""
    return len(rest.translate(None, b"\0\n"))


def _describe(raw: bytes) -> str:
    if not raw:
        return "a blank line before the end"
    if not raw.strip(b"\0"):
        return f"{len(raw)} zero bytes"
    if raw.startswith(LINE_START):
        return f"a line that ends after {len(raw)} bytes without its checksum"
    return f"{len(raw)} bytes that are not a line: {raw[:24]!r}"
