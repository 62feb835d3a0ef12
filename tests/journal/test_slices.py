"""A slice of a journal: checked line by line away from it, and opened like any journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from ackbook.journal import Corrupt, Reader, newest_snapshots, verify
from ackbook.journal.repair.slices import (
    Slice,
    change_slice,
    check_slice,
    rebuild_slice,
    slice_start,
)
from tests.support.past import a_busy_day


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("journal") / "journal"
    a_busy_day(directory)
    assert len(list(directory.glob("0*.jsonl"))) > 1, "a slice has to go over a seal"
    return directory


def part_of(journal: Path, first: int, last: int) -> tuple[Slice, list[bytes]]:
    reader = Reader(journal)
    before = [line.crc for line in reader.lines(first - 2, first - 1)] if first > 1 else []
    raws = [line.raw for line in reader.lines(first - 1, last)]
    return Slice(reader.journal_id or "", first, last, before[0] if before else "0" * 8), raws


def ranges(journal: Path) -> list[tuple[int, int]]:
    head = Reader(journal).head()
    starts = sorted({slice_start(line) for line in Reader(journal).lines()})
    return [(first, last) for first in starts for last in range(first, head + 1)]


def test_every_slice_is_checked_as_if_the_rest_were_there(journal: Path) -> None:
    for first, last in ranges(journal):
        part, raws = part_of(journal, first, last)
        assert [line.raw for line in check_slice(part, raws, "s")] == raws


def test_a_slice_with_any_line_changed_missing_or_moved_is_refused(journal: Path) -> None:
    part, raws = part_of(journal, 6, 24)
    for number, raw in enumerate(raws):
        for at in range(0, len(raw), 7):
            bad = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
            with pytest.raises(Corrupt):
                list(check_slice(part, [*raws[:number], bad, *raws[number + 1 :]], "s"))
        with pytest.raises(Corrupt):
            list(check_slice(part, [*raws[:number], *raws[number + 1 :]], "s"))
    with pytest.raises(Corrupt):
        list(check_slice(part, [*raws, raws[-1]], "s"))
    foreign = Slice(part.journal, part.first, part.last, "00000001")
    with pytest.raises(Corrupt):
        list(check_slice(foreign, raws, "s"))


def test_every_slice_opens_like_a_journal(journal: Path, tmp_path: Path) -> None:
    for number, (first, last) in enumerate(ranges(journal)[::5]):
        part, raws = part_of(journal, first, last)
        target = tmp_path / str(number)
        state = [b'{"entity":"any"}']
        lines = check_slice(part, raws, "s")
        rebuild_slice(part, lines, target, state=state, fold_version=7)
        found = verify(target)
        assert (found.verdict, found.last_seq) == ("keep", last), (first, last, found)
        given = list(Reader(target).lines(first - 1))
        assert [(line.seq, line.at, line.kind) for line in given] == [
            (line.seq, line.at, line.kind) for line in Reader(journal).lines(first - 1, last)
        ]
        usable = newest_snapshots(target, 7).usable
        assert [each.seq for each in usable] == ([first - 1] if first > 1 else [])


def test_changed_lines_have_sums_of_their_own(journal: Path) -> None:
    part, raws = part_of(journal, 6, 24)
    lines = list(check_slice(part, raws, "s"))
    same = list(change_slice(part, ((line, line.data, line.by) for line in lines)))
    assert same == raws
    other = list(change_slice(part, ((line, b'{"n":1}', line.by) for line in lines)))
    assert [line.data for line in check_slice(part, other, "s")] == [b'{"n":1}'] * len(lines)
