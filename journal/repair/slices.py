"""A slice: consecutive lines of a journal, away from it, that can still be checked and opened.

The checksum of a line runs over everything before it in its file. So a slice goes with the checksum
of the line before its first one, and each of its lines is then checked as if the rest were there; a
`journal.segment` begins a file, and with it the sum, anew. Lines whose data was changed on the way
out are summed again from that same beginning.

`rebuild_slice` makes a directory of it that opens like any journal: a first line in the place of
the line before the slice, the lines, and the state that the caller knows for that place. Nothing
here knows what the lines mean, nor why some were changed.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from zlib import crc32

import msgspec
from msgspec import Struct

from ackbook.journal.errors import Corrupt, Damage
from ackbook.journal.format.control import (
    SEGMENT,
    Reach,
    SegmentStarted,
    control_draft,
    read_control,
)
from ackbook.journal.format.record import (
    TRAILER_BYTES,
    Draft,
    Line,
    encode_line,
    parse_line,
    running_after,
    time_part,
)
from ackbook.journal.format.snapshot import write_snapshot
from ackbook.journal.limits import FORMAT
from ackbook.journal.next_step import NextStep
from ackbook.journal.repair.segment_rebuilder import Rebuilder
from ackbook.journal.storage.files import Files, OsFiles


class Slice(Struct, frozen=True):
    """Lines `first` to `last` of a journal; `crc_before` is that of the line before them. To be
    opened it must not begin with the first line of a file other than the first one of all: there
    would be no place for what stands before it; see `slice_start`."""

    journal: str
    first: int
    last: int
    crc_before: str


def slice_start(line: Line) -> int:
    """Where a slice begins that shall begin with this line: there, or with the seal before it."""
    return line.seq - 1 if line.kind == SEGMENT and line.seq > 1 else line.seq


def check_slice(part: Slice, lines: Iterable[bytes], name: str) -> Iterator[Line]:
    """The lines, without their newlines, as long as they are good. Raises `Corrupt` where one is
    not, or not there; `name` is the file that it stands in."""
    running, expected, byte = running_after(part.crc_before), part.first, 0
    for raw in lines:
        line = parse_line(raw)
        if line is None or line.seq != expected or line.d >= line.seq:
            raise _bad(name, expected - part.first + 1, byte, f"it is not record {expected}")
        if line.kind == SEGMENT:
            running = 0
        computed = f"{crc32(raw[:-TRAILER_BYTES], running):08x}"
        if computed != line.crc:
            proof = f"checksum {line.crc} in the line, {computed} computed"
            raise _bad(name, expected - part.first + 1, byte, proof)
        yield line
        running = running_after(line.crc)
        expected += 1
        byte += len(raw) + 1
    if expected != part.last + 1:
        raise _bad(name, expected - part.first + 1, byte, f"it ends before record {expected}")


def change_slice(part: Slice, lines: Iterable[tuple[Line, bytes, bytes | None]]) -> Iterator[bytes]:
    """The lines with another `data` and `by` each, summed anew; without newlines."""
    running = running_after(part.crc_before)
    for line, data, by in lines:
        if line.kind == SEGMENT:
            running = 0
        draft = Draft(line.kind, data, by, line.cause)
        raw, running = encode_line(draft, line.seq, time_part(line.at, line.d), running)
        yield raw[:-1]


def rebuild_slice(
    part: Slice,
    lines: Iterable[Line],
    directory: Path,
    *,
    state: Iterable[bytes],
    fold_version: int,
    files: Files | None = None,
) -> None:
    """Make a journal of it in `directory`, which is made. `state`: one line an entity, without
    newlines, of everything before the slice; none where nothing was."""
    files = files or OsFiles()
    files.make_dir(directory)
    before = part.first - 1
    reach = Reach(max(1, before), max(1, before))
    builder = Rebuilder(files, directory, part.journal, reach, frozenset({before}))
    for line in lines:
        if before and line.seq == part.first:
            builder.take(_first_line(part, line, reach))
        builder.take(_within(line, reach))
    builder.finish(0)
    if before:
        write_snapshot(
            directory,
            journal_id=part.journal,
            position=builder.watched[before],
            fold_version=fold_version,
            lines=state,
            files=files,
        )


def _first_line(part: Slice, following: Line, reach: Reach) -> Line:
    base = part.first - 1
    started = SegmentStarted(
        part.journal,
        FORMAT,
        base,
        epoch=1,
        kept_from=reach.kept_from,
        archived_from=reach.archived_from,
    )
    return _line(started, base, time_part(following.at, min(following.d, base - 1)))


def _within(line: Line, reach: Reach) -> Line:
    """The line; a first line of a segment says how far back a journal goes, and here it is less."""
    started = read_control(line) if line.kind == SEGMENT else None
    if not isinstance(started, SegmentStarted) or started.kept_from >= reach.kept_from:
        return line
    less = msgspec.structs.replace(started, **msgspec.structs.asdict(reach))
    return _line(less, line.seq, time_part(line.at, line.d))


def _line(started: SegmentStarted, seq: int, times: bytes) -> Line:
    raw, _ = encode_line(control_draft(started), seq, times, 0)
    line = parse_line(raw[:-1])
    assert line is not None, "it was just made"
    return line


def _bad(name: str, line: int, byte: int, proof: str) -> Corrupt:
    what = "the slice is not what was put into it"
    return Corrupt(Damage(name, line, byte, what, proof, NextStep("ask for the file again")))
