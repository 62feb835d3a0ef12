"""Where in a journal a moment lies: the last record that was written at or before it.

Times in a journal never go back, so the file is found by halving and only that one is read, by the
block. What cannot be read is passed over: the answer is then the last record before the moment that
can be. Nothing is changed; it does not know what time it is now.
"""

from bisect import bisect_right
from pathlib import Path

from ackbook.journal.format.layout import list_directory
from ackbook.journal.format.record import Position, parse_line
from ackbook.journal.reading.blocks import LinePosition, SegmentBlocks
from ackbook.journal.reading.reader import Reader
from ackbook.journal.reading.sources import Source, readable, sources_of
from ackbook.journal.storage.files import Files, OsFiles


def position_at(directory: Path, at: int, *, files: Files | None = None) -> Position | None:
    """The last record that may be shown with a time of at most `at` (microseconds UTC); None where
    all of them are later. Archives are read through."""
    files = files or OsFiles()
    directory = directory.absolute()
    head = Reader(directory, files=files).head()
    sources = sources_of(list_directory(files, directory))
    begun = bisect_right(sources, at, key=lambda source: _begin(files, directory, source))
    for source in reversed(sources[:begun]):
        found = _last_in(_blocks(files, directory, source), at, head)
        if found is not None:
            return found
    return None


def _begin(files: Files, directory: Path, source: Source) -> int:
    """The time of the first line; of one that cannot be read, the earliest there could be."""
    for block in _blocks(files, directory, source):
        line = parse_line(block.data.partition(b"\n")[0])
        assert line is not None, "the block was verified"
        return line.at
    return 0


def _last_in(blocks: SegmentBlocks, at: int, head: int) -> Position | None:
    last: Position | None = None
    for block in blocks:
        if block.last.at <= at and block.last.seq <= head:
            last = block.last
            continue
        for raw in block.data[:-1].split(b"\n"):
            line = parse_line(raw)
            assert line is not None, "the block was verified"
            if line.at > at or line.seq > head:
                return last
            last = Position(line.seq, line.at, line.crc)
    return last


def _blocks(files: Files, directory: Path, source: Source) -> SegmentBlocks:
    source = readable(files, directory, source)
    return SegmentBlocks(files, directory / source.name, LinePosition(source.base, source.base))
