"""Looks at a segment that never changes again, as closely as the question asks.

| question | what is looked at |
|---|---|
| is it the one that belongs in this place? | its two ends: the first line, the seal, the size |
| is every byte as it was written? | all of it, in pieces: one checksum, `full`: its sha256, too |
| what is wrong with it, and where? | each line |

A start that loads a snapshot asks the first question of what the snapshot vouches for; whether a
byte in between has rotted is `verify`'s question. What a quick look leaves open, the closer one
answers, so the quick ones only ever say that all is well. Nothing is decided here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct

from ackbook.journal.format.control import Sealed, SegmentStarted, is_control, read_control
from ackbook.journal.format.record import TRAILER_BYTES, Line, parse_line, running_after
from ackbook.journal.format.validation import knows
from ackbook.journal.limits import FORMAT
from ackbook.journal.reading.scanner import BLOCK_BYTES
from ackbook.journal.recovery.decision_table import Finding
from ackbook.journal.recovery.inspect_tail import Flaw, Look, look_at_tail
from ackbook.journal.storage.files import Files

EDITED: Final = "it was edited and its checksums were made anew"
"""Every checksum of a segment is right, and what its seal says of all of them is not."""

_END_BYTES: Final = 16 * 1024
"""A seal and an ordinary line before it; a longer line makes the look a closer one."""


class SealedContent(Struct, frozen=True):
    """What is looked at. `read` gives bytes from an offset on, fewer only at the end."""

    size: int
    read: Callable[[int, int], bytes]


class _Ends(Struct, frozen=True):
    look: Look
    first: Line
    previous: Line | None
    """The line before the seal, where it fits."""
    last: Line
    seal: Sealed


def in_memory(data: bytes) -> SealedContent:
    """Bytes that are there already, such as those of an archive."""
    return SealedContent(len(data), lambda offset, size: data[offset : offset + size])


@contextmanager
def in_file(files: Files, path: Path) -> Iterator[SealedContent]:
    """A file, which stays open inside the block."""
    handle = files.open(path, "read")
    try:
        yield SealedContent(files.size(handle), partial(files.read, handle))
    finally:
        files.close(handle)


def skim_sealed(content: SealedContent, base: int, kinds: frozenset[str] | None) -> Look | None:
    """What its ends say, when they leave no question open."""
    ends = _look_at_ends(content, base, kinds)
    if ends is None or ends.previous is None:
        return None
    right = _checks(ends.first, 0) and _checks(ends.last, running_after(ends.previous.crc))
    return ends.look if right else None


def look_at_sealed(
    content: SealedContent, base: int, kinds: frozenset[str] | None, *, full: bool = False
) -> Look:
    """A segment that is not the newest one: it must be whole and end in a seal."""
    ends = _look_at_ends(content, base, kinds)
    look = _sum_up(content, ends, full=full) if ends else None
    return look or _walk(content.read(0, content.size), base, kinds)


def _look_at_ends(content: SealedContent, base: int, kinds: frozenset[str] | None) -> _Ends | None:
    size = content.size
    end = content.read(max(0, size - _END_BYTES), _END_BYTES)
    if not end.endswith(b"\n"):
        return None
    before, _, last_line = end[:-1].rpartition(b"\n")
    first = parse_line(content.read(0, _END_BYTES).partition(b"\n")[0])
    last = parse_line(last_line)
    if first is None or last is None:
        return None
    started, seal = read_control(first), read_control(last)
    if not isinstance(started, SegmentStarted) or not isinstance(seal, Sealed):
        return None
    if first.seq != base or started.base != base or started.format > FORMAT:
        return None
    if seal.count != last.seq - base or seal.bytes != size - len(last_line) - 1:
        return None
    if seal.kinds is None or not all(is_control(kind) or knows(kinds, kind) for kind in seal.kinds):
        return None
    look = Look(
        base=base,
        size=size,
        count=seal.count + 1,
        end=size,
        running=running_after(last.crc),
        last=last,
        started=started,
        seal=seal,
        epoch=started.epoch,
        started_at=first.at,
    )
    return _Ends(look, first, parse_line(before.rpartition(b"\n")[2]), last, seal)


def _sum_up(content: SealedContent, ends: _Ends, *, full: bool) -> Look | None:
    """One pass over every byte, in pieces that stay in the cache; None where a sum differs."""
    running, newlines, digest = 0, 0, sha256()
    for offset in range(0, ends.seal.bytes, BLOCK_BYTES):
        piece = content.read(offset, min(BLOCK_BYTES, ends.seal.bytes - offset))
        running = crc32(piece, running)
        newlines += piece.count(b"\n")
        if full:
            digest.update(piece)
    if full and digest.hexdigest() != ends.seal.sha256:
        return None
    last_line = ends.last.raw + b"\n"
    if crc32(last_line, running) != ends.look.running or newlines != ends.seal.count:
        return None
    digest.update(last_line)
    return msgspec.structs.replace(ends.look, sha256=digest.hexdigest() if full else "")


def _walk(data: bytes, base: int, kinds: frozenset[str] | None) -> Look:
    look = look_at_tail(data, base, kinds, {})
    # Whether the bad line was durable once is no question here: all of it was.
    beside = (Finding.SEALED, Finding.PROVEN)
    flaws = [_as_broken(flaw) for flaw in look.flaws if flaw.finding not in beside]
    digest = sha256(data)
    if not flaws and (look.unfinished or look.end != len(data)):
        flaws.append(_broken(look, "a sealed segment does not end with its seal"))
    elif not flaws and look.seal is None:
        flaws.append(_broken(look, "a segment with a later one does not end with a seal"))
    strange = all(flaw.finding is Finding.NEWER for flaw in flaws)
    if look.seal is not None and look.last is not None and strange:
        wrong = _check_seal(look, look.seal, data[: look.end - len(look.last.raw) - 1])
        # What no version sealed, no newer version wrote.
        flaws = wrong or flaws
    return msgspec.structs.replace(look, flaws=tuple(flaws), sha256=digest.hexdigest())


def _check_seal(look: Look, seal: Sealed, before: bytes) -> list[Flaw]:
    flaws = []
    if seal.count != look.count - 1 or seal.bytes != len(before):
        claim = f"it counts {seal.count} lines and {seal.bytes} bytes"
        what = f"{EDITED}: the seal does not fit"
        flaws.append(_broken(look, what, f"{claim}, here are {look.count - 1}"))
    digest = sha256(before).hexdigest()
    if seal.sha256 != digest:
        what = f"{EDITED}: the seal has another sha256"
        flaws.append(_broken(look, what, f"computed {digest}"))
    return flaws


def _checks(line: Line, running: int) -> bool:
    return b"%08x" % crc32(line.raw[:-TRAILER_BYTES], running) == line.raw[-10:-2]


def _broken(look: Look, what: str, proof: str = "") -> Flaw:
    return Flaw(Finding.BROKEN, look.count, look.end, what, proof)


def _as_broken(flaw: Flaw) -> Flaw:
    if flaw.finding is Finding.NEWER:
        return flaw
    return msgspec.structs.replace(flaw, finding=Finding.BROKEN)
