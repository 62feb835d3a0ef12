"""Reads a journal in order, verified, without a lock and without changing anything.

It works on a directory that a writer has open (and then shows nothing that is not durable), on a
copy, and on a damaged one: what verifies is given, what does not is named in `damage`. Compacted
history is read from its archives; where these, too, are gone, `gaps` says which records. Each call
looks at the directory anew, so to follow a journal is to ask again after the last seq; that
continues where the last call ended and does not read the segment again.

It does not judge: whether damage means that something acknowledged is gone is `verify`'s answer.
"""

from collections.abc import Generator, Iterator
from pathlib import Path

from msgspec import Struct

from ackbook.journal.errors import Damage
from ackbook.journal.format.control import SegmentStarted, read_control
from ackbook.journal.format.head import read_head
from ackbook.journal.format.layout import LOCK, list_directory
from ackbook.journal.format.record import Line, parse_line
from ackbook.journal.next_step import verify_step
from ackbook.journal.reading.blocks import LinePosition, SegmentBlocks, between
from ackbook.journal.reading.scanner import Block
from ackbook.journal.reading.sources import Source, oldest_of, sources_of
from ackbook.journal.storage.files import Files, OsFiles


class Gap(Struct, frozen=True):
    """Records that cannot be given; the oldest one that follows them is `last` + 1. `unreadable`:
    there is a file for them, which `damage` names; else they are in no file."""

    first: int
    last: int
    unreadable: bool = False


class Reader:
    """One directory; `damage` grows as damage is met."""

    __slots__ = ("_broken", "_damage", "_directory", "_files", "_following", "_gaps", "_resume")

    def __init__(self, directory: Path, *, files: Files | None = None) -> None:
        self._files = files or OsFiles()
        self._directory = directory.absolute()
        self._damage: dict[tuple[str, int], Damage] = {}
        self._gaps: dict[int, Gap] = {}
        self._resume: LinePosition | None = None
        self._broken: int | None = None
        """The last record of the source that was read last, where that is damaged; 0 where only the
        next file says which one that would be."""
        self._following = 0
        """The seq that has to follow the source that was read last."""

    @property
    def directory(self) -> Path:
        """The journal's, absolute."""
        return self._directory

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What could not be given so far, each place once."""
        return tuple(self._damage.values())

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What was asked for so far and could not be given, for whatever reason."""
        return tuple(self._gaps.values())

    @property
    def journal_id(self) -> str | None:
        """The id of the journal; None when there is none, or nothing of it can be read."""
        for source in self._sources():
            start = LinePosition(source.base, source.base)
            for block in SegmentBlocks(self._files, self._directory / source.name, start):
                line = parse_line(block.data.partition(b"\n")[0])
                started = read_control(line) if line else None
                if isinstance(started, SegmentStarted):
                    return started.journal
                break
        marks = read_head(self._files, self._directory).marks
        return marks[0].journal if marks else None

    @property
    def first_seq(self) -> int:
        """The oldest seq from which on nothing is missing; 0 when there is none."""
        return oldest_of(self._sources())

    @property
    def bases(self) -> tuple[int, ...]:
        """The first seq of each segment or archive, in order. All but the last are sealed, and
        what is in them never changes."""
        return tuple(source.base for source in self._sources())

    def head(self) -> int:
        """The highest seq that may be shown. While a writer is at work that is the last one that
        is known to be durable, else the last good line."""
        live = self._is_live()
        witness = read_head(self._files, self._directory).seq
        last = d = 0
        ends: list[tuple[Source, SegmentBlocks]] = []
        for source in reversed(self._sources()):
            start = LinePosition(source.base, source.base)
            blocks = SegmentBlocks(self._files, self._directory / source.name, start)
            ends.append((source, blocks))
            for block in blocks:
                last, d = block.last.seq, block.d
            if last:
                break
        if live or self._is_live():
            # A writer that opened it in between makes the answer a live one.
            return max(witness, d)
        for source, blocks in ends:
            if blocks.wrong is not None:
                self._note(source, blocks)
        return last

    def lines(self, after: int = 0, through: int | None = None) -> Iterator[Line]:
        """Every line with `after < seq <= through`, in order; `through` is at most `head()`."""
        for data in self.blocks(after, through):
            for raw in data[:-1].split(b"\n"):
                line = parse_line(raw)
                assert line is not None, "the block was verified"
                yield line

    def blocks(self, after: int = 0, through: int | None = None) -> Iterator[bytes]:
        """The same as blocks of whole lines, about 64 KiB each, each line with its newline."""
        limit = self._limit(through)
        expected, read, vanished = after + 1, 0, ""
        self._broken = None
        while expected <= limit:
            source = self._next_source(expected, read)
            if source is None or source.base > limit:
                return
            if source.base > expected:
                self._note_gap(expected, source.base - 1)
            try:
                for block in self._with_twins(source, after, limit):
                    data = between(block, max(after, expected - 1), limit)
                    expected = max(expected, block.last.seq + 1)
                    if data:
                        yield data
            except FileNotFoundError:
                # It was compacted since its name was read, so it has another name now.
                if vanished == source.name:
                    raise
                vanished = source.name
                continue
            expected = max(expected, self._following)
            read = source.base

    def _next_source(self, expected: int, read: int) -> Source | None:
        """The one that holds `expected`, else the first one behind it; none up to `read`."""
        chosen = None
        for source in self._sources():
            if source.base <= read or (source.last is not None and source.last < expected):
                continue
            if source.base > expected:
                return chosen or source
            chosen = source
        return chosen

    def _limit(self, through: int | None) -> int:
        # HEAD is a lower bound of what may be shown: up to it nothing has to be looked up.
        if through is not None and through <= read_head(self._files, self._directory).seq:
            return through
        head = self.head()
        return head if through is None else min(through, head)

    def _with_twins(self, source: Source, after: int, limit: int) -> Iterator[Block]:
        """The blocks of a file, and where it does not give what it holds, those of another file
        with the same lines. Damage is noted where none of them gives everything."""
        ends: list[tuple[Source, SegmentBlocks]] = []
        for each in (source, *source.twins):
            blocks = yield from self._verified(each, after, limit)
            if self._following > limit:
                ends.clear()
                break
            last = max((twin.last or 0 for twin in (source, *source.twins)), default=0)
            if blocks.wrong is None and self._following <= last:
                blocks.wrong = f"it ends before record {last}"
            if blocks.wrong is None:
                ends.clear()
                break
            ends.append((each, blocks))
        for each, blocks in ends:
            self._note(each, blocks)
        self._broken = max((each.last or 0 for each, _ in ends), default=None)

    def _verified(
        self, source: Source, after: int, limit: int
    ) -> Generator[Block, None, SegmentBlocks]:
        """Those of one file; then how far it goes, and why no further."""
        place = self._resume
        if place is None or place.base != source.base or place.expected > after + 1:
            place = LinePosition(source.base, source.base)
        blocks = SegmentBlocks(self._files, self._directory / source.name, place)
        for block in blocks:
            if block.last.seq <= limit:
                self._resume = blocks.place
            yield block
            if block.last.seq >= limit:
                self._following = limit + 1
                return blocks
        self._following = blocks.place.expected
        if blocks.wrong is not None and blocks.place == place and place.offset > 0:
            # The lines that were read before were cut off since; so start over.
            self._resume = None
            return (yield from self._verified(source, after, limit))
        return blocks

    def _note(self, source: Source, blocks: SegmentBlocks) -> None:
        place, name = blocks.place, source.name
        self._damage[name, place.offset] = Damage(
            file=name,
            line=place.count + 1,
            byte=place.offset,
            what=f"nothing more of this file can be read: {blocks.wrong}",
            proof=f"the last good record is {place.expected - 1}",
            next=verify_step(self._directory),
        )

    def _note_gap(self, first: int, last: int) -> None:
        held = 0 if self._broken is None else self._broken or last
        if first <= held:
            self._gaps[first] = Gap(first, min(held, last), unreadable=True)
            first = held + 1
        if first <= last:
            self._gaps[first] = Gap(first, last)

    def _sources(self) -> tuple[Source, ...]:
        return sources_of(list_directory(self._files, self._directory))

    def _is_live(self) -> bool:
        return self._files.locked(self._directory / LOCK)
