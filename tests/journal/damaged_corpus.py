"""Makes the damaged journals that are kept in `golden/damaged/`, one directory a kind of damage.

`python -m tests.journal.damaged_corpus` makes those that are not there yet. What is there is never
made again: a later version has to judge the very bytes that an earlier one judged. Each kind is a
function that spoils a copy of `whole`, a journal of several segments whose writer was killed.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from ackbook.journal import (
    Draft,
    Limits,
    Log,
    Position,
    Reader,
    compact,
    head_token,
    open_log,
    read_snapshot,
    write_snapshot,
)
from ackbook.journal.format.control import Sealed, SegmentStarted, control_draft
from ackbook.journal.format.head import SLOT_BYTES, Mark, encode_mark, read_head
from ackbook.journal.format.layout import segment_name
from ackbook.journal.format.record import Line, encode_line, running_after, time_part
from ackbook.journal.storage.files import OsFiles
from ackbook.projections.codec import decode_block
from ackbook.projections.world.fold import World, fold
from ackbook.projections.world.serialization import FOLD_VERSION, dump
from tests.support.past import a_busy_day

CORPUS = Path(__file__).parent / "golden" / "damaged"
SMALL = Limits(segment_bytes_max=2048, room_bytes_min=64 * 1024, reserve_bytes=48 * 1024)
ROOM_KEPT = 64
"""Of the newlines written ahead; the corpus shall stay small."""

ANOTHER_FOLD = 0
"""A version of the fold that never was and never will be."""

Spoil = Callable[[Path], None]
KINDS: dict[str, Spoil] = {}


def kind(spoil: Spoil) -> Spoil:
    """Register a way to spoil a copy of the whole journal."""
    KINDS[spoil.__name__] = spoil
    return spoil


def segments(journal: Path) -> list[Path]:
    return sorted(journal.glob("0*.jsonl"))


def lines_of(journal: Path) -> list[Line]:
    return list(Reader(journal).lines())


def make_whole(journal: Path) -> None:
    """A busy day, a second start, two batches, and then the writer is gone."""
    a_busy_day(journal, SMALL)
    log = open_log(journal, limits=SMALL)
    for batch in (2, 3):
        drafts = [Draft("x.note", b'{"text":"note %d of %d"}' % (n, batch)) for n in range(batch)]
        assert log.secure(sum(map(log.measure, drafts)))
        log.stage(drafts, log.now(), expect=log.next_seq)
        log.commit()
    log.sync_head()
    _as_if_killed(log, journal)


def append(journal: Path, data: bytes) -> None:
    """Behind the last line of the tail, as a crash leaves it."""
    tail = segments(journal)[-1]
    tail.write_bytes(tail.read_bytes().rstrip(b"\n") + b"\n" + data)


def more_lines(journal: Path, *drafts: Draft) -> list[bytes]:
    """Lines that would be the next batch."""
    last = lines_of(journal)[-1]
    running, made = running_after(last.crc), []
    for seq, draft in enumerate(drafts, start=last.seq + 1):
        line, running = encode_line(draft, seq, time_part(last.at + 5, last.seq), running)
        made.append(line)
    return made


def flip(path: Path, line: int) -> None:
    """One bit, inside the data of a line."""
    content = bytearray(path.read_bytes())
    start = sum(len(raw) + 1 for raw in content.split(b"\n")[: line - 1])
    content[content.index(b'"data":{', start) + 10] ^= 1
    path.write_bytes(content)


def write_head(journal: Path, journal_id: str, seq: int, crc: str) -> None:
    mark = encode_mark(Mark(journal_id, seq, crc, closed=False))
    (journal / "HEAD").write_bytes(mark + b" " * (SLOT_BYTES - 1) + b"\n")


def take_snapshot(journal: Path, fold_version: int = FOLD_VERSION) -> Path:
    """Of the last record."""
    world = World()
    reader = Reader(journal)
    for block in reader.blocks():
        for entry in decode_block(block):
            fold(world, entry)
    last = lines_of(journal)[-1]
    assert reader.journal_id is not None
    return write_snapshot(
        journal,
        journal_id=reader.journal_id,
        position=Position(last.seq, last.at, last.crc),
        fold_version=fold_version,
        lines=dump(world),
    ).path


@kind
def whole(journal: Path) -> None:
    """Nothing is wrong."""


@kind
def torn(journal: Path) -> None:
    append(journal, more_lines(journal, Draft("x.note", b'{"text":"never finished"}'))[0][:50])


@kind
def zeros(journal: Path) -> None:
    append(journal, bytes(300))


@kind
def garbage(journal: Path) -> None:
    append(journal, bytes(byte ^ 0xA5 for byte in range(200)))


@kind
def bad_then_good(journal: Path) -> None:
    """Of one batch the first line was torn, the others came through."""
    note = Draft("x.note", b'{"text":"of one batch"}')
    first, *others = more_lines(journal, note, note, note)
    append(journal, b"\0" * len(first) + b"".join(others))


@kind
def flipped_in_the_tail(journal: Path) -> None:
    """Later lines say that it was durable."""
    flip(segments(journal)[-1], 3)


@kind
def flipped_in_a_sealed_segment(journal: Path) -> None:
    flip(segments(journal)[0], 5)


@kind
def hole_in_a_sealed_segment(journal: Path) -> None:
    path = segments(journal)[1]
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes(300) + content[middle + 300 :])


@kind
def line_removed(journal: Path) -> None:
    path = segments(journal)[1]
    content = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(content[:2] + content[3:]))


@kind
def blank_line(journal: Path) -> None:
    path = segments(journal)[-1]
    content = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*content[:2], b"", *content[2:]]))


@kind
def sealed_segment_cut_short(journal: Path) -> None:
    path = segments(journal)[0]
    path.write_bytes(path.read_bytes()[:-200])


@kind
def first_line_bad(journal: Path) -> None:
    path = segments(journal)[-1]
    content = path.read_bytes()
    path.write_bytes(bytes(40) + content[40:])


@kind
def empty_tail(journal: Path) -> None:
    segments(journal)[-1].write_bytes(b"")


@kind
def first_missing(journal: Path) -> None:
    segments(journal)[0].unlink()


@kind
def middle_missing(journal: Path) -> None:
    segments(journal)[1].unlink()


@kind
def last_missing(journal: Path) -> None:
    segments(journal)[-1].unlink()


@kind
def only_head(journal: Path) -> None:
    for path in segments(journal):
        path.unlink()


@kind
def foreign_segment(journal: Path) -> None:
    """The same file of another journal."""
    with tempfile.TemporaryDirectory() as directory:
        other = Path(directory) / "journal"
        make_whole(other)
        path = segments(journal)[1]
        shutil.copy(other / path.name, path)


@kind
def foreign_head(journal: Path) -> None:
    write_head(journal, "0123456789abcdef", 3, "00000000")


@kind
def head_unreadable(journal: Path) -> None:
    (journal / "HEAD").write_bytes(b"\xff" * 2 * SLOT_BYTES)


@kind
def head_missing(journal: Path) -> None:
    (journal / "HEAD").unlink()


@kind
def head_missing_and_the_end(journal: Path) -> None:
    """What only HEAD vouched for is gone, and so is HEAD."""
    (journal / "HEAD").unlink()
    tail = segments(journal)[-1]
    tail.write_bytes(b"".join(tail.read_bytes().splitlines(keepends=True)[:2]))


@kind
def head_cut_short(journal: Path) -> None:
    (journal / "HEAD").write_bytes(b"")


@kind
def head_beyond(journal: Path) -> None:
    """The last acknowledged batch is not there."""
    path = segments(journal)[-1]
    path.write_bytes(b"\n".join(path.read_bytes().rstrip(b"\n").split(b"\n")[:-3]) + b"\n")


@kind
def older_tail_restored(journal: Path) -> None:
    """One file of an older backup over a newer journal."""
    path = segments(journal)[-1]
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:2]) + b"\n")


@kind
def older_backup_restored(journal: Path) -> None:
    """A whole older copy: nothing in it is wrong, and only a token can tell."""
    (journal.parent / "TOKEN").write_text(f"{head_token(journal)}\n")
    path = segments(journal)[-1]
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:3]) + b"\n")
    last = lines_of(journal)[-1]
    write_head(journal, read_head(OsFiles(), journal).marks[0].journal, last.seq, last.crc)


@kind
def half_copied(journal: Path) -> None:
    """The copying ended in the middle of the second file."""
    files = segments(journal)
    for path in files[2:]:
        path.unlink()
    files[1].write_bytes(files[1].read_bytes()[:700])


@kind
def two_tails(journal: Path) -> None:
    """A second unsealed segment behind the first one."""
    last = lines_of(journal)[-1]
    journal_id = Reader(journal).journal_id
    assert journal_id is not None
    started = control_draft(SegmentStarted(journal_id, 1, last.seq + 1, 2, last.crc, "0" * 64))
    line, _ = encode_line(started, last.seq + 1, time_part(last.at, last.seq), 0)
    (journal / segment_name(last.seq + 1)).write_bytes(line)


@kind
def renamed_segment(journal: Path) -> None:
    path = segments(journal)[1]
    path.rename(path.with_name(segment_name(int(path.stem) + 1)))


@kind
def newer_format(journal: Path) -> None:
    path = segments(journal)[-1]
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":2', 1))


@kind
def unknown_kind(journal: Path) -> None:
    append(journal, more_lines(journal, Draft("agent.dreamt", b"{}"))[0])


@kind
def unknown_shape(journal: Path) -> None:
    """A kind that is known, with data that no version so far wrote."""
    append(journal, more_lines(journal, Draft("broker.stopped", b'{"reason":7}'))[0])


@kind
def sealed_tail(journal: Path) -> None:
    """A crash between a seal and the next segment."""
    append(journal, _seal(journal))


@kind
def behind_a_seal(journal: Path) -> None:
    append(journal, _seal(journal) + b"what is this?")


@kind
def no_newline(journal: Path) -> None:
    path = segments(journal)[-1]
    path.write_bytes(path.read_bytes().rstrip(b"\n"))


@kind
def left_over(journal: Path) -> None:
    """A crash while the next segment was being made."""
    (journal / f"{segment_name(999)}.tmp").write_bytes(b"\n" * 100)


@kind
def snapshot_cut_short(journal: Path) -> None:
    path = take_snapshot(journal)
    path.write_bytes(path.read_bytes()[:-100])


@kind
def snapshot_beyond(journal: Path) -> None:
    """HEAD is gone, and so is the end; the snapshot remembers it."""
    take_snapshot(journal)
    (journal / "HEAD").unlink()
    head_beyond(journal)


@kind
def compacted(journal: Path, fold_version: int = FOLD_VERSION) -> None:
    """Nothing is wrong: two snapshots, and the segments before them in archives."""
    log = open_log(journal, limits=SMALL)
    for number in range(2):
        drafts = [Draft("x.note", b'{"text":"before snapshot %d"}' % number)]
        assert log.secure(sum(map(log.measure, drafts)))
        log.stage(drafts, log.now(), expect=log.next_seq)
        log.commit()
        log.sync_head()
        log.note_snapshot(read_snapshot(take_snapshot(journal, fold_version)))
    # Every machine can unpack gzip, whatever is installed there.
    with patch("ackbook.journal.format.compression.HAS_ZSTANDARD", False):
        compact(log, fold_version=fold_version)
    log.sync_head()
    _as_if_killed(log, journal)


@kind
def archive_missing(journal: Path) -> None:
    compacted(journal)
    archives(journal)[1].unlink()


@kind
def archive_damaged(journal: Path) -> None:
    compacted(journal)
    path = archives(journal)[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


@kind
def archives_and_snapshots_missing(journal: Path) -> None:
    """There is no state to start from."""
    compacted(journal)
    shutil.rmtree(journal / "archive")
    for path in journal.glob("snapshot-*"):
        path.unlink()


@kind
def compacted_by_another_version(journal: Path) -> None:
    """Its snapshots are sound, and no version that folds otherwise can load them."""
    compacted(journal, ANOTHER_FOLD)


@kind
def state_of_another_version(journal: Path) -> None:
    """The same, without the archives from which the state could be folded anew."""
    compacted(journal, ANOTHER_FOLD)
    shutil.rmtree(journal / "archive")


@kind
def archive_damaged_before_another_version(journal: Path) -> None:
    """A byte in the middle of what has to be folded, since no snapshot here can be loaded."""
    compacted(journal, ANOTHER_FOLD)
    path = archives(journal)[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


@kind
def archive_missing_before_another_version(journal: Path) -> None:
    compacted(journal, ANOTHER_FOLD)
    archives(journal)[1].unlink()


def archives(journal: Path) -> list[Path]:
    return sorted((journal / "archive").iterdir())


def _as_if_killed(log: Log, journal: Path) -> None:
    """End the writer without a clean close."""
    left = journal.with_name("left")
    shutil.copytree(journal, left)
    log.close()
    shutil.rmtree(journal)
    left.rename(journal)
    tail = segments(journal)[-1]
    tail.write_bytes(tail.read_bytes().rstrip(b"\n") + b"\n" * ROOM_KEPT)


def _seal(journal: Path) -> bytes:
    from hashlib import sha256

    tail = segments(journal)[-1]
    content = tail.read_bytes().rstrip(b"\n") + b"\n"
    digest = sha256(content).hexdigest()
    seal = Sealed(content.count(b"\n"), len(content), digest)
    return more_lines(journal, control_draft(seal))[0]


def main() -> int:
    pattern = CORPUS / "whole" / "journal"
    for name, spoil in KINDS.items():
        journal = CORPUS / name / "journal"
        if journal.exists():
            continue
        journal.parent.mkdir(parents=True, exist_ok=True)
        if name == "whole":
            make_whole(journal)
        else:
            shutil.copytree(pattern, journal)
            spoil(journal)
        print(f"made {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
