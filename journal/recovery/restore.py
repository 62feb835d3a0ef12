"""Carries out the verdict of `decision_table` on a directory whose lock is held.

The steps, in an order in which each may be the last one before the next crash:

1. What is cut off the tail goes to `quarantine/`, with a report, and is durable there.
2. The good part of the tail is copied to a new file, synced, and renamed over the old one. This
   happens after everything but a clean close, also when nothing is wrong: what was read may stand
   in memory alone (the writer was killed before its sync, or its sync failed and the pages count
   as clean since), and so may the file's name. The old file is never written again. The same
   happens to a file that has another name, under which somebody keeps a copy that shares it.
3. A tail that ends in a seal gets its successor.

Doing it again after any interruption gives the same files. It knows nothing of what the lines say.
"""

from pathlib import Path
from zlib import crc32

import msgspec
from msgspec import Struct

from ackbook.journal.errors import TornTail
from ackbook.journal.format.control import RecoveryReport
from ackbook.journal.format.layout import QUARANTINE, cut_name, segment_name
from ackbook.journal.format.record import Position
from ackbook.journal.limits import Limits
from ackbook.journal.next_step import repair_step
from ackbook.journal.reading.scanner import meaningful_bytes
from ackbook.journal.recovery.inspect_tail import Look
from ackbook.journal.recovery.left_overs import look_after
from ackbook.journal.recovery.survey import Survey
from ackbook.journal.storage.files import Files, install, read_whole
from ackbook.journal.writing.removal import left_over


class _CutReport(Struct, frozen=True):
    segment: str
    line: int
    byte: int
    what: str
    bytes: int


def refuse(found: Survey, limits: Limits, *, accept_cut: bool) -> None:
    """Raises when a start must not go on, with the finding that decides; nothing was changed then.

    `Corrupt`, `Lost` and `NewerFormat` by the verdict of `decision_table`; `TornTail` when more
    would be cut than two batches can be, which no crash leaves, and `accept_cut` does not agree.
    """
    decisive = found.decisive
    if decisive is None:
        return
    error = found.verdict.error
    if found.verdict.refuses and error is not None:
        raise error(decisive.damage)
    tail = found.tail
    cut = meaningful_bytes(tail.rest) if tail else 0
    if cut > 2 * limits.batch_bytes_max and not accept_cut:
        proof = f"{cut} bytes would be cut, more than two batches can be"
        following = repair_step(found.directory)
        raise TornTail(msgspec.structs.replace(decisive.damage, proof=proof, next=following))


def restore(files: Files, found: Survey) -> tuple[RecoveryReport, bytes]:
    """Make the directory one that can be appended to. Gives the report for `journal.opened` and
    the durable lines of the tail. `refuse` was asked before."""
    tail = found.tail
    assert tail is not None, "there is a segment"
    assert tail.last is not None, "its first line is good"
    path = found.directory / segment_name(tail.base)
    content = read_whole(files, path)[: tail.end]
    clean = found.closed_cleanly
    quarantined = ""
    if meaningful_bytes(tail.rest):
        quarantined = _set_aside(files, found, tail)
    over = look_after(files, found)
    if replaces_tail(files, found):
        if tail.unfinished:
            content += b"\n"
        install(files, path, content)
    return (
        RecoveryReport(
            verdict=found.verdict.value,
            clean=clean,
            head=Position(tail.last.seq, tail.last.at, tail.last.crc),
            witness=found.head.seq,
            cut_bytes=len(tail.rest),
            cut_what=found.decisive.damage.what if tail.rest and found.decisive else "",
            quarantined=quarantined,
            completed_newline=tail.unfinished,
            heads_unreadable=found.head.unreadable,
            removed=(*found.listing.temporary, *left_over(found.listing, found.reach))[:8],
            unknown=tuple(name[:80] for name in found.listing.unknown[:4]),
            renewed=over.renewed[:8],
            left_aside=over.set_aside[:8],
            snapshot=found.snapshot.name if found.snapshot else "",
            set_aside=tuple(f"{e.name}: {e.why}"[:160] for e in found.snapshots.aside[:2]),
        ),
        content,
    )


def replaces_tail(files: Files, found: Survey) -> bool:
    """Whether `restore` gives the name of the tail to a copy of it."""
    assert found.tail is not None, "there is a segment"
    path = found.directory / segment_name(found.tail.base)
    return must_copy(found) or _has_other_names(files, path)


def must_copy(found: Survey) -> bool:
    """Whether the tail is not known to be on the disk as it was read."""
    return not found.closed_cleanly


def _has_other_names(files: Files, path: Path) -> bool:
    """Whether somebody keeps this very file under another name (`cp -al`): what is appended to it
    here would be appended there."""
    status = files.status_of(path)
    return status is not None and status.links > 1


def _set_aside(files: Files, found: Survey, tail: Look) -> str:
    directory = found.directory / QUARANTINE
    files.make_dir(directory)
    name = cut_name(tail.base, tail.end, crc32(tail.rest))
    report_name = f"{name.removesuffix('.bytes')}.json"
    what = found.decisive.damage.what if found.decisive else ""
    report = _CutReport(segment_name(tail.base), tail.count + 1, tail.end, what, len(tail.rest))
    install(files, directory / name, tail.rest)
    install(files, directory / report_name, msgspec.json.encode(report))
    return f"{QUARANTINE}/{name}"
