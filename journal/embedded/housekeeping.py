"""Snapshots and compaction for one who has a state and no wish to know how either is done.

Each is one routine that blocks, and takes a turn between two batches only for the steps that need
one: appends go on while a state is written and while segments are archived. Whose turn it is, and
on which thread, is the business of whoever hands in `Turn`.
"""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol, TypeVar

from ackbook.journal.errors import SnapshotUnusable
from ackbook.journal.format.control import CONTROL_PREFIX
from ackbook.journal.format.layout import list_directory
from ackbook.journal.format.record import Position
from ackbook.journal.format.snapshot import SnapshotFile, write_snapshot
from ackbook.journal.maintenance.archive import ArchiveFile, archive_segment
from ackbook.journal.maintenance.compaction import Compaction, CompactionReport, plan_compaction
from ackbook.journal.maintenance.retention import Retention
from ackbook.journal.reading.own_errors import own_errors
from ackbook.journal.reading.reader import Reader
from ackbook.journal.reading.snapshot_choice import newest_snapshots
from ackbook.journal.storage.files import Files
from ackbook.journal.writing.log import Log

WITNESS_S: Final = 1.0
"""How long after an append HEAD, the witness of the last batch, is made durable, too."""

_PIECE_BYTES: Final = 64 * 1024
"""A state is one JSON value; a snapshot is read back in lines of about this size."""

_NO_SNAPSHOT: Final = "no snapshot was made"
_NOT_COMPACTED: Final = "it was not compacted"
_NOT_DONE: Final = "a step of its upkeep was not done"

_Result = TypeVar("_Result")


class Turn(Protocol):
    """Runs something between two batches, gives what it gave and raises what it raised."""

    def __call__(self, act: Callable[[Log], _Result], /) -> _Result: ...


class Housekeeping:
    """For the journal in one directory, whose states are of one version."""

    __slots__ = ("_directory", "_files", "_take_turn", "_version")

    def __init__(self, directory: Path, version: int, files: Files, turn: Turn) -> None:
        self._directory = directory
        self._version = version
        self._files = files
        self._take_turn = turn

    def snapshot(self, state: bytes, through: int) -> None:
        """Keep this state, which is JSON, as that of all records up to `through`.

        Raises `SnapshotUnusable` when there is no record `through`, and `AttemptFailed` or
        `JournalFull`, after which everything is as it was.
        """
        with self._own_errors(_NO_SNAPSHOT):
            position = self._turn(lambda log: log.head)
            if position.seq != through:
                position = self._position_of(through)
            pieces = (state[at : at + _PIECE_BYTES] for at in range(0, len(state), _PIECE_BYTES))
            self._keep(position, pieces)

    def compact(self, keep: Retention) -> CompactionReport:
        """Archive and remove what two snapshots make dispensable.

        Raises `AttemptFailed` or `JournalFull`: what was removed before stays removed.
        """
        with self._own_errors(_NOT_COMPACTED):
            return self._compact(keep)

    def _compact(self, keep: Retention) -> CompactionReport:
        self._carry_to_a_seal()
        plan = plan_compaction(
            self._directory,
            fold_version=self._version,
            keep_audit=keep,
            now=self._turn(lambda log: log.now()),
            files=self._files,
        )
        run = self._turn(lambda log: Compaction(log, plan, keep_audit=keep, files=self._files))
        while due := run.due:
            archived = [
                archive_segment(self._directory, piece.first, files=self._files)
                for piece in due
                if run.needs_archives
            ]
            self._remove(run, archived)
        self._turn(lambda _: run.forget())
        return run.report()

    def _own_errors(self, what: str) -> contextlib.AbstractContextManager[None]:
        return own_errors(self._directory, what)

    def _turn(self, act: Callable[[Log], _Result]) -> _Result:
        """Take one. What fails in it has failed as an attempt, and not in the midst of a write."""

        def attempt(log: Log) -> _Result:
            with self._own_errors(_NOT_DONE):
                return act(log)

        return self._take_turn(attempt)

    def _carry_to_a_seal(self) -> None:
        """When nothing was appended since the newest snapshot, end the segment in use and make two
        snapshots of the same state behind its end: so one run may take all of it."""
        newest = newest_snapshots(
            self._directory, self._version, count_max=1, files=self._files
        ).usable
        if not newest:
            return
        ends = self._turn(lambda log: self._seal_behind(log, newest[0]))
        for position in ends:
            lines = (line for block in newest[0].blocks() for line in block[:-1].split(b"\n"))
            self._keep(position, lines)

    def _seal_behind(self, log: Log, snapshot: SnapshotFile) -> tuple[Position, ...]:
        """The places of the seal and of the line after it; none when there is no need."""
        tail_base = list_directory(self._files, self._directory).segments[-1]
        since = Reader(self._directory, files=self._files).lines(snapshot.seq, log.head.seq)
        grew = any(not line.kind.startswith(CONTROL_PREFIX) for line in since)
        return () if grew or snapshot.seq <= tail_base else (log.seal(), log.head)

    def _remove(self, run: Compaction, archived: list[ArchiveFile]) -> None:
        self._turn(lambda _: run.step(archived))

    def _keep(self, position: Position, lines: Iterable[bytes]) -> None:
        snapshot = write_snapshot(
            self._directory,
            journal_id=self._turn(lambda log: log.journal_id),
            position=position,
            fold_version=self._version,
            lines=lines,
            files=self._files,
        )
        self._turn(lambda log: log.note_snapshot(snapshot))

    def _position_of(self, seq: int) -> Position:
        for line in Reader(self._directory, files=self._files).lines(seq - 1, seq):
            return Position(line.seq, line.at, line.crc)
        raise SnapshotUnusable(
            f"there is no record {seq} in {self._directory} that a state could stand on",
            "give the position of the last record that went into the state",
        )
