"""The past, read from the journal's files: what `why`, `events`, `replay` and `cat` share.

No broker is needed and nothing is changed; on the directory of a running one only what is durable
is shown. From a damaged journal comes everything that verifies, and what is missing is said on
standard error, each place once. What a bundle was never meant to hold is not missing: it is said
where an answer leans on it. This module knows positions and entries, not what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.journal_endings import error_at_a_shell, exit_code_of, step_at_a_shell
from ackbook.journal import JournalError, Line, Position, Reader, position_at
from ackbook.projections.codec import Entry, decode_block
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.output import dim, plain, poor, say
from ackbook.tools.cli.place import Place


class RecordBlock(NamedTuple):
    """Some dozens of records that follow each other: whole lines, and what they say."""

    raw: bytes
    entries: list[Entry]


class JournalHistory:
    """The journal of one place. Where there is none, `Place.journal` raises `Failure`.

    Whatever reads raises `Failure`, which ends the command with the journal's own words and next
    step: damage that nothing can be read beyond, or a record of a newer version. Damage that it can
    read beyond is said on standard error, once.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.directory = place.journal()
        self._reader = Reader(self.directory)
        self._said = 0
        self._said_bundle = False
        self._gaps: set[int] = set()

    def head(self) -> int:
        """The last position that may be shown; 0 for a journal without a record. `Failure` as the
        class says."""
        with self._failing():
            return self._reader.head()

    def journal_id(self) -> str | None:
        """The id of the journal, which every copy of it has, too; None where nothing says it.
        `Failure` as the class says."""
        with self._failing():
            return self._reader.journal_id

    def oldest(self) -> int:
        """The oldest position from which on nothing is missing, archives included; 0 for none.
        `Failure` as the class says."""
        with self._failing():
            return self._reader.first_seq

    def lines(self, after: int = 0, through: int | None = None) -> Iterator[Line]:
        """The verified lines with `after < seq <= through`, in order. `Failure` as the class
        says."""
        with self._failing():
            yield from self._reader.lines(self._meant(after), through)

    def line(self, seq: int) -> Line | None:
        """The verified line of this record; None where there is none, or it cannot be read.
        `Failure` as the class says."""
        return next(self.lines(seq - 1, seq), None) if seq > 0 else None

    def blocks(self, after: int = 0, through: int | None = None) -> Iterator[RecordBlock]:
        """The same by the block, as bytes and as typed entries. `Failure` as the class says."""
        with self._failing():
            for block in self._reader.blocks(self._meant(after), through):
                yield RecordBlock(block, decode_block(block))

    def entries(self, after: int = 0, through: int | None = None) -> Iterator[Entry]:
        """The same as typed entries. `Failure` as the class says."""
        for block in self.blocks(after, through):
            yield from block.entries

    def lean_on(self, seqs: Iterable[int]) -> None:
        """An answer leans on these records: where a bundle does not reach so far, say so, once."""
        bundle = self.place.bundle
        if bundle is None or self._said_bundle or all(seq >= bundle.first for seq in seqs):
            return
        self._said_bundle = True
        say(dim(f"{bundle}: what came before is in the journal that it was made from"))

    def position_at(self, at: int) -> Position | None:
        """The last record at or before this time (microseconds UTC); None where all are later.
        `Failure` as the class says."""
        with self._failing():
            return position_at(self.directory, at)

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """The reader itself; what is wrong with the journal ends the command, or is said: raises
        `Failure` as the class says, also for what is read inside the block."""
        with self._failing():
            yield self._reader

    def _meant(self, after: int) -> int:
        """From where on there are records; before that a bundle has only what stands for them."""
        bundle = self.place.bundle
        return after if bundle is None else max(after, bundle.first - 1)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What is wrong with a journal, as the end of a command."""
        try:
            yield
        except JournalError as problem:
            raise as_failure(problem) from None
        except msgspec.DecodeError as problem:
            raise Failure(
                ExitCode.NEWER_FORMAT,
                f"{self.directory} holds a record of a shape that this version does not know "
                f"({problem})",
                "read it with the version that wrote it, or a later one",
            ) from None
        finally:
            self._say_damage()

    def _say_damage(self) -> None:
        damage = self._reader.damage
        for one in damage[self._said :]:
            say(f"{poor('missing:')} {plain(error_at_a_shell(one))}")
        self._said = len(damage)
        for gap in self._reader.gaps:
            if gap.first not in self._gaps and gap.last >= self._meant(0):
                why = "cannot be read" if gap.unreadable else "are not in any file"
                say(f"{poor('missing:')} records {gap.first} to {gap.last} {why}")
                self._gaps.add(gap.first)


def as_failure(problem: JournalError) -> Failure:
    """The end of a command that met this error: its words, and the next step as a command."""
    return Failure(
        exit_code_of(problem), problem.what, f"next: {step_at_a_shell(problem.next_step)}"
    )
