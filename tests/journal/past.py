"""A journal of several segments with a state that is easy to check: the sum of its numbers."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from ackbook.journal import (
    Draft,
    Files,
    Limits,
    Log,
    Position,
    Reader,
    SnapshotFile,
    open_log,
    write_snapshot,
)

FOLD = 7
KIND = "thing.happened"
SMALL = Limits(
    line_bytes_max=2048,
    batch_bytes_max=4096,
    segment_bytes_max=2500,
    room_bytes_min=700,
    room_bytes_max=1500,
    reserve_bytes=4400,
    control_bytes=2000,
)


class Thing(msgspec.Struct):
    n: int
    pad: str = ""


def opened(directory: Path, *, files: Files | None = None, fold: int | None = FOLD) -> Log:
    return open_log(directory, limits=SMALL, fold_version=fold, new_id="5eed", files=files)


def add(log: Log, count: int, size: int = 300) -> Position:
    """Append things numbered by their seq, one batch each."""
    for _ in range(count):
        draft = Draft(KIND, msgspec.json.encode(Thing(log.next_seq, "x" * size)))
        assert log.secure(log.measure(draft))
        log.stage([draft], log.now(), expect=log.next_seq)
        log.commit()
    return log.head


def numbers(reader: Reader, after: int = 0, through: int | None = None) -> list[int]:
    lines = reader.lines(after, through)
    return [msgspec.json.decode(each.data, type=Thing).n for each in lines if each.kind == KIND]


def state(directory: Path, through: int, *, files: Files | None = None) -> list[bytes]:
    """The fold of everything up to a seq, as lines: each number that happened."""
    return as_lines(numbers(Reader(directory, files=files), through=through))


def as_lines(values: Iterable[int]) -> list[bytes]:
    return [b'{"n":%d}' % value for value in values]


def load(snapshot: SnapshotFile) -> list[int]:
    lines = b"".join(snapshot.blocks()).splitlines()
    return [msgspec.json.decode(line, type=Thing).n for line in lines]


def take_snapshot(
    log: Log, position: Position | None = None, *, files: Files | None = None
) -> SnapshotFile:
    """Make one of the state at a position (the head), and record it."""
    position = position or log.head
    made = write_snapshot(
        log.directory,
        journal_id=log.journal_id,
        position=position,
        fold_version=FOLD,
        lines=state(log.directory, position.seq, files=files),
        files=files,
    )
    log.note_snapshot(made)
    return made


def replayed(log: Log, *, files: Files | None = None) -> list[int]:
    """The state as a start has it: the snapshot and what came after."""
    loaded, after = (load(log.snapshot), log.snapshot.seq) if log.snapshot else ([], 0)
    reader = Reader(log.directory, files=files)
    found = loaded + numbers(reader, after)
    assert not reader.damage
    assert not reader.gaps
    return found
