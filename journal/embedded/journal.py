"""The front door for a program that wants a journal and nothing else.

```python
with open_journal("orders") as journal:
    seq = journal.append("order.placed", {"item": "tea"})  # returns when it is on the disk
    for record in journal.read():
        print(record.seq, record.kind, record.value)
```
It promises what `log` promises, without its dance of turns: any thread may call anything at any
time, and calls that write take turns. `async with` gives the same journal to a loop
(`async_journal`), where all who append at the same time share a sync. Nothing here
is a second way to the disk.

Only the process that opened it may write: a child that was forked gets `NotOpen`, and should be
started in another way, since it keeps the lock for as long as it lives.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Lock, Timer
from types import TracebackType
from typing import Self, TypeVar

from ackbook.journal.embedded.async_journal import AsyncJournal
from ackbook.journal.embedded.history import OwnHistory
from ackbook.journal.embedded.housekeeping import WITNESS_S, Housekeeping
from ackbook.journal.errors import DiskFailed, JournalError, NotOpen
from ackbook.journal.format.values import Data, drafts_of, encode
from ackbook.journal.limits import Limits
from ackbook.journal.maintenance.compaction import CompactionReport
from ackbook.journal.maintenance.retention import FOREVER, Retention
from ackbook.journal.recovery.open_log import open_log
from ackbook.journal.storage.clock import Clock
from ackbook.journal.storage.files import Files
from ackbook.journal.writing.log import Log

_CLOSED = ("is closed", "open it again")
_INTERRUPTED = ("was interrupted in the midst of a write", "end this process and start it again")

_Result = TypeVar("_Result")


def open_journal(
    directory: str | Path,
    *,
    state_version: int = 1,
    allow_network_fs: bool = False,
    limits: Limits | None = None,
    files: Files | None = None,
    clock: Clock | None = None,
) -> "Journal":
    """Open the journal in `directory` for writing, or make one there; recover it when its last
    writer was killed. Only one may have it open; `read_journal` needs no leave.

    Count `state_version` up when the program's idea of its state changes: snapshots of another
    version are then left aside, and the state is made anew from the records.

    Raises `Locked` when somebody has it open, `ReadOnly`, `NetworkFileSystem` (unless allowed),
    `DiskFailed`, and when acknowledged records are not what they were: `Corrupt`, `Lost`,
    `TornTail`, `NewerFormat`. None of them changes a record.
    """
    log = open_log(
        Path(directory),
        files=files,
        clock=clock,
        limits=limits,
        trusted=True,
        allow_network_fs=allow_network_fs,
        fold_version=state_version,
    )
    return Journal(log, state_version=state_version, clock=clock)


class Journal(OwnHistory):
    """Made by `open_journal`; leave the `with` or call `close`, or the next start copies the
    segment in use before it goes on.

    Whatever writes raises `NotOpen` once the journal was closed, was given to a loop or was
    interrupted in the middle of a write, and in a fork of the process that opened it.
    """

    def __init__(self, log: Log, *, state_version: int, clock: Clock | None) -> None:
        super().__init__(log, state_version=state_version, clock=clock)
        self._lock = Lock()
        self._pid = os.getpid()
        self._ended: tuple[str, str] | None = None
        """Why nothing can be written any more, and what to do then."""
        self._witness: Timer | None = None
        self._on_loop: AsyncJournal | None = None

    def append(self, kind: str, data: Data) -> int:
        """Append one record and give its position; when this returns, it is durable. `kind` is a
        dotted lower-case name.

        Raises `RecordRefused` for a record that cannot be written as it is, and `JournalFull` when
        the disk has no room: the same call may succeed later; both leave nothing behind.
        `DiskFailed` ends the journal: the outcome is unknown until it is opened again, and each
        later call raises `Poisoned`. `NotOpen` as the class says.
        """
        return self.append_all([(kind, data)]).start

    def append_all(self, records: Iterable[tuple[str, Data]]) -> range:
        """Append several with one sync and give their positions, which have no gap.

        What is refused is refused as a whole; but a crash before this returns may keep the first
        few. One call holds what a batch holds, 4 MiB. Raises what `append` raises.
        """
        drafts = drafts_of(records)

        def append(log: Log) -> range:
            first = log.next_seq
            if not log.offer(drafts, log.now()):
                raise log.too_large(drafts)
            log.commit()
            return range(first, first + len(drafts))

        if not drafts:
            return range(0)
        seqs = self._take_turn(append)
        self._notifier.ring()
        return seqs

    def snapshot(self, state: object, *, through: int) -> None:
        """Keep `state`, which may be whatever JSON can hold, as what all records up to `through`
        come to, so that a later start need not read those. Appends go on meanwhile.

        Raises `AttemptFailed` and `JournalFull`, which harm nothing, `RecordRefused` when JSON
        cannot hold the state, and `SnapshotUnusable` when there is no record `through`.
        """
        self._keeping().snapshot(encode(state), through)

    def compact(self, keep: Retention = FOREVER) -> CompactionReport:
        """Move whole segments that two snapshots make dispensable into packed archives, from where
        they are read as before, and delete those archives that `keep` does not keep. When nothing
        was appended since the newest snapshot, that is all records; the report says what stays,
        and why. Appends go on meanwhile.

        Raises `AttemptFailed` and `JournalFull`, which harm nothing: what went before stays gone.
        """
        return self._keeping().compact(keep)

    def close(self) -> None:
        """End cleanly and let others open it. Followers in this process end. Again is nothing.

        Raises `DiskFailed` when the last words could not be written: every append is durable all
        the same, and the next start takes it for a crash.
        """
        if self._pid != os.getpid():
            return
        with self._lock:
            if self._witness is not None:
                self._witness.cancel()
            if self._ended is None:
                self._ended = _CLOSED
                self._log.close()
        self._notifier.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> AsyncJournal:
        with self._turn() as log:
            self._ended = ("was given to a loop", "use what `async with` gave")
            self._on_loop = AsyncJournal(
                log,
                state_version=self._state_version,
                clock=self._clock,
                notifier=self._notifier,
            )
        return self._on_loop

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._on_loop is not None, "it was entered"
        await self._on_loop.close()

    def _keeping(self) -> Housekeeping:
        # Not kept: with the last reference to this, its directory is let go of.
        return Housekeeping(self.directory, self._state_version, self._files, self._take_turn)

    def _take_turn(self, act: Callable[[Log], _Result]) -> _Result:
        with self._turn() as log:
            return act(log)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[Log]:
        if self._pid != os.getpid():
            raise NotOpen(
                f"{self.directory} was opened by process {self._pid}, and this is a fork of it",
                "append there, and start processes in another way than by fork",
            )
        with self._lock:
            if self._ended is not None:
                what, step = self._ended
                raise NotOpen(f"{self.directory} {what}", step)
            try:
                yield self._log
            except JournalError:
                raise
            except BaseException:
                # Ctrl-C, say: nobody knows how far the write came, so this ends as by a kill.
                self._ended = _INTERRUPTED
                raise
            self._witness_soon()

    def _witness_soon(self) -> None:
        if self._witness is not None:
            return
        witness = Timer(WITNESS_S, self._sync_head)
        witness.daemon = True
        try:
            witness.start()
        except RuntimeError:  # the machine has no thread to give: the witness comes at once
            self._make_witness()
        else:
            self._witness = witness

    def _sync_head(self) -> None:
        with self._lock:
            self._witness = None
            if self._ended is None:
                self._make_witness()

    def _make_witness(self) -> None:
        # A log that failed here says so to whoever uses it next.
        with contextlib.suppress(DiskFailed):
            self._log.sync_head()
