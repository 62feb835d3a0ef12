"""Reads a journal in order, verified, without a lock and without changing anything.

It works on a directory that a writer has open (and then shows nothing that is not durable), on a
copy, and on a damaged one: what verifies is given, what does not is named in `damage`. Each call
looks at the directory anew, so to follow a journal is to ask again after the last seq; that
continues where the last call ended and does not read the segment again.

It does not judge: whether damage means that something acknowledged is gone is `verify`'s answer.
"""

from collections.abc import Iterator
from pathlib import Path

from journal.blocks import Place, SegmentBlocks, between
from journal.control import SegmentStarted, read_control
from journal.errors import Damage, verify_command
from journal.files import Files, OsFiles
from journal.head import read_head
from journal.layout import LOCK, list_directory, segment_name
from journal.record import Line, parse_line
from journal.scan import Block


class Reader:
    """One directory; `damage` grows as damage is met."""

    __slots__ = ("_damage", "_directory", "_files", "_resume")

    def __init__(self, directory: Path, *, files: Files | None = None) -> None:
        self._files = files or OsFiles()
        self._directory = directory.absolute()
        self._damage: dict[tuple[str, int], Damage] = {}
        self._resume: Place | None = None

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What could not be given so far, each place once."""
        return tuple(self._damage.values())

    @property
    def journal_id(self) -> str | None:
        """The id of the journal; None when there is none, or nothing of it can be read."""
        for base in self._segments():
            for block in SegmentBlocks(self._files, self._path(base), Place(base, base)):
                line = parse_line(block.data.partition(b"\n")[0])
                started = read_control(line) if line else None
                if isinstance(started, SegmentStarted):
                    return started.journal
                break
        marks = read_head(self._files, self._directory).marks
        return marks[0].journal if marks else None

    @property
    def first_seq(self) -> int:
        """The oldest seq that is here; 0 when there is none."""
        return next(iter(self._segments()), 0)

    def head(self) -> int:
        """The highest seq that may be shown. While a writer is at work that is the last one that
        is known to be durable, else the last good line."""
        live = self._is_live()
        witness = read_head(self._files, self._directory).seq
        last = d = 0
        ends: list[SegmentBlocks] = []
        for base in reversed(self._segments()):
            ends.append(SegmentBlocks(self._files, self._path(base), Place(base, base)))
            for block in ends[-1]:
                last, d = block.last.seq, block.d
            if last:
                break
        if live or self._is_live():
            # A writer that opened it in between makes the answer a live one.
            return max(witness, d)
        for blocks in ends:
            if blocks.wrong is not None:
                self._note(blocks)
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
        segments = self._segments()
        ends = (*segments[1:], limit + 1)
        for base, end in zip(segments, ends, strict=False):
            if base <= limit and after + 1 < end:
                for block in self._verified(base, after, limit):
                    data = between(block, after, limit)
                    if data:
                        yield data

    def _limit(self, through: int | None) -> int:
        # HEAD is a lower bound of what may be shown: up to it nothing has to be looked up.
        if through is not None and through <= read_head(self._files, self._directory).seq:
            return through
        head = self.head()
        return head if through is None else min(through, head)

    def _verified(self, base: int, after: int, limit: int) -> Iterator[Block]:
        place = self._resume
        if place is None or place.base != base or place.expected > after + 1:
            place = Place(base, base)
        blocks = SegmentBlocks(self._files, self._path(base), place)
        for block in blocks:
            if block.last.seq <= limit:
                self._resume = blocks.place
            yield block
            if block.last.seq >= limit:
                return
        if blocks.wrong is None or blocks.place.expected > limit:
            return
        if blocks.place == place and place.offset > 0:
            # The lines that were read before were cut off since; so start over.
            self._resume = None
            yield from self._verified(base, after, limit)
            return
        self._note(blocks)

    def _note(self, blocks: SegmentBlocks) -> None:
        place, name = blocks.place, segment_name(blocks.place.base)
        self._damage[name, place.offset] = Damage(
            file=name,
            line=place.count + 1,
            byte=place.offset,
            what=f"nothing more of this file can be read: {blocks.wrong}",
            proof=f"the last good record is {place.expected - 1}",
            next=verify_command(self._directory),
        )

    def _segments(self) -> tuple[int, ...]:
        return list_directory(self._files, self._directory).segments

    def _path(self, base: int) -> Path:
        return self._directory / segment_name(base)

    def _is_live(self) -> bool:
        return self._files.locked(self._directory / LOCK)
