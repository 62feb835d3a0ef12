"""Looks at the newest segment of a directory, the tail: what is in it, and what is wrong with it.

It is walked to its last good line; what stands behind that is kept as `rest`. What its lines say is
for their reader to check. A segment that never changes is looked at by `inspect_sealed`, and walked
here only when something is wrong with it.

Findings are named as the table of `decision_table` names them; nothing is decided here.
"""

import contextlib
from collections.abc import Collection
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from ackbook.journal.format.control import (
    CONTROL_PREFIX,
    SEGMENT,
    Compacted,
    Opened,
    Sealed,
    SegmentStarted,
    is_control,
    read_control,
)
from ackbook.journal.format.record import UNREADABLE, Line
from ackbook.journal.format.validation import knows
from ackbook.journal.limits import FORMAT
from ackbook.journal.reading.forgery import contradicts
from ackbook.journal.reading.scanner import Walker, proof_of_durability
from ackbook.journal.recovery.decision_table import Finding


class Flaw(Struct, frozen=True):
    """A finding inside one segment; `line` counts from 1, both are 0 for the whole file."""

    finding: Finding
    line: int
    byte: int
    what: str
    proof: str = ""


class Look(Struct, frozen=True):
    """What one segment holds, as far as it is good."""

    base: int
    size: int
    count: int = 0
    end: int = 0
    """Bytes that are good; the tail's last newline is counted even when it is missing."""
    running: int = 0
    last: Line | None = None
    started: SegmentStarted | None = None
    seal: Sealed | None = None
    epoch: int = 0
    started_at: int = 0
    kinds: frozenset[str] = frozenset()
    compacted: int = 0
    """Everything up to this seq was removed from the segments on purpose."""
    forgotten: int = 0
    """Everything up to this seq was removed from the archives, too."""
    unfinished: bool = False
    rest: bytes = b""
    sha256: str = ""
    name: str = ""
    """Of the file, where it is not the usual one of a segment."""
    flaws: tuple[Flaw, ...] = ()


class _Loose(Struct):
    kind: str
    data: SegmentStarted


_LOOSE: Final = msgspec.json.Decoder(_Loose)


def look_at_tail(
    data: bytes, base: int, kinds: frozenset[str] | None, witnessed: dict[int, str]
) -> Look:
    """Walk to the last good line. `witnessed` gives the checksums that HEAD knows."""
    seen: set[str] = set()
    walker = Walker(data, base, is_dull=partial(_is_dull, seen, witnessed))
    flaws: list[Flaw] = []
    started: SegmentStarted | None = None
    seal: Sealed | None = None
    epoch = started_at = compacted = forgotten = 0
    for line in walker:
        if line.kind not in seen:
            seen.add(line.kind)
            if not (is_control(line.kind) or knows(kinds, line.kind)):
                flaws.append(_at(Finding.NEWER, walker, f"the kind {line.kind!r} is not known"))
        if line.seq in witnessed and witnessed[line.seq] != line.crc:
            proof = f"HEAD knows it with checksum {witnessed[line.seq]}, here it is {line.crc}"
            flaws.append(_at(Finding.BROKEN, walker, "another line than the durable one", proof))
        match read_control(line):
            case SegmentStarted() as control if walker.count == 1:
                started, started_at, epoch = control, line.at, control.epoch
                compacted, forgotten = control.kept_from - 1, control.archived_from - 1
            case Compacted() as control:
                compacted = max(compacted, control.through)
                forgotten = max(forgotten, control.forgotten)
            case Opened() as control:
                epoch = control.epoch
            case Sealed() as seal:
                break
            case _:
                pass
    edited = walker.last is not None and contradicts(walker.last, walker.rest)
    if edited:
        # A kind that nobody knows is the hand's, not a newer version's.
        flaws = [f for f in flaws if (f.finding, f.line) != (Finding.NEWER, walker.count)]
    flaws.extend(_first_line_flaws(data, base, started, walker))
    if started is not None and walker.rest:
        flaws.extend(_rest_flaws(walker, after_seal=seal is not None, edited=edited))
    elif walker.unfinished:
        flaws.append(_at(Finding.UNFINISHED, walker, "the last line has no newline"))
    if seal is not None:
        flaws.append(_at(Finding.SEALED, walker, "the segment is sealed and has no successor"))
    return Look(
        base=base,
        size=len(data),
        count=walker.count,
        end=walker.end + walker.unfinished,
        running=walker.running,
        last=walker.last,
        started=started,
        seal=seal,
        epoch=epoch,
        started_at=started_at,
        kinds=frozenset(seen),
        compacted=compacted,
        forgotten=forgotten,
        unfinished=walker.unfinished,
        rest=walker.rest,
        flaws=tuple(flaws),
    )


def _is_dull(
    seen: set[str], witnessed: Collection[int], first: int, last: int, present: set[str]
) -> bool:
    """Nothing is to be learned from the lines of this block, one by one."""
    known = present <= seen and not any(kind.startswith(CONTROL_PREFIX) for kind in present)
    return known and not any(first <= seq <= last for seq in witnessed)


def _first_line_flaws(
    data: bytes, base: int, started: SegmentStarted | None, walker: Walker
) -> list[Flaw]:
    raw = data.partition(b"\n")[0]
    with contextlib.suppress(*UNREADABLE):
        loose = _LOOSE.decode(raw)
        if loose.kind == SEGMENT and loose.data.format > FORMAT:
            proof = f"this version reads formats up to {FORMAT}"
            return [Flaw(Finding.NEWER, 1, 0, f"written in format {loose.data.format}", proof)]
    if started is None:
        why = walker.wrong if walker.count == 0 and walker.wrong else "it starts no segment"
        return [Flaw(Finding.FIRST_LINE, 1, 0, "the first line is not good", why)]
    if started.base != base:
        proof = f"it says that it starts at {started.base}"
        return [Flaw(Finding.FIRST_LINE, 1, 0, "the file has the name of another segment", proof)]
    return []


def _rest_flaws(walker: Walker, *, after_seal: bool, edited: bool) -> list[Flaw]:
    what = "something stands behind a seal" if after_seal else (walker.wrong or "")
    if edited and walker.last is not None:
        seq = walker.last.seq
        what = (
            f"record {seq} was edited and its checksum made anew, or record {seq + 1} was edited:"
            " they do not follow each other"
        )
    flaws = [_after(Finding.TORN, walker, what)]
    proof = proof_of_durability(walker.rest, walker.expected)
    if proof is not None:
        claim = f"line {proof.seq} says that {proof.d} was durable before it"
        flaws.append(_after(Finding.PROVEN, walker, f"{what}, and it was durable once", claim))
    return flaws


def _at(finding: Finding, walker: Walker, what: str, proof: str = "") -> Flaw:
    start = walker.byte - (len(walker.last.raw) + 1 if walker.last else 0)
    return Flaw(finding, walker.count, max(start, 0), what, proof)


def _after(finding: Finding, walker: Walker, what: str, proof: str = "") -> Flaw:
    return Flaw(finding, walker.count + 1, walker.byte, what, proof)
