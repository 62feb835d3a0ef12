"""HEAD, the durable watermark: the only witness of the last batch.

Two slots of 128 bytes, written in turn, so that a torn write spoils one of them at most:

```
{"journal":"<id>","seq":41,"crc":"<of line 41>","closed":false,"sum":"<crc32 of what is before>"}
```
padded with spaces, the newline last. The valid slot with the larger seq counts. It is a lower
bound: written after each sync of a segment and before anyone is told, itself synced on a clean
close and within a second of a change. A slot that cannot be read is ignored and reported.
"""

import re
from pathlib import Path
from zlib import crc32

from msgspec import Struct

from ackbook.journal.format.layout import HEAD
from ackbook.journal.storage.files import Files, Handle, install, read_whole, write_all

SLOT_BYTES = 128

_SLOT = re.compile(
    rb'(\{"journal":"([0-9a-f]{1,32})","seq":([0-9]{1,13}),"crc":"([0-9a-f]{8})",'
    rb'"closed":(true|false),"sum":")([0-9a-f]{8})"\} *\n'
)


class Mark(Struct, frozen=True):
    """One slot: the line up to which everything is durable."""

    journal: str
    seq: int
    crc: str
    closed: bool


_READS_MAX = 5
"""A write of a slot takes microseconds: what is no mark at so many looks is damage."""


class HeadReading(Struct, frozen=True):
    """What the file says. `marks` are the valid slots, the one that counts first."""

    marks: tuple[Mark, ...] = ()
    unreadable: int = 0
    size: int = 0
    """Of the file; 0 when it is not there."""

    @property
    def is_whole(self) -> bool:
        """Whether it has the size that it was made with. What no crash changes."""
        return self.size == 2 * SLOT_BYTES

    @property
    def seq(self) -> int:
        return self.marks[0].seq if self.marks else 0


def encode_mark(mark: Mark) -> bytes:
    """The slot, exactly `SLOT_BYTES` long."""
    closed = "true" if mark.closed else "false"
    text = (
        f'{{"journal":"{mark.journal}","seq":{mark.seq},"crc":"{mark.crc}",'
        f'"closed":{closed},"sum":"'
    ).encode()
    slot = text + b'%08x"}' % crc32(text)
    assert len(slot) < SLOT_BYTES, "the id of a journal is at most 32 digits long"
    return slot.ljust(SLOT_BYTES - 1) + b"\n"


def read_head(files: Files, directory: Path) -> HeadReading:
    """Both slots; an absent file reads like one without valid slots, and so does a directory in
    its place, which the listing names.

    A writer writes the older slot while the newer one counts. A reader that is interrupted between
    the two may see the one as it was and the other half written, and neither vouches for the last
    record that was acknowledged; so a slot that is no mark is read again before it is believed.
    """
    for _ in range(_READS_MAX):
        try:
            reading = _read_slots(read_whole(files, directory / HEAD))
        except (FileNotFoundError, IsADirectoryError):
            return HeadReading()
        if not reading.unreadable:
            break
    return reading


def _read_slots(content: bytes) -> HeadReading:
    slots = [content[at : at + SLOT_BYTES] for at in range(0, 2 * SLOT_BYTES, SLOT_BYTES)]
    marks = [mark for mark in map(_decode_mark, slots) if mark is not None]
    marks.sort(key=lambda mark: (mark.seq, mark.closed), reverse=True)
    # A slot that was never written is blank, and no reason for a report.
    unreadable = sum(1 for slot in slots if slot.strip() and _decode_mark(slot) is None)
    return HeadReading(tuple(marks), unreadable, len(content))


class Head:
    """The writer's side: one descriptor for its life."""

    __slots__ = ("_files", "_journal", "_path", "_slot", "_slots", "dirty", "handle")

    def __init__(
        self, files: Files, handle: Handle, path: Path, journal: str, slots: tuple[bytes, bytes]
    ) -> None:
        self._files = files
        self._path = path
        self._slots = list(slots)
        self.handle = handle
        self._journal = journal
        self._slot = 1
        self.dirty = False

    @classmethod
    def open(cls, files: Files, directory: Path, journal: str, seq: int, crc: str) -> "Head":
        """Start over with one mark. Only called when everything up to `seq` is durable, and the
        old content bore witness until now; so the new file takes its place in one step."""
        first = encode_mark(Mark(journal, seq, crc, closed=False))
        blank = b" " * (SLOT_BYTES - 1) + b"\n"
        path = directory / HEAD
        install(files, path, first + blank)
        return cls(files, files.open(path, "write"), path, journal, (first, blank))

    def write(self, seq: int, crc: str, *, closed: bool = False) -> None:
        """Say it, for all who look from now on; a power cut may still take it back."""
        slot = encode_mark(Mark(self._journal, seq, crc, closed))
        write_all(self._files, self.handle, self._slot * SLOT_BYTES, slot)
        self._slots[self._slot] = slot
        self._slot = 1 - self._slot
        self.dirty = True

    @property
    def is_as_written(self) -> bool:
        """Whether the file says what was written here last, and nobody else wrote to it."""
        return self._files.read(self.handle, 0, 2 * SLOT_BYTES) == b"".join(self._slots)

    def detach(self) -> None:
        """Go on in a copy, which takes the name; see `Tail.detach`."""
        install(self._files, self._path, b"".join(self._slots))
        old, self.handle = self.handle, self._files.open(self._path, "write")
        self._files.close(old)

    def sync(self) -> None:
        """Make it durable."""
        self._files.sync(self.handle)
        self.dirty = False

    def close(self) -> None:
        self._files.close(self.handle)


def _decode_mark(slot: bytes) -> Mark | None:
    match = _SLOT.fullmatch(slot)
    if match is None or len(slot) != SLOT_BYTES:
        return None
    text, journal, seq, crc, closed, total = match.groups()
    if total != b"%08x" % crc32(text):
        return None
    return Mark(journal.decode(), int(seq), crc.decode(), closed == b"true")
