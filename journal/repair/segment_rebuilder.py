"""Writes saved lines into new segments, each with its own seq, and says in the journal what is not
there.

A line keeps every byte but its checksum, which runs over a new file. Where seqs are missing stands
a `journal.repaired` that takes the first of them and names the last; where a segment lost its first
line or its seal, a new one takes that place, since the seqs before and behind it say that it was
there. So a run of lines without a gap comes out byte for byte as it was, and seqs that were told to
anyone are never given again.

| missing | written in its place |
|---|---|
| a..b inside a segment | repaired(a, last b) |
| a..b up to the end of a segment | repaired(a, last b-1), seal(b) |
| a..b from the start of a segment | first line(a), repaired(a+1, last b) |
| whole segments | first line(a), repaired(a+1, last b-1), seal(b) |
| the end of the journal, known up to b | as above, then closed(b+1) |

It decides nothing about what is saved.
"""

from hashlib import sha256
from pathlib import Path
from zlib import crc32

import msgspec

from ackbook.journal.format.compression import pack
from ackbook.journal.format.control import (
    SEALED,
    SEGMENT,
    Closed,
    ControlRecord,
    Opened,
    Reach,
    Repaired,
    Sealed,
    SegmentStarted,
    control_draft,
    read_control,
)
from ackbook.journal.format.head import SLOT_BYTES, Mark, encode_mark
from ackbook.journal.format.layout import ARCHIVE, HEAD, archive_name, segment_name
from ackbook.journal.format.record import (
    TRAILER_BYTES,
    Line,
    Position,
    encode_line,
    parse_line,
    running_after,
    time_part,
)
from ackbook.journal.limits import FORMAT, KINDS_LISTED_MAX
from ackbook.journal.storage.files import Files, install


class Rebuilder:
    """Lines in rising order in, a directory out; what a compaction took away, as `reach`
    says, goes into archives again. `last` is the last line that was written, `gaps`
    are the seqs that were not given, `watched` the new positions of some lines."""

    def __init__(
        self,
        files: Files,
        directory: Path,
        journal: str,
        reach: Reach,
        watch: frozenset[int],
    ) -> None:
        self._files = files
        self._directory = directory
        self._journal = journal
        self._lines: list[bytes] = []
        """Of the open segment; empty between a seal and the next first line."""
        self._base = 0
        self._kinds: set[str] = set()
        self._running = 0
        self._previous: tuple[str, str] | None = None
        """The last checksum and the sha256 of the segment before."""
        self._epoch = 1
        self._reach = reach
        self._expected = reach.archived_from
        self._watch = watch
        self.watched: dict[int, Position] = {}
        self.last = Position()
        self.gaps: list[tuple[int, int]] = []
        self.saved = 0
        self.segments = 0

    def take(self, line: Line) -> bool:
        """Write a line in its place; False when there is none for it: then its seq is a gap."""
        control = read_control(line)
        starts = isinstance(control, SegmentStarted)
        if line.seq > self._expected:
            self._bridge(line.seq - 1, to_a_start=starts)
        if starts == bool(self._lines):
            # A first line inside a segment, or another line outside of one: the seal or the first
            # line between them never was.
            self._bridge(line.seq, to_a_start=False)
            return False
        match control:
            case SegmentStarted():
                self._epoch = control.epoch
                self._start(control, line)
            case Sealed():
                self._seal(control, line)
            case _:
                if isinstance(control, Opened):
                    self._epoch = control.epoch
                self._put(line.raw, line.kind)
                if isinstance(control, Repaired) and control.last >= line.seq:
                    self._expected = control.last + 1
        self.saved += 1
        return True

    def finish(self, witness: int) -> None:
        """The last record that anything vouches for; then the tail and HEAD."""
        if witness >= self._expected:
            self._bridge(witness, to_a_start=False)
            self._made(Closed(self._epoch))
        if self._lines:
            self._write_segment()
        mark = encode_mark(Mark(self._journal, self.last.seq, self.last.crc, closed=False))
        install(self._files, self._directory / HEAD, mark + b" " * (SLOT_BYTES - 1) + b"\n")

    def _bridge(self, through: int, *, to_a_start: bool) -> None:
        """Fill the place of everything up to `through`, see the table."""
        self.gaps.append((self._expected, through))
        kept_from = self._reach.kept_from
        if self._expected < kept_from <= through:
            # What was compacted and what was not never stand in one file.
            self._fill(kept_from - 1, to_a_start=True)
        self._fill(through, to_a_start=to_a_start)

    def _fill(self, through: int, *, to_a_start: bool) -> None:
        if not self._lines:
            self._start(SegmentStarted(self._journal, FORMAT, self._expected, self._epoch), None)
        stop = through - 1 if to_a_start else through
        if self._expected <= stop:
            self._made(Repaired(stop, "salvaged: these records could not be read"))
            self._expected = stop + 1
        if to_a_start and self._expected <= through:
            self._seal(Sealed(0, 0, ""), None)

    def _start(self, started: SegmentStarted, line: Line | None) -> None:
        self._base = self._expected
        self._kinds = set()
        self._running = 0
        crc, digest = self._previous or (None, None)
        fitting = msgspec.structs.replace(
            started, journal=self._journal, previous_crc=crc, previous_sha256=digest
        )
        if line is None:
            fitting = msgspec.structs.replace(
                fitting, kept_from=self._reach.kept_from, archived_from=self._reach.archived_from
            )
        # What stood before the first segment is compacted; it is named by nobody else.
        if line is not None and (fitting == started or self._previous is None):
            self._put(line.raw, SEGMENT)
        else:
            self._made(fitting, line)

    def _seal(self, sealed: Sealed, line: Line | None) -> None:
        content = b"".join(self._lines)
        listed = len(self._kinds) <= KINDS_LISTED_MAX
        fitting = Sealed(
            count=len(self._lines),
            bytes=len(content),
            sha256=sha256(content).hexdigest(),
            kinds=tuple(sorted(self._kinds)) if listed else None,
        )
        if line is not None and fitting == sealed:
            self._put(line.raw, SEALED)
        else:
            self._made(fitting, line)
        self._write_segment()

    def _made(self, control: ControlRecord, line: Line | None = None) -> None:
        """A record of the journal's own: in the place of `line`, or new, at the time before it."""
        at = line.at if line else self.last.at
        d = line.d if line else 0
        draft = control_draft(control)
        raw, _ = encode_line(draft, self._expected, time_part(at, d), 0)
        self._put(raw[:-1], draft.kind)

    def _put(self, raw: bytes, kind: str) -> None:
        body = raw[:-TRAILER_BYTES]
        crc = f"{crc32(body, self._running):08x}"
        whole = body + b',"crc":"%b"}' % crc.encode()
        line = parse_line(whole)
        assert line is not None, "it was one before"
        assert line.seq == self._expected, "each line has its turn"
        self._lines.append(whole + b"\n")
        self._running = running_after(crc)
        self._kinds.add(kind)
        self._expected += 1
        self.last = Position(line.seq, line.at, crc)
        if line.seq in self._watch:
            self.watched[line.seq] = self.last

    def _write_segment(self) -> None:
        content = b"".join(self._lines)
        path = self._directory / segment_name(self._base)
        if self.last.seq < self._reach.kept_from:
            suffix, content_packed = pack(content)
            path = self._directory / ARCHIVE / archive_name(self._base, self.last.seq, suffix)
            self._files.make_dir(path.parent)
            install(self._files, path, content_packed)
        else:
            install(self._files, path, content)
        self._previous = (self.last.crc, sha256(content).hexdigest())
        self._lines = []
        self.segments += 1
