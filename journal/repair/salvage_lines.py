"""Which lines of a damaged segment are still proven, also behind the damage.

The checksum of a line runs on over the whole file, so behind a bad byte it cannot be computed. But
each line states its own, and from what a line states the next one can be checked: a line is given
when the eighteen bytes before it are a checksum and the line fits to that. So of a flipped byte
only its own line is lost; of a hole, what it covers and the one line behind it, whose predecessor's
checksum is gone. A line that the one behind it contradicts was edited, or that one was: neither is
given.

It does not ask whether a line belongs to this journal or stands in its order: `salvage` does.
"""

import re
from collections.abc import Iterator

from ackbook.journal.format.record import Line, parse_line, running_after
from ackbook.journal.reading.forgery import contradicts
from ackbook.journal.reading.scanner import Walker

_STATED = re.compile(rb',"crc":"([0-9a-f]{8})"\}\n(?=\{"seq":)')


def glean(data: bytes, base: int, *, beyond: bool) -> Iterator[Line]:
    """The proven lines of a segment in the order of the file, seqs rising.

    `beyond` asks for what stands behind the first bad line, too. Without it the lines end there, as
    they do in a recovery: what follows a torn batch was never acknowledged. The first line may have
    another seq than `base`, the one in the name of the file: it is the line that is checked.
    """
    first = parse_line(data.partition(b"\n")[0])
    walker = Walker(data, first.seq if first else base)
    yield from _uncontradicted(walker, data)
    last, position = walker.expected - 1, walker.end
    while beyond and (stated := _STATED.search(data, position)):
        position = stated.end()
        walker = _walk_from(data, position, stated[1].decode())
        for line in _uncontradicted(walker, data):
            if line.seq > last:
                yield line
                last = line.seq
        last = max(last, walker.expected - 1)
        position = walker.byte


def _uncontradicted(walker: Walker, data: bytes) -> Iterator[Line]:
    """The lines of a walk; not its last one where what stands behind says that it was edited."""
    held: Line | None = None
    for line in walker:
        if held is not None:
            yield held
        held = line
    if held is not None and not contradicts(held, data[walker.byte :]):
        yield held


def _walk_from(data: bytes, start: int, stated: str) -> Walker:
    """From a line whose predecessor states this checksum."""
    stop = data.find(b"\n", start)
    line = parse_line(data[start : stop if stop >= 0 else len(data)])
    running = running_after(stated)
    return Walker(data[start:], line.seq if line else 0, offset=start, running=running)
