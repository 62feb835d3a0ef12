"""Salvage gives what is good, byte for byte a part of the original, and says what is lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ackbook.journal import (
    Corrupt,
    Line,
    Locked,
    Lost,
    Reader,
    TargetTaken,
    open_log,
    read_control,
    salvage,
    verify,
)
from ackbook.journal.format.control import Repaired
from tests.journal.damaged_corpus import CORPUS, Spoil, archives, segments

WHOLE = CORPUS / "whole" / "journal"
COMPACTED = CORPUS / "compacted" / "journal"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WHOLE, tmp_path / "journal"))


def lines_of(directory: Path) -> dict[int, Line]:
    return {line.seq: line for line in Reader(directory).lines()}


def missing_from(directory: Path) -> Iterator[int]:
    """The seqs that the journal itself says are gone."""
    for line in Reader(directory).lines():
        control = read_control(line)
        if isinstance(control, Repaired):
            yield from range(line.seq, control.last + 1)


def same_record(line: Line, original: Line) -> bool:
    """Everything but the place in its file: the checksum, and what a first line or seal says."""
    if line.kind in ("journal.segment", "journal.sealed"):
        return line.kind == original.kind
    return (line.kind, line.at, line.d, line.data, line.by, line.cause) == (
        original.kind,
        original.at,
        original.d,
        original.data,
        original.by,
        original.cause,
    )


def check_salvaged(source: Path, out: Path, original: dict[int, Line]) -> None:
    """Salvage, when there is anything, and hold the outcome against the original."""
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    try:
        report = salvage(source, out)
    except (Corrupt, Lost):
        assert not out.exists()
        return
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before
    assert verify(out).ok, verify(out).damage
    saved, gone = lines_of(out), set(missing_from(out))
    lost = {seq for gap in report.lost for seq in range(gap.first, gap.last + 1)}
    assert gone <= lost, "each gap in the journal is in the report"
    made = {seq for seq in saved if seq in lost}
    end = max(lost, default=0) + 1
    if max(saved) == end and saved[end].kind == "journal.closed":
        made.add(end)  # a journal does not end in a gap
    for seq in set(saved) - made:
        assert same_record(saved[seq], original[seq])
    assert report.saved == len(saved) - len(made)
    assert set(range(min(saved), max(saved))) <= set(saved) | gone


def test_a_journal_without_damage_comes_out_byte_for_byte(journal: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = salvage(journal, out)
    assert (report.lost, report.notes) == ((), ())
    for path in segments(journal):
        assert (out / path.name).read_bytes() == path.read_bytes().rstrip(b"\n") + b"\n"


def test_a_compacted_one_keeps_its_archives_and_snapshots(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert salvage(COMPACTED, out).lost == ()
    assert lines_of(out) == lines_of(COMPACTED)
    assert [path.stem for path in archives(out)] == [path.stem for path in archives(COMPACTED)]
    for path in COMPACTED.glob("snapshot-*"):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_of_a_flipped_bit_only_its_own_line_is_lost(journal: Path, tmp_path: Path) -> None:
    original = lines_of(journal)
    for path in segments(journal):
        content = path.read_bytes().rstrip(b"\n") + b"\n"
        at = content.index(b'"data":', content.index(b"\n", content.index(b"\n") + 1)) + 9
        spoiled = bytearray(content)
        spoiled[at] ^= 1
        path.write_bytes(spoiled)
        out = tmp_path / f"out-{path.stem}"
        [lost] = salvage(journal, out).lost
        assert lost.first == lost.last == int(path.stem) + 2
        assert f"{path.name}, line 3" in lost.why
        saved = lines_of(out)
        assert set(saved) == set(original)
        assert saved[lost.first].kind == "journal.repaired"
        path.write_bytes(content)


def test_seqs_that_were_acknowledged_and_are_lost_are_never_given_again(tmp_path: Path) -> None:
    for kind in ("head_beyond", "last_missing", "half_copied", "snapshot_beyond"):
        out = tmp_path / kind
        salvage(CORPUS / kind / "journal", out)
        log = open_log(out)
        assert log.head.seq > max(lines_of(WHOLE))
        log.close()
        assert verify(out).ok


def test_what_was_never_acknowledged_is_left_out_and_said_so(tmp_path: Path) -> None:
    for kind in ("torn", "garbage", "bad_then_good"):
        report = salvage(CORPUS / kind / "journal", tmp_path / kind)
        assert report.lost == ()
        assert "never acknowledged" in report.notes[-1]
        assert lines_of(tmp_path / kind) == lines_of(WHOLE)


def test_a_foreign_segment_is_left_out_by_its_id(tmp_path: Path) -> None:
    report = salvage(CORPUS / "foreign_segment" / "journal", tmp_path / "out")
    assert "belongs to another journal" in report.notes[0]
    check_salvaged(CORPUS / "foreign_segment" / "journal", tmp_path / "again", lines_of(WHOLE))


def test_a_seq_that_stands_twice_is_saved_once(journal: Path, tmp_path: Path) -> None:
    """A second copy of a segment, under a name between two others."""
    second = segments(journal)[1]
    shutil.copy(second, second.with_name(f"{int(second.stem) + 2:020d}.jsonl"))
    report = salvage(journal, tmp_path / "out")
    assert report.lost == ()
    assert "an earlier file holds their seqs" in report.notes[0]
    assert lines_of(tmp_path / "out") == lines_of(WHOLE)


def test_a_journal_that_is_open_is_not_salvaged(journal: Path, tmp_path: Path) -> None:
    log = open_log(journal)
    try:
        with pytest.raises(Locked):
            salvage(journal, tmp_path / "out")
    finally:
        log.close()
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_where_something_is(journal: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(TargetTaken):
        salvage(journal, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_salvage_that_was_interrupted_is_done_again(journal: Path, tmp_path: Path) -> None:
    partial = tmp_path / "out.partial"
    partial.mkdir()
    (partial / "00000000000000000777.jsonl").write_bytes(b"half a segment")
    salvage(journal, tmp_path / "out")
    assert not partial.exists()
    assert verify(tmp_path / "out").ok


def spoils() -> st.SearchStrategy[Spoil]:
    """One thing that may happen to one file; the numbers choose which, where, and how much."""
    numbers = st.integers(min_value=0, max_value=1 << 20)

    def make(how: str, which: int, where: int, size: int) -> Spoil:
        def spoil(journal: Path) -> None:
            files = [
                *segments(journal),
                *(archives(journal) if (journal / "archive").exists() else []),
            ]
            if not files:
                return
            path = files[which % len(files)]
            data = path.read_bytes()
            start = where % (len(data) + 1)
            end = start + size % 700 + 1
            match how:
                case "remove":
                    path.unlink()
                    return
                case "flip":
                    flipped = bytes(byte ^ 4 for byte in data[start : start + 1])
                    data = data[:start] + flipped + data[start + 1 :]
                case "zero":
                    data = data[:start] + bytes(len(data[start:end])) + data[end:]
                case "cut":
                    data = data[:start]
                case "take out":
                    data = data[:start] + data[end:]
                case _:
                    data = data[:start] + data[start:end] + data[start:]
            path.write_bytes(data)

        return spoil

    hows = st.sampled_from(("remove", "flip", "zero", "cut", "take out", "double"))
    return st.builds(make, hows, numbers, numbers, numbers)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    pattern=st.sampled_from((WHOLE, COMPACTED)),
    damages=st.lists(spoils(), min_size=1, max_size=4),
    keeps_head=st.booleans(),
)
def test_of_any_damage_what_is_salvaged_is_good_and_part_of_the_original(
    pattern: Path, damages: list[Spoil], keeps_head: bool
) -> None:
    with TemporaryDirectory() as directory:
        journal = Path(directory) / "journal"
        shutil.copytree(pattern, journal)
        for spoil in damages:
            spoil(journal)
        if not keeps_head:
            (journal / "HEAD").unlink()
        check_salvaged(journal, Path(directory) / "out", lines_of(pattern))
