"""A line that was edited, its checksum made anew, is told from rot, and never saved as good."""

from pathlib import Path
from random import Random

import pytest

from ackbook.journal import Line, Reader, salvage, verify
from ackbook.journal.reading.forgery import contradicts
from tests.journal.past import FOLD, KIND, add, opened
from tests.support.forged import edited, edited_line

KINDS = frozenset({KIND})
EDITED = 12
"""A record in the middle of a sealed segment."""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    log = opened(tmp_path / "journal", fold=FOLD)
    add(log, 40, 40)
    log.close()
    return tmp_path / "journal"


def holding(journal: Path, seq: int) -> Path:
    return max(p for p in journal.glob("0*.jsonl") if int(p.stem) <= seq)


def another_number(line: Line) -> bytes:
    return line.raw.replace(b'"n":%d,' % line.seq, b'"n":%d,' % (line.seq + 70))


def another_kind(line: Line) -> bytes:
    return line.raw.replace(b"thing.happened", b"thing.invented")


def longer(line: Line) -> bytes:
    return line.raw.replace(b'"pad":"', b'"pad":"and more ')


EDITS = [another_number, another_kind, longer]


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("seq", [EDITED, 41])
def test_an_edited_line_is_said_to_be_one_and_is_not_saved(
    seq: int, edit: object, journal: Path, tmp_path: Path
) -> None:
    assert callable(edit)
    told = {line.seq: line.raw for line in Reader(journal).lines()}
    path = holding(journal, seq)
    path.write_bytes(edited_line(path.read_bytes(), seq, edit))
    report = verify(journal, kinds=KINDS)
    assert report.verdict == "corrupt"
    said = " ".join(each.what for each in report.damage)
    assert f"record {seq} was edited and its checksum made anew" in said
    assert "kind" not in said
    saved = salvage(journal, tmp_path / "out", kinds=KINDS)
    lines = {line.seq: line for line in Reader(tmp_path / "out").lines()}
    assert [(lost.first, lost.last) for lost in saved.lost] == [(seq, seq + 1)]
    assert "was edited" in saved.lost[0].why
    assert verify(tmp_path / "out", kinds=KINDS).ok
    for number, line in lines.items():
        if not line.kind.startswith("journal."):
            assert told[number][:-18] == line.raw[:-18]


def test_one_byte_that_rotted_in_the_next_line_leaves_its_neighbour_proven(
    journal: Path, tmp_path: Path
) -> None:
    path = holding(journal, EDITED)
    content = path.read_bytes()
    lines = content.split(b"\n")
    number = next(n for n, raw in enumerate(lines) if raw.startswith(b'{"seq":%d,' % EDITED))
    start = sum(len(raw) + 1 for raw in lines[: number + 1])
    random, before = Random(5), {line.seq: line for line in Reader(journal).lines()}
    for offset in range(len(lines[number + 1])):
        rotted = bytearray(content)
        rotted[start + offset] ^= random.randrange(1, 256)
        assert not contradicts(before[EDITED], bytes(rotted[start:])), offset
    whole = bytearray(content)
    whole[content.index(b'"pad":"', start) + 9] ^= 1
    path.write_bytes(whole)
    saved = salvage(journal, tmp_path / "out", kinds=KINDS)
    assert [(lost.first, lost.last) for lost in saved.lost] == [(EDITED + 1, EDITED + 1)]


def test_a_whole_journal_contradicts_no_line(journal: Path) -> None:
    for path in journal.glob("0*.jsonl"):
        assert (
            edited(path.read_bytes(), lambda line: line.raw)
            == path.read_bytes().rstrip(b"\n") + b"\n"
        )


@pytest.mark.parametrize("edit", EDITS)
def test_a_segment_that_was_made_anew_is_told_by_its_seal(
    edit: object, journal: Path, tmp_path: Path
) -> None:
    assert callable(edit)
    path = holding(journal, EDITED)
    path.write_bytes(edited(path.read_bytes(), lambda x: edit(x) if x.seq == EDITED else x.raw))
    report = verify(journal, kinds=KINDS)
    assert report.verdict == "corrupt"
    assert any("edited and its checksums were made anew" in each.what for each in report.damage)
    saved = salvage(journal, tmp_path / "out", kinds=KINDS)
    assert any("none of it is proven" in note for note in saved.notes)
    assert verify(tmp_path / "out", kinds=KINDS).ok
