"""Looks at one segment of a directory: what is in it, and what is wrong with it.

A sealed segment never changes, so everything about it can be checked: its first line, its seal,
its checksum (always) and its sha256 (`full`). What its lines say is for their reader to check. The
newest segment, the tail, is walked line by line to its last good line; what stands behind that is
kept as `rest`.

Findings are named as the table of `recovery` names them; nothing is decided here.
"""

import contextlib
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from journal.control import (
    CONTROL_PREFIX,
    SEGMENT,
    Compacted,
    Opened,
    Sealed,
    SegmentStarted,
    is_control,
    read_control,
)
from journal.door import knows
from journal.limits import FORMAT
from journal.record import UNREADABLE, Line, parse_line
from journal.recovery import Finding
from journal.scan import Walker, good_block, proof_of_durability


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


def look_at_sealed(
    data: bytes, base: int, kinds: frozenset[str] | None, *, full: bool = False
) -> Look:
    """A segment that is not the newest one: it must be whole and end in a seal."""
    quick = _look_quickly(data, base, kinds)
    if quick is not None and full:
        quick = _look_fully(quick, data)
    if quick is not None:
        return quick
    look = look_at_tail(data, base, kinds, {})
    # Whether the bad line was durable once is no question here: all of it was.
    beside = (Finding.SEALED, Finding.PROVEN)
    flaws = [_as_broken(flaw) for flaw in look.flaws if flaw.finding not in beside]
    digest = sha256(data)
    if not flaws and (look.unfinished or look.end != len(data)):
        flaws.append(_broken(look, "a sealed segment does not end with its seal"))
    elif not flaws and look.seal is None:
        flaws.append(_broken(look, "a segment with a later one does not end with a seal"))
    if look.seal is not None and look.last is not None and not flaws:
        flaws.extend(_check_seal(look, look.seal, data[: look.end - len(look.last.raw) - 1]))
    return msgspec.structs.replace(look, flaws=tuple(flaws), sha256=digest.hexdigest())


def look_at_tail(
    data: bytes, base: int, kinds: frozenset[str] | None, witnessed: dict[int, str]
) -> Look:
    """The newest segment, line by line. `witnessed` gives the checksums that HEAD knows."""
    walker = Walker(data, base)
    flaws: list[Flaw] = []
    started: SegmentStarted | None = None
    seal: Sealed | None = None
    seen: set[str] = set()
    epoch = started_at = compacted = forgotten = 0
    for line in walker:
        seal = None
        if line.kind not in seen:
            seen.add(line.kind)
            if not (is_control(line.kind) or knows(kinds, line.kind)):
                flaws.append(_at(Finding.NEWER, walker, f"the kind {line.kind!r} is not known"))
        if line.seq in witnessed and witnessed[line.seq] != line.crc:
            proof = f"HEAD knows it with checksum {witnessed[line.seq]}, here it is {line.crc}"
            flaws.append(_at(Finding.BROKEN, walker, "another line than the durable one", proof))
        if line.kind.startswith(CONTROL_PREFIX):
            control = read_control(line)
            match control:
                case SegmentStarted() if walker.count == 1:
                    started, started_at, epoch = control, line.at, control.epoch
                    compacted, forgotten = control.kept_from - 1, control.archived_from - 1
                case Compacted():
                    compacted = max(compacted, control.through)
                    forgotten = max(forgotten, control.forgotten)
                case Opened():
                    epoch = control.epoch
                case Sealed():
                    seal = control
                    break
                case _:
                    pass
    flaws.extend(_first_line_flaws(data, base, started, walker))
    if started is not None and walker.rest:
        flaws.extend(_rest_flaws(walker, after_seal=seal is not None))
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


def _look_quickly(data: bytes, base: int, kinds: frozenset[str] | None) -> Look | None:
    """One checksum for everything; None when anything at all asks for a closer look."""
    block = good_block(data, base, 0)
    if block is None:
        return None
    first = parse_line(data[: data.index(b"\n")])
    last = parse_line(data[data.rfind(b"\n", 0, -1) + 1 : -1])
    assert first is not None, "the block was good"
    assert last is not None, "the block was good"
    started, seal = read_control(first), read_control(last)
    if not isinstance(started, SegmentStarted) or not isinstance(seal, Sealed):
        return None
    if started.format > FORMAT or started.base != base or seal.count != last.seq - base:
        return None
    if seal.kinds is None or not all(is_control(kind) or knows(kinds, kind) for kind in seal.kinds):
        return None
    return Look(
        base=base,
        size=len(data),
        count=seal.count + 1,
        end=len(data),
        running=block.running,
        last=last,
        started=started,
        seal=seal,
        epoch=started.epoch,
        started_at=first.at,
    )


def _look_fully(quick: Look, data: bytes) -> Look | None:
    """The sha256 as well, in one pass for the seal and for the segment that follows."""
    assert quick.last is not None, "it was looked at quickly"
    assert quick.seal is not None, "it was looked at quickly"
    before = len(data) - len(quick.last.raw) - 1
    digest = sha256(memoryview(data)[:before])
    if quick.seal.bytes != before or quick.seal.sha256 != digest.hexdigest():
        return None
    digest.update(memoryview(data)[before:])
    return msgspec.structs.replace(quick, sha256=digest.hexdigest())


def _check_seal(look: Look, seal: Sealed, before: bytes) -> list[Flaw]:
    flaws = []
    if seal.count != look.count - 1 or seal.bytes != len(before):
        claim = f"it counts {seal.count} lines and {seal.bytes} bytes"
        flaws.append(_broken(look, "the seal does not fit", f"{claim}, here are {look.count - 1}"))
    digest = sha256(before).hexdigest()
    if seal.sha256 != digest:
        flaws.append(_broken(look, "the seal has another sha256", f"computed {digest}"))
    return flaws


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


def _rest_flaws(walker: Walker, *, after_seal: bool) -> list[Flaw]:
    what = "something stands behind a seal" if after_seal else (walker.wrong or "")
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


def _broken(look: Look, what: str, proof: str = "") -> Flaw:
    return Flaw(Finding.BROKEN, look.count, look.end, what, proof)


def _as_broken(flaw: Flaw) -> Flaw:
    if flaw.finding is Finding.NEWER:
        return flaw
    return msgspec.structs.replace(flaw, finding=Finding.BROKEN)
