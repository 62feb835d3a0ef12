"""The segment that is being written: its descriptor, its room, its running sums.

```
0 .......................... end ............................... room_end
 lines, all durable          | newlines, durable, to be overwritten |
```
A batch is written over newlines that are on the disk already, so the size of the file does not
change with it, and a full disk is met by `extend`, where nothing is at stake. Every method that
raises `OSError` leaves a state that nobody may build on, except `extend` and `prepare`, which
answer a full disk with False or None.

It knows lines as bytes only; `log` knows what they are and when they are written.
"""

from pathlib import Path

from ackbook.journal.format.layout import segment_name
from ackbook.journal.storage.files import SPACE_ERRORS, Files, Handle, install, write_all
from ackbook.journal.writing.preallocator import NEWLINES, Preallocator, RunningHash

_NOBODY = 1
"""A maker whose number no worker has, so that its `.tmp` is not the one of the next segment."""


class Tail:
    """One open segment. `running` and `end` are those of the last durable line."""

    __slots__ = (
        "_files",
        "_hash",
        "base",
        "count",
        "end",
        "handle",
        "kinds",
        "path",
        "room_end",
        "running",
        "started_at",
    )

    def __init__(
        self, files: Files, handle: Handle, directory: Path, base: int, started_at: int
    ) -> None:
        self._files = files
        self.handle = handle
        self.path = directory / segment_name(base)
        self._hash = RunningHash()
        self.base = base
        self.started_at = started_at
        self.count = 0
        self.end = 0
        self.room_end = 0
        self.running = 0
        self.kinds: set[str] = set()

    @property
    def room(self) -> int:
        """Bytes that are written ahead and not yet used."""
        return self.room_end - self.end

    @property
    def sha256(self) -> str:
        """Of all lines so far."""
        return self._hash.hexdigest()

    def free_space(self) -> int:
        """Bytes that its disk would still take; a hint, since others write to it, too."""
        return self._files.free_space(self.path.parent)

    def resume(self, content: bytes, count: int, running: int, kinds: frozenset[str]) -> None:
        """Take over a file that holds exactly these durable lines."""
        self._hash = RunningHash(content)
        self.count = count
        self.end = self.room_end = len(content)
        self.running = running
        self.kinds = set(kinds)

    def append(self, batch: bytes, count: int, running: int) -> None:
        """Write whole lines into the room and make them durable."""
        assert len(batch) <= self.room, "room is secured before a line is staged"
        write_all(self._files, self.handle, self.end, batch)
        self._files.sync(self.handle)
        self._advance(batch, count, running)

    def extend(self, target: int) -> bool:
        """Write ahead until there is room for `target` bytes; False when the disk is full. What
        could be written is room all the same."""
        before = self.room_end
        wanted = self.end + target
        fits = True
        try:
            while self.room_end < wanted:
                chunk = NEWLINES[: wanted - self.room_end]
                self.room_end += self._files.write(self.handle, self.room_end, chunk)
        except OSError as error:
            if error.errno not in SPACE_ERRORS:
                raise
            fits = False
        if self.room_end > before:
            self._files.sync(self.handle)
        self._hash.catch_up()
        return fits

    def begin_preallocation(self, target: int, step: int) -> Preallocator:
        """What `extend` does, for somebody else to do step by step. Nobody else may extend until
        it is over; `room_end` follows what it reached."""
        handle = self._files.open(self.path, "write")
        start, stop, running = self.room_end, self.end + target, self._hash
        return Preallocator(self._files, handle, start, stop, step=step, own=True, running=running)

    def prepare_next(self, room: int, step: int) -> "Preparation":
        """The segment that follows this one, with so much room to be laid in it."""
        return Preparation(self._files, self.path, room, step, self._hash)

    def finish(self, line: bytes, running: int) -> None:
        """Write the last line of this segment (a seal or a close), and end the file with it."""
        assert len(line) <= self.room, "the reserve has room for it"
        write_all(self._files, self.handle, self.end, line)
        self._files.truncate(self.handle, self.end + len(line))
        self._files.sync(self.handle)
        self._advance(line, 1, running)
        self.room_end = self.end

    def ends_with(self, crc: str) -> bool:
        """Whether the last line in the file is the one that was written last."""
        trailer = b'"crc":"%b"}\n' % crc.encode()
        at = self.end - len(trailer)
        return self._files.read(self.handle, at, len(trailer)) == trailer

    @property
    def has_other_names(self) -> bool:
        """Somebody made a link to it (`cp -al`): what is written here is written there, too."""
        return self._files.status(self.handle).links > 1

    def detach(self) -> None:
        """Go on in a copy, which takes the name; the old file is left to whoever keeps it. Nobody
        else may write to it meanwhile."""
        content = self._files.read(self.handle, 0, self.room_end)
        install(self._files, self.path, content, maker=_NOBODY)
        old, self.handle = self.handle, self._files.open(self.path, "write")
        self._files.close(old)

    def close(self) -> None:
        self._files.close(self.handle)

    def _advance(self, lines: bytes, count: int, running: int) -> None:
        self._hash.add(lines)
        self.end += len(lines)
        self.count += count
        self.running = running


class Preparation:
    """The next segment while it has no name yet: first its room, then its first line. `ground` is
    to be stepped until it is over."""

    __slots__ = ("_files", "_handle", "_temporary", "preallocator")

    def __init__(
        self, files: Files, before: Path, room: int, step: int, running: RunningHash
    ) -> None:
        self._files = files
        self._temporary = before.with_name(before.name + ".tmp")
        self._handle = files.open(self._temporary, "create")
        self.preallocator = Preallocator(
            files, self._handle, 0, room, step=step, own=False, running=running
        )

    def publish(self, base: int, line: bytes, running: int, kind: str, started_at: int) -> Tail:
        """Give it its first line and then its name; from here on it is the tail."""
        directory = self._temporary.parent
        write_all(self._files, self._handle, 0, line)
        self._files.sync(self._handle)
        self._files.rename(self._temporary, directory / segment_name(base))
        self._files.sync_dir(directory)
        tail = Tail(self._files, self._handle, directory, base, started_at)
        tail.resume(line, 1, running, frozenset({kind}))
        tail.room_end = max(self.preallocator.reached, len(line))
        return tail

    def discard(self) -> None:
        """Nothing of it stays."""
        self.close()
        self._files.unlink(self._temporary)

    def close(self) -> None:
        """Let go of it; a start removes what stays."""
        self.preallocator.end()
        self._files.close(self._handle)
