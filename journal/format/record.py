"""One record is one line: how a draft becomes bytes, and how bytes become a line again.

```
{"seq":42,"at":1763800000123456,"d":40,"kind":"message.enqueued","by":{...},"cause":[41],
 "data":{...},"crc":"9f3a0b12"}\\n                                        (one line, no spaces)
```
`seq` is dense and starts at 1. `at` is microseconds UTC. `d` is the highest seq that was durable
when the line was written; since a batch is written only after the sync of the one before, it is
the last seq of that one. `by` and `cause` are left out when there are none. `crc` is the CRC-32 of
every byte of the file before this line's `,"crc"`, so one pass over a file checks all its lines,
and each line can be checked alone with the checksum of the line before.

This module knows the bytes of a line. Whether a record is welcome is `validation`'s business,
whether a line is in its place that of `scanner`.
"""

import re
from collections.abc import Sequence
from zlib import crc32

import msgspec
from msgspec import Raw, Struct

TRAILER_BYTES = 18
"""`,"crc":"9f3a0b12"}`"""

LINE_OVERHEAD_BYTES = 120
"""More than the keys, numbers and checksum of any line take."""

CAUSE_BYTES = 14
"""What one cause takes at most."""

LINE_START = b'{"seq":'

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)
"""What the decoder raises for bytes that a disk made up."""

HEAD = (
    rb'\{"seq":([1-9][0-9]{0,12}),"at":(0|[1-9][0-9]{0,15}),"d":(0|[1-9][0-9]{0,12}),'
    rb'"kind":"([a-z0-9_.]{1,64})",'
)
"""How every line begins: its seq, at, d and kind."""

_HEAD = re.compile(HEAD)
_TRAILER = re.compile(rb',"crc":"[0-9a-f]{8}"\}')


class Draft(Struct, frozen=True, gc=False):
    """A record to be written: what the caller knows. The journal adds seq, at, d and crc."""

    kind: str
    data: bytes
    """A JSON object, encoded, on one line. Opaque here."""
    by: bytes | None = None
    """A JSON object: the command of this decision and what the rule read beyond the world."""
    cause: tuple[int, ...] = ()
    """The seqs that led here, each smaller than this record's own."""


class Position(Struct, frozen=True, gc=False):
    """A place in a journal: the line that stands there. seq 0 is the place before the first."""

    seq: int = 0
    at: int = 0
    crc: str = "00000000"


class _Parts(Struct, gc=False):
    data: Raw
    by: Raw = Raw(b"")
    cause: tuple[int, ...] = ()


class Line(Struct, frozen=True, gc=False):
    """A line that stood in its place with the right checksum. `raw` has no newline."""

    seq: int
    at: int
    d: int
    kind: str
    raw: bytes

    @property
    def crc(self) -> str:
        return self.raw[-10:-2].decode()

    @property
    def data(self) -> bytes:
        """The JSON object, encoded."""
        return bytes(_PARTS.decode(self.raw).data)

    @property
    def by(self) -> bytes | None:
        return bytes(_PARTS.decode(self.raw).by) or None

    @property
    def cause(self) -> tuple[int, ...]:
        return _PARTS.decode(self.raw).cause


class _Whole(Struct, forbid_unknown_fields=True, gc=False):
    seq: int
    at: int
    d: int
    kind: str
    data: Raw
    crc: str
    by: Raw = Raw(b"")
    cause: tuple[int, ...] = ()


_PARTS = msgspec.json.Decoder(_Parts)
_WHOLE = msgspec.json.Decoder(_Whole)


def time_part(at: int, d: int) -> bytes:
    """What all lines of one decision share: the bytes from `,"at"` to `"kind":"`."""
    return b',"at":%d,"d":%d,"kind":"' % (at, d)


def encode_line(draft: Draft, seq: int, times: bytes, running: int) -> tuple[bytes, int]:
    """One line: see `encode_lines`."""
    return encode_lines((draft,), seq, times, running)


def encode_lines(
    drafts: Sequence[Draft], seq: int, times: bytes, running: int
) -> tuple[bytes, int]:
    """The lines of these drafts, each with its newline, the first with this `seq`; and the
    checksum of the file up to and with them, given that of everything before them. The drafts were
    admitted before: nothing is escaped here."""
    parts: list[bytes] = []
    kind, between = "", b""
    for number, draft in enumerate(drafts, start=seq):
        if draft.kind != kind:
            kind = draft.kind
            between = b'%b%b","data":' % (times, kind.encode())
        middle = between if draft.by is None and not draft.cause else _with_origin(draft, times)
        # The end of a line is made and summed with the line after it: most of the cost is fixed.
        if parts:
            part = b',"crc":"%08x"}\n{"seq":%d%b%b' % (running, number, middle, draft.data)
        else:
            part = b'{"seq":%d%b%b' % (number, middle, draft.data)
        parts.append(part)
        running = crc32(part, running)
    if parts:
        trailer = b',"crc":"%08x"}\n' % running
        parts.append(trailer)
        running = crc32(trailer, running)
    return b"".join(parts), running


def measure_draft(draft: Draft) -> int:
    """An upper bound of the bytes of its line, newline included."""
    return measure_drafts((draft,))


def measure_drafts(drafts: Sequence[Draft]) -> int:
    """The same of several."""
    size = LINE_OVERHEAD_BYTES * len(drafts)
    for draft in drafts:
        size += len(draft.kind) + len(draft.data) + CAUSE_BYTES * len(draft.cause)
        if draft.by is not None:
            size += len(draft.by)
    return size


def running_after(crc: str) -> int:
    """The checksum of a file up to and with a line whose own checksum is `crc`."""
    return crc32(b',"crc":"%b"}\n' % crc.encode(), int(crc, 16))


def parse_line(raw: bytes) -> Line | None:
    """The line, when it has a line's head and trailer; its checksum is not looked at."""
    head = _HEAD.match(raw)
    if head is None or not _TRAILER.fullmatch(raw, len(raw) - TRAILER_BYTES):
        return None
    seq, at, d, kind = head.groups()
    return Line(int(seq), int(at), int(d), kind.decode(), raw)


def claims_durable(raw: bytes, seq: int) -> Line | None:
    """The line, when it is one that no crash could leave behind a bad line `seq`: it says that
    `seq` was durable when it was written. Its checksum may well be beyond checking, since it runs
    over bytes that are gone; so here the whole line is parsed."""
    line = parse_line(raw)
    if line is None or not seq <= line.d < line.seq:
        return None
    try:
        _WHOLE.decode(raw)
    except UNREADABLE:
        return None
    return line


def _with_origin(draft: Draft, times: bytes) -> bytes:
    by = b"" if draft.by is None else b',"by":' + draft.by
    cause = b""
    if draft.cause:
        cause = b',"cause":[%b]' % b",".join(b"%d" % each for each in draft.cause)
    return b'%b%b"%b%b,"data":' % (times, draft.kind.encode(), by, cause)
