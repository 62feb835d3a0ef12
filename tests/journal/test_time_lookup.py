"""A moment of a journal: the same record that going through all of them would find."""

from __future__ import annotations

from pathlib import Path

import pytest

from ackbook.journal import Reader, position_at
from tests.journal.damaged_corpus import CORPUS, SMALL
from tests.support.past import a_busy_day


def sought(directory: Path, at: int) -> int | None:
    """What is asked for, by going through all records."""
    return max((line.seq for line in Reader(directory).lines() if line.at <= at), default=None)


def found(directory: Path, at: int) -> int | None:
    position = position_at(directory, at)
    return None if position is None else position.seq


def test_every_moment_of_a_journal_has_the_last_record_before_it(tmp_path: Path) -> None:
    a_busy_day(tmp_path, SMALL)
    times = sorted({line.at for line in Reader(tmp_path).lines()})
    assert len(list(tmp_path.glob("0*.jsonl"))) >= 3
    assert len(times) > 10
    for time in times:
        for at in (time - 1, time, time + 1):
            assert found(tmp_path, at) == sought(tmp_path, at)
    [last] = Reader(tmp_path).lines(after=Reader(tmp_path).head() - 1)
    position = position_at(tmp_path, times[-1])
    assert position is not None
    assert (position.seq, position.at, position.crc) == (last.seq, last.at, last.crc)


@pytest.mark.parametrize("name", ["compacted", "archive_missing", "flipped_in_a_sealed_segment"])
def test_archives_are_read_through_and_damage_is_passed_over(name: str) -> None:
    directory = CORPUS / name / "journal"
    for line in list(Reader(directory).lines()):
        assert found(directory, line.at) == sought(directory, line.at)


@pytest.mark.parametrize("name", ["first_line_bad", "archive_damaged", "zeros", "garbage"])
def test_what_cannot_be_read_leads_to_what_is_before_it(name: str) -> None:
    directory = CORPUS / name / "journal"
    for line in list(Reader(directory).lines()):
        assert found(directory, line.at) == sought(directory, line.at)


def test_a_directory_without_a_record_has_no_moment(tmp_path: Path) -> None:
    assert position_at(tmp_path, 10**18) is None
    assert position_at(tmp_path / "absent", 10**18) is None
