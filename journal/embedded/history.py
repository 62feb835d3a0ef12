"""What can be read of a journal by those who append to it and by those who only look on.

Everything after a cursor is given in order and once, through segments that end and archives that
take their place; what cannot be given is an error, never silence. Only what is durable is shown.
The records that the journal writes about itself are left out. It takes no lock, so any number of
processes may read beside the one that writes.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ackbook.journal.errors import Damage, Displaced, OutOfReach
from ackbook.journal.format.control import RecoveryReport
from ackbook.journal.format.head import read_head
from ackbook.journal.format.values import Record, State
from ackbook.journal.next_step import NextStep
from ackbook.journal.reading.follow import Follow, read_records
from ackbook.journal.reading.own_errors import own_errors
from ackbook.journal.reading.reader import Reader
from ackbook.journal.reading.snapshot_choice import newest_snapshots
from ackbook.journal.storage.clock import Clock, OsClock
from ackbook.journal.storage.files import Files, OsFiles
from ackbook.journal.storage.held_directory import HeldDirectory
from ackbook.journal.storage.notifier import Notifier
from ackbook.journal.writing.log import Log


def read_journal(directory: str | Path, *, state_version: int = 1) -> "History":
    """A journal to look at and not to change; it may be written by another process meanwhile, or
    not be there yet. `state_version` is the one that was given to `open_journal`."""
    return History(Path(directory), state_version=state_version)


class History:
    """One directory, which is the one that was there when this first found one: every call raises
    `Displaced` once its name means another. Each call looks anew, and each iteration has a place of
    its own."""

    def __init__(
        self,
        directory: Path,
        *,
        state_version: int,
        files: Files | None = None,
        clock: Clock | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self._files = files or OsFiles()
        self._held: HeldDirectory | None = None
        self._clock = clock or OsClock()
        self._notifier = notifier or Notifier()
        self._state_version = state_version
        self.directory = directory.absolute()

    @property
    def seq(self) -> int:
        """The last position that may be shown; 0 when there is nothing."""
        with self._own_errors():
            return self._reader().head()

    @property
    def first_seq(self) -> int:
        """The oldest position from which on nothing is missing; 0 when there is nothing."""
        with self._own_errors():
            return self._reader().first_seq

    def read(self, after: int = 0, through: int | None = None) -> Iterator[Record]:
        """The records with `after < seq <= through`, and no further than what is there now.

        Raises `OutOfReach` when some of them were let go of, or when there never was a record
        `after`; `Corrupt` when some cannot be read; `AttemptFailed` when the machine refuses to
        read now. What was given before is good.
        """
        last = self._last_seq(after)
        through = last if through is None else min(last, through)
        found = read_records(self._reader(), after, through)
        while True:
            with self._own_errors():
                records = next(found, None)
            if records is None:
                return
            yield from records

    def follow(self, after: int = 0, *, quiet_s_max: float | None = None) -> "Follow":
        """The records after a cursor, and then each new one as soon as it is durable; for a `for`
        and for an `async for`. It ends when no record came for `quiet_s_max` seconds, or the
        journal was closed in this process. Raises `OutOfReach`, `Corrupt` and `AttemptFailed` as
        `read` does."""
        self._last_seq(after)
        return Follow(
            self._reader(),
            self._durable_seq,
            self._notifier,
            self._clock,
            after=after,
            quiet_s_max=quiet_s_max,
        )

    def state(self) -> State:
        """The newest state that a snapshot holds: what a start begins with, to go on with
        `read(after=state.seq)`. Without one it is the state before the first record."""
        with self._own_errors():
            newest = newest_snapshots(
                self.directory, self._state_version, count_max=1, files=self._door()
            ).usable
            if not newest:
                return State()
            pieces = b"".join(newest[0].blocks()).split(b"\n")
            return State(newest[0].seq, b"".join(pieces))

    def _durable_seq(self) -> int:
        """The same as `seq` at the price of a glance: what the writer vouches for. When it was
        killed this may be a batch behind, until it is back."""
        with self._own_errors():
            head = read_head(self._door(), self.directory)
        return head.seq if head.marks else self.seq

    def _last_seq(self, after: int) -> int:
        last = self.seq
        if after > last:
            raise OutOfReach(_ahead(self.directory, after, last))
        return last

    def _own_errors(self) -> contextlib.AbstractContextManager[None]:
        return own_errors(self.directory, "it cannot be read now")

    def _reader(self) -> Reader:
        return Reader(self.directory, files=self._door())

    def _door(self) -> Files:
        if self._held is None:
            try:
                self._held = HeldDirectory.of(self._files, self.directory)
            except OSError:
                return self._files  # there is nothing yet
        elif not self._held.is_named:
            raise _displaced(self._held)
        return self._held


class OwnHistory(History):
    """That of a journal which this process has open, so that HEAD always says what is durable. (The
    log itself knows it a moment too soon: before HEAD does, and so before any reader may.)"""

    def __init__(
        self,
        log: Log,
        *,
        state_version: int,
        clock: Clock | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        super().__init__(
            log.directory,
            state_version=state_version,
            files=log.files,
            clock=clock,
            notifier=notifier,
        )
        self._log = log

    @property
    def seq(self) -> int:
        """The last durable position, and the cursor of someone who knows all of it."""
        return self._durable_seq()

    def _door(self) -> Files:
        return self._files  # that of the log, wherever it is

    @property
    def recovery(self) -> RecoveryReport:
        """What the start found and did."""
        return self._log.recovery

    @property
    def lineage(self) -> str:
        """The tag of the history that this start began, since the journal was put back from a copy:
        another one may have given, or give, positions from here on to other records. Else empty."""
        return self._log.lineage


def _displaced(held: HeldDirectory) -> Displaced:
    now = held.name_now
    happened = f"was moved to {now}" if now else "was removed"
    return Displaced(f"{held.directory} {happened} while it was read", "open what is there now")


def _ahead(directory: Path, after: int, last: int) -> Damage:
    what = f"{after} is ahead of the last record, {last}"
    step = "see whether the cursor is of another journal, or this is an older copy"
    return Damage(str(directory), 0, 0, what, "", NextStep(step))
