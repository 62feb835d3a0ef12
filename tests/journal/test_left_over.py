"""A segment that a compaction left behind, beside its archive: neither hides what the other has."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ackbook.journal import (
    Reader,
    check_token,
    compact,
    head_token,
    position_at,
    salvage,
    verify,
)
from ackbook.journal.format.compression import pack, unpack
from ackbook.journal.reading.reader import Gap
from tests.journal.past import FOLD, opened
from tests.journal.test_compaction import with_history

Spoil = Callable[[Path], None]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def cut_at_a_line(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2]))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def bad_first_line(path: Path) -> None:
    path.write_bytes(b"?" + path.read_bytes()[1:])


SPOILS = [flip, cut_at_a_line, empty, bad_first_line]


def spoilt(path: Path, spoil: Spoil) -> None:
    """An archive is spoilt in what it holds, and packed again."""
    if path.suffix == ".jsonl":
        spoil(path)
        return
    inside = path.with_name("inside")
    inside.write_bytes(unpack(path.name, path.read_bytes()))
    spoil(inside)
    path.write_bytes(pack(inside.read_bytes())[1])
    inside.unlink()


class Left:
    """A journal as a compaction leaves it that was interrupted between its record and the removal:
    the segment `number` stands beside its archive."""

    def __init__(self, directory: Path, number: int) -> None:
        log = with_history(directory)
        segment = sorted(directory.glob("0*.jsonl"))[number]
        content = segment.read_bytes()
        compact(log, fold_version=FOLD)
        log.close()
        self.directory = directory
        self.told = [line.raw for line in Reader(directory).lines()]
        segment.write_bytes(content)
        self.segment = segment
        [self.archive] = (directory / "archive").glob(f"{segment.stem}-*")
        self.first = int(segment.stem)
        self.last = int(self.archive.name[21:41])


@pytest.fixture(params=[0, 2])
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Left:
    return Left(tmp_path / "journal", request.param)


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("which", ["segment", "archive"])
def test_what_one_of_the_two_has_is_read_wherever_the_reading_begins(
    which: str, spoil: Spoil, left: Left
) -> None:
    spoilt(getattr(left, which), spoil)
    reader = Reader(left.directory)
    assert [line.raw for line in reader.lines()] == left.told
    for after in range(left.first - 2, left.last + 2):
        wanted = left.told[max(after, 0) : left.last + 3]
        assert [line.raw for line in reader.lines(max(after, 0), left.last + 3)] == wanted
    assert (reader.damage, reader.gaps) == ((), ())
    middle = reader.first_seq + (left.first + left.last) // 2
    [line] = reader.lines(middle - 1, middle)
    found = position_at(left.directory, line.at)
    assert found is not None
    assert found.seq >= middle
    if which == "segment":
        token = head_token(left.directory)
        assert token is not None
        assert check_token(left.directory, token) is None


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_rotted_left_over_is_no_damage_and_goes_with_the_next_start(
    spoil: Spoil, left: Left
) -> None:
    spoilt(left.segment, spoil)
    report = verify(left.directory)
    assert report.ok
    assert any(left.segment.name in each for each in report.warnings)
    opened(left.directory).close()
    assert not left.segment.exists()
    assert [line.raw for line in Reader(left.directory).lines(0, len(left.told))] == left.told


@pytest.mark.parametrize("spoil", SPOILS)
def test_an_archive_that_rotted_beside_its_segment_is_made_anew_and_said(
    spoil: Spoil, left: Left
) -> None:
    good = left.archive.read_bytes()
    spoilt(left.archive, spoil)
    assert not verify(left.directory).ok
    log = opened(left.directory)
    assert log.recovery.renewed == (f"archive/{left.archive.name}",)
    log.close()
    assert not left.segment.exists()
    assert left.archive.read_bytes() == good
    assert verify(left.directory).ok
    assert [line.raw for line in Reader(left.directory).lines(0, len(left.told))] == left.told


def test_a_left_over_that_rotted_like_its_archive_is_kept_aside(left: Left) -> None:
    for each in (left.segment, left.archive):
        spoilt(each, flip)
    content = left.segment.read_bytes()
    log = opened(left.directory)
    assert log.recovery.left_aside == (f"quarantine/left-{left.segment.name}",)
    log.close()
    assert not left.segment.exists()
    assert (left.directory / log.recovery.left_aside[0]).read_bytes() == content


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("which", ["segment", "archive"])
def test_salvage_saves_what_either_has(
    which: str, spoil: Spoil, left: Left, tmp_path: Path
) -> None:
    spoilt(getattr(left, which), spoil)
    saved = salvage(left.directory, tmp_path / "out")
    assert saved.lost == ()
    assert [line.raw for line in Reader(tmp_path / "out").lines()][: left.first] == (
        left.told[: left.first]
    )
    assert len(list(Reader(tmp_path / "out").lines())) == len(left.told)


def test_what_neither_has_is_named_and_is_in_a_file(left: Left) -> None:
    for each in (left.segment, left.archive):
        spoilt(each, flip)
    reader = Reader(left.directory)
    seen = {line.seq for line in reader.lines()}
    [gap] = reader.gaps
    assert gap.unreadable
    assert seen.isdisjoint(range(gap.first, gap.last + 1))
    assert seen | set(range(gap.first, gap.last + 1)) == set(range(1, len(left.told) + 1))
    assert {each.file for each in reader.damage} == {
        left.segment.name,
        f"archive/{left.archive.name}",
    }


def test_a_gap_says_what_is_in_no_file_and_what_cannot_be_read(left: Left) -> None:
    left.segment.unlink()
    spoilt(left.archive, flip)
    [following] = (left.directory / "archive").glob(f"{left.last + 1:020d}-*")
    end = int(following.name[21:41])
    following.unlink()
    reader = Reader(left.directory)
    list(reader.lines())
    rotted, missing = reader.gaps
    assert (rotted.unreadable, rotted.last) == (True, left.last)
    assert missing == Gap(left.last + 1, end)
