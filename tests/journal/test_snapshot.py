"""A snapshot is used only when it is whole, of this journal, and stands on a line that is there."""

from pathlib import Path

import pytest

from ackbook.journal import Draft, Log, OsFiles, Position, Reader, open_log
from ackbook.journal.errors import AttemptFailed, SnapshotUnusable
from ackbook.journal.format.head import SLOT_BYTES
from ackbook.journal.format.layout import snapshot_name
from ackbook.journal.format.snapshot import SnapshotFile, read_snapshot, write_snapshot
from ackbook.journal.reading.snapshot_choice import newest_snapshots
from ackbook.journal.storage.files import Handle
from tests.support.disk import SimulatedDisk

FOLD = 3
ENTITIES = [b'{"entity":%d}' % number for number in range(5)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def append(log: Log, count: int = 1) -> Position:
    for _ in range(count):
        draft = Draft("thing.happened", b'{"n":1}')
        assert log.secure(log.measure(draft))
        log.stage([draft], log.now(), expect=log.next_seq)
        log.commit()
    return log.head


def snapshot(log: Log, position: Position | None = None, fold: int = FOLD) -> SnapshotFile:
    return write_snapshot(
        log.directory,
        journal_id=log.journal_id,
        position=position or log.head,
        fold_version=fold,
        lines=ENTITIES,
    )


def test_what_was_written_is_read_back(directory: Path) -> None:
    with_log = open_log(directory)
    head = append(with_log, 3)
    made = snapshot(with_log)
    found = newest_snapshots(directory, FOLD)
    assert [each.seq for each in found.usable] == [head.seq]
    assert found.usable[0].position == head
    assert b"".join(found.usable[0].blocks()) == b"".join(line + b"\n" for line in ENTITIES)
    assert (made.count, made.sha256) == (5, found.usable[0].sha256)
    with_log.close()


def test_the_same_state_gives_the_same_bytes(directory: Path) -> None:
    log = open_log(directory)
    append(log)
    first = snapshot(log).path.read_bytes()
    assert snapshot(log).path.read_bytes() == first
    log.close()


def test_many_entities_come_in_blocks_of_whole_lines(directory: Path) -> None:
    log = open_log(directory)
    append(log)
    lines = [b'{"n":%d,"pad":"%b"}' % (n, b"x" * (n % 700)) for n in range(6000)]
    made = write_snapshot(
        directory, journal_id=log.journal_id, position=log.head, fold_version=1, lines=lines
    )
    blocks = list(made.blocks())
    assert len(blocks) > 10
    assert all(block.endswith(b"\n") for block in blocks)
    assert b"".join(blocks).splitlines() == lines
    log.close()


def test_no_snapshot_is_made_of_what_is_not_durable(directory: Path) -> None:
    log = open_log(directory)
    head = append(log)
    with pytest.raises(AttemptFailed, match="HEAD does not vouch"):
        snapshot(log, Position(head.seq + 1, head.at, head.crc))
    log.close()


def test_every_changed_byte_of_a_snapshot_is_noticed(directory: Path) -> None:
    log = open_log(directory)
    append(log)
    path = snapshot(log).path
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert newest_snapshots(directory, FOLD).usable == ()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(SnapshotUnusable):
            read_snapshot(path)
    path.write_bytes(whole + b"\n")
    with pytest.raises(SnapshotUnusable):
        read_snapshot(path)
    log.close()


def test_a_snapshot_that_changes_after_it_was_verified_is_noticed_at_its_end(
    directory: Path,
) -> None:
    log = open_log(directory)
    append(log)
    made = snapshot(log)
    made.path.write_bytes(made.path.read_bytes().replace(b'{"entity":2}', b'{"entity":7}'))
    with pytest.raises(SnapshotUnusable, match="changed"):
        list(made.blocks())
    log.close()


def test_snapshots_of_others_are_set_aside_and_the_older_one_is_used(directory: Path) -> None:
    log = open_log(directory)
    good = snapshot(log, append(log, 3))
    old_fold = snapshot(log, append(log), fold=FOLD + 1)
    line = append(log)
    other_history = snapshot(log, Position(line.seq, line.at, "00000000"))
    foreign = directory / snapshot_name(append(log).seq)
    foreign.write_bytes(good.path.read_bytes())
    future = good.path.read_bytes().replace(b'"seq":%d' % good.seq, b'"seq":900')
    (directory / snapshot_name(900)).write_bytes(future)
    found = newest_snapshots(directory, FOLD)
    assert [each.seq for each in found.usable] == [good.seq]
    why = {each.name: each.why for each in found.aside}
    assert "another history" in why[other_history.name]
    assert "version 4 of the fold" in why[old_fold.name]
    assert "another name" in why[foreign.name]
    assert "sha256" in why[snapshot_name(900)]
    assert len(list(directory.glob("snapshot-*"))) == 5, "nothing is deleted"
    assert newest_snapshots(directory, None).usable[0].seq == old_fold.seq
    log.close()


def test_a_snapshot_of_another_journal_is_set_aside(directory: Path, tmp_path: Path) -> None:
    log, other = open_log(directory), open_log(tmp_path / "other")
    append(log, 3)
    append(other, 3)
    theirs = snapshot(other)
    (directory / theirs.name).write_bytes(theirs.path.read_bytes())
    found = newest_snapshots(directory, FOLD)
    assert not found.usable
    assert "another journal" in found.aside[0].why
    log.close()
    other.close()


def test_a_failed_snapshot_leaves_nothing_but_garbage() -> None:
    at = Path("/sim/journal")
    for calls in range(1, 5):
        disk = SimulatedDisk(calls)
        log = open_log(at, files=disk)
        disk.fail_in(calls)
        with pytest.raises(AttemptFailed):
            write_snapshot(
                at,
                journal_id=log.journal_id,
                position=log.head,
                fold_version=1,
                lines=ENTITIES,
                files=disk,
            )
        append(log)
        log.close()
        assert Reader(at, files=disk).damage == ()
        open_log(at, files=disk).close()
        assert not [name for name in disk.entries(at) if name.endswith(".tmp")]


class _Interrupted(OsFiles):
    """A disk on which the next read of HEAD falls between its two slots: the first is as it was
    before, and the second is being written."""

    def __init__(self) -> None:
        self.before = b""

    def read(self, handle: Handle, offset: int, size: int) -> bytes:
        found = super().read(handle, offset, size)
        if self.before and len(found) == len(self.before) == 2 * SLOT_BYTES:
            before, self.before = self.before, b""
            return before[:SLOT_BYTES] + found[SLOT_BYTES:-40] + b"0" * 39 + b"\n"
        return found


def test_a_reader_that_was_interrupted_between_two_marks_sees_what_was_acknowledged(
    directory: Path,
) -> None:
    files = _Interrupted()
    log = open_log(directory, files=files)
    before = (directory / "HEAD").read_bytes()
    head = append(log)
    files.before = before
    made = write_snapshot(
        directory,
        journal_id=log.journal_id,
        position=head,
        fold_version=1,
        lines=[],
        files=files,
    )
    assert made.seq == head.seq
    assert files.before == b""
    log.close()
