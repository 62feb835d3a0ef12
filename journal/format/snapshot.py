"""A snapshot file: the state at one position of one journal, so that a start need not fold it all.

```
{"snapshot":1,"journal":"<id>","seq":42,"at":<of line 42>,"crc":"<of line 42>","fold":3}
<one line an entity, whatever the caller made of it>
...
{"count":<entities>,"sha256":"<of all bytes before this line>"}
```
Only a file that was read back whole has its name for long: it is written as `.tmp`, synced,
renamed, its name synced, and read again. The same state gives the same bytes. A snapshot adds
nothing to a journal: without any, a start folds from the first line and comes to the same state.

It does not know what an entity is, nor whether the line that it names is in the journal:
`snapshot_choice` does.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from ackbook.journal.errors import AttemptFailed, SnapshotUnusable
from ackbook.journal.format.head import read_head
from ackbook.journal.format.layout import snapshot_name
from ackbook.journal.format.record import UNREADABLE, Position
from ackbook.journal.storage.files import Files, Handle, OsFiles, temporary_of, write_all

SNAPSHOT_FORMAT: Final = 1
_BLOCK_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 1024 * 1024
"""A digest has no use for smaller pieces, and memory none for larger ones."""

_EDGE_BYTES_MAX: Final = 512
"""More than a header or a footer takes."""


class _Header(Struct, frozen=True, forbid_unknown_fields=True):
    snapshot: int
    journal: str
    seq: int
    at: int
    crc: str
    fold: int


class _Loose(Struct, frozen=True):
    snapshot: int


class _Footer(Struct, frozen=True, forbid_unknown_fields=True):
    count: int
    sha256: str


class SnapshotFile:
    """A file that was read whole and found good; there is no other way to get one."""

    __slots__ = (
        "_end",
        "_files",
        "_start",
        "count",
        "fold_version",
        "journal_id",
        "path",
        "position",
        "sha256",
        "size",
    )

    def __init__(
        self, files: Files, path: Path, header: _Header, footer: _Footer, start: int, end: int
    ) -> None:
        self._files = files
        self._start = start
        self._end = end
        self.path = path
        self.journal_id = header.journal
        self.position = Position(header.seq, header.at, header.crc)
        self.fold_version = header.fold
        self.count = footer.count
        """Entities in it."""
        self.sha256 = footer.sha256
        self.size = end

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def seq(self) -> int:
        """Everything up to this record is in it."""
        return self.position.seq

    def blocks(self) -> Iterator[bytes]:
        """The entities as blocks of whole lines, about 64 KiB each, each line with its newline.

        Raises `SnapshotUnusable` at the end when the file is no longer what it was, so what was
        made of the blocks counts only when the iteration ended.
        """
        handle = self._files.open(self.path, "read")
        try:
            digest = sha256(self._files.read(handle, 0, self._start))
            held = b""
            for piece in _pieces(self._files, handle, self._start, self._end, _BLOCK_BYTES):
                digest.update(piece)
                held += piece
                whole = held.rfind(b"\n") + 1
                if whole:
                    yield held[:whole]
                    held = held[whole:]
            if digest.hexdigest() != self.sha256:
                raise _unusable(self.path, "it changed since it was verified")
        finally:
            self._files.close(handle)


def write_snapshot(
    directory: Path,
    *,
    journal_id: str,
    position: Position,
    fold_version: int,
    lines: Iterable[bytes],
    maker: int = 0,
    files: Files | None = None,
) -> SnapshotFile:
    """Write the state at `position`, one line an entity, without newlines.

    The position has to be durable already, and HEAD has to say so: a snapshot of what a power cut
    takes back would later bear false witness. It takes no lock, and may run in a process of its
    own beside the writer, as a `maker` with a number of its own. Raises `AttemptFailed` when the
    disk refuses; the journal is unharmed.
    """
    files = files or OsFiles()
    directory = directory.absolute()
    path = directory / snapshot_name(position.seq)
    temporary = temporary_of(path, maker)
    marks = read_head(files, directory).marks
    if not any(mark.journal == journal_id and mark.seq >= position.seq for mark in marks):
        raise _failed(path, f"HEAD does not vouch for record {position.seq}")
    header = _Header(
        SNAPSHOT_FORMAT, journal_id, position.seq, position.at, position.crc, fold_version
    )
    try:
        handle = files.open(temporary, "create")
        try:
            _write(files, handle, header, lines)
            files.sync(handle)
        finally:
            files.close(handle)
        files.rename(temporary, path)
        files.sync_dir(directory)
        return read_snapshot(path, files=files)
    except OSError as error:
        raise _failed(path, str(error)) from error
    except SnapshotUnusable as error:
        raise _failed(path, f"it does not read back: {error.what}") from error


def read_snapshot(path: Path, *, files: Files | None = None) -> SnapshotFile:
    """Read all of a snapshot and check it. Raises `SnapshotUnusable`, which says why."""
    files = files or OsFiles()
    try:
        handle = files.open(path, "read")
    except FileNotFoundError:
        raise _unusable(path, "it is not there") from None
    try:
        return _read(files, path, handle)
    finally:
        files.close(handle)


def _write(files: Files, handle: Handle, header: _Header, lines: Iterable[bytes]) -> None:
    digest = sha256()
    held = [msgspec.json.encode(header)]
    offset = held_bytes = count = 0
    for line in lines:
        assert line, "an entity has a line"
        assert b"\n" not in line, "an entity is one line"
        held.append(line)
        held_bytes += len(line)
        count += 1
        if held_bytes >= _PIECE_BYTES:
            offset = _flush(files, handle, offset, held, digest.update)
            # Left to the end, all of it would be written at once, and appends would wait for it.
            files.sync(handle)
            held_bytes = 0
    offset = _flush(files, handle, offset, held, digest.update)
    footer = _Footer(count, digest.hexdigest())
    write_all(files, handle, offset, msgspec.json.encode(footer) + b"\n")


def _flush(
    files: Files, handle: Handle, offset: int, held: list[bytes], update: Callable[[bytes], None]
) -> int:
    data = b"".join(line + b"\n" for line in held)
    write_all(files, handle, offset, data)
    update(data)
    held.clear()
    return offset + len(data)


def _read(files: Files, path: Path, handle: Handle) -> SnapshotFile:
    size = files.size(handle)
    header_line = files.read(handle, 0, _EDGE_BYTES_MAX).partition(b"\n")[0]
    header = _read_header(path, header_line)
    start = len(header_line) + 1
    edge = files.read(handle, max(start, size - _EDGE_BYTES_MAX), _EDGE_BYTES_MAX)
    footer_line = edge[edge.rfind(b"\n", 0, -1) + 1 :]
    end = size - len(footer_line)
    try:
        footer = msgspec.json.decode(footer_line, type=_Footer)
    except UNREADABLE:
        raise _unusable(path, "it has no footer: it was not written to its end") from None
    digest, count = sha256(), -1
    for piece in _pieces(files, handle, 0, end, _PIECE_BYTES):
        digest.update(piece)
        count += piece.count(b"\n")
    if digest.hexdigest() != footer.sha256 or footer_line[-2:] != b"}\n":
        raise _unusable(path, f"its footer says sha256 {footer.sha256}, not {digest.hexdigest()}")
    if count != footer.count:
        raise _unusable(path, f"its footer counts {footer.count} lines, here are {count}")
    return SnapshotFile(files, path, header, footer, start, end)


def _read_header(path: Path, line: bytes) -> _Header:
    try:
        if msgspec.json.decode(line, type=_Loose).snapshot > SNAPSHOT_FORMAT:
            raise _unusable(path, "a newer version wrote it")
        header = msgspec.json.decode(line, type=_Header)
    except UNREADABLE:
        raise _unusable(path, "its first line is not that of a snapshot") from None
    if path.name != snapshot_name(header.seq):
        raise _unusable(path, f"it is a snapshot of {header.seq} under another name")
    return header


def _pieces(files: Files, handle: Handle, start: int, end: int, size: int) -> Iterator[bytes]:
    while start < end:
        piece = files.read(handle, start, min(size, end - start))
        if not piece:
            return
        yield piece
        start += len(piece)


def _unusable(path: Path, why: str) -> SnapshotUnusable:
    return SnapshotUnusable(f"{path.name} is set aside: {why}", "start as usual; it is not needed")


def _failed(path: Path, why: str) -> AttemptFailed:
    return AttemptFailed(f"{path.name} was not made: {why}", "try again later")
