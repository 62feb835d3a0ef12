"""What appends will need and do not have to wait for: room ahead, in the tail or in the segment
after it, and the SHA-256 of what was written.

Whoever has a thread calls `step` until it says that this is over; the writer goes on meanwhile,
reads how far the room `reached`, and may `end` it between two steps. A step is small, because an
append whose sync meets it waits for its bytes, too.

Room in the tail is written through a descriptor of its own: the kernel tells each descriptor once
of a sync that failed, and what an append has to hear must not be told to somebody else.
"""

from collections import deque
from hashlib import sha256
from threading import Lock

from ackbook.journal.storage.files import SPACE_ERRORS, Files, Handle

NEWLINES = b"\n" * (256 * 1024)
"""Room is written in such pieces, or smaller ones."""


class RunningHash:
    """The SHA-256 of everything that was added, worked out when somebody has the time."""

    __slots__ = ("_digest", "_lock", "_waiting")

    def __init__(self, content: bytes = b"") -> None:
        self._digest = sha256(content)
        self._waiting: deque[bytes] = deque()
        self._lock = Lock()

    def add(self, content: bytes) -> None:
        """Keep it until `catch_up`."""
        self._waiting.append(content)

    def catch_up(self) -> None:
        """Work through what was added. May be called beside `add`, from another thread."""
        with self._lock:
            while self._waiting:
                self._digest.update(self._waiting.popleft())

    def hexdigest(self) -> str:
        """Of everything that was added before this call."""
        self.catch_up()
        return self._digest.hexdigest()


class Preallocator:
    """Room from the byte `start` to the byte `stop` of a file. The descriptor is closed with it
    when it is its `own`."""

    __slots__ = (
        "_files",
        "_handle",
        "_hash",
        "_lock",
        "_own",
        "_step",
        "_stop",
        "failure",
        "full",
        "over",
        "reached",
    )

    def __init__(
        self,
        files: Files,
        handle: Handle,
        start: int,
        stop: int,
        *,
        step: int,
        own: bool,
        running: RunningHash,
    ) -> None:
        self._files = files
        self._handle = handle
        self._own = own
        self._hash = running
        self._step = min(step, len(NEWLINES))
        self._stop = stop
        self._lock = Lock()
        self.reached = start
        """Everything before it is durable."""
        self.full = False
        """It ended early, because the disk takes no more."""
        self.failure: OSError | None = None
        """It ended early, and nobody knows what of the file is durable."""
        self.over = False

    def step(self) -> bool:
        """Do a piece of it; False when it is over."""
        self._hash.catch_up()
        with self._lock:
            if self.over:
                return False
            try:
                self._write_piece()
            except OSError as error:
                self.failure = error
            if self.full or self.failure is not None or self.reached >= self._stop:
                self._close()
            return not self.over

    def end(self) -> None:
        """Wait for the step that is being done; none follows."""
        with self._lock:
            if not self.over:
                self._close()

    def _write_piece(self) -> None:
        piece = NEWLINES[: min(self._step, self._stop - self.reached)]
        try:
            written = self._files.write(self._handle, self.reached, piece)
        except OSError as error:
            if error.errno not in SPACE_ERRORS:
                raise
            self.full = True
            return
        self._files.sync(self._handle)
        self.reached += written

    def _close(self) -> None:
        self.over = True
        if self._own:
            self._files.close(self._handle)
