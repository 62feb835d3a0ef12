"""Journals that earlier versions wrote, kept for ever: each later version reads and continues them.

`golden/v1/live` was copied while its writer was at work, `golden/v1/closed` after a clean close;
`golden/v1/compacted` lies mostly in archives, one of each packing, behind two snapshots.
The `.lines` beside each say what is in it. Nothing here is ever rewritten; new ones are added.
"""

import shutil
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw, Struct

from ackbook.journal import Draft, Reader, open_log, verify, write_snapshot
from ackbook.journal.format.head import read_head
from ackbook.journal.format.record import encode_line, time_part
from ackbook.journal.storage.files import OsFiles
from tests.journal.past import FOLD, as_lines, load, numbers

GOLDEN = Path(__file__).parent / "golden"
JOURNALS = sorted(path for path in GOLDEN.glob("v*/*") if path.is_dir())


class Expected(Struct):
    seq: int
    at: int
    d: int
    kind: str
    cause: tuple[int, ...]
    by: Raw
    data: Raw


def expected(golden: Path) -> list[Expected]:
    lines = golden.with_suffix(".lines").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Expected) for line in lines]


@pytest.fixture(params=JOURNALS, ids=lambda path: f"{path.parent.name}-{path.name}")
def golden(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_there_is_a_live_one_and_one_of_several_segments() -> None:
    assert {path.name for path in JOURNALS} >= {"live", "closed"}
    assert len(list((GOLDEN / "v1" / "closed").glob("*.jsonl"))) == 2


def test_a_golden_journal_is_read_byte_for_byte(golden: Path) -> None:
    lines = list(Reader(golden).lines())
    for line, wanted in zip(lines, expected(golden), strict=True):
        assert (line.seq, line.at, line.d, line.kind) == (
            wanted.seq,
            wanted.at,
            wanted.d,
            wanted.kind,
        )
        assert line.data == bytes(wanted.data)
        assert (line.by or b"null") == bytes(wanted.by)
        assert line.cause == wanted.cause
    assert verify(golden).ok
    assert read_head(OsFiles(), golden).seq == lines[-1].seq


def test_a_golden_journal_would_be_written_the_same_today(golden: Path) -> None:
    for path in sorted(golden.glob("0*.jsonl")):
        running = 0
        for raw in path.read_bytes().rstrip(b"\n").split(b"\n"):
            wanted = msgspec.json.decode(raw, type=_Parts)
            by = bytes(wanted.by) or None
            draft = Draft(wanted.kind, bytes(wanted.data), by, wanted.cause)
            times = time_part(wanted.at, wanted.d)
            line, running = encode_line(draft, wanted.seq, times, running)
            assert line == raw + b"\n"


def test_a_golden_journal_is_continued(golden: Path, tmp_path: Path) -> None:
    copy = tmp_path / "journal"
    shutil.copytree(golden, copy)
    before = [line.raw for line in Reader(copy).lines()]
    log = open_log(copy)
    assert log.epoch == 2
    assert log.recovery.clean == (golden.name != "live")
    log.close()
    assert [line.raw for line in Reader(copy).lines()][: len(before)] == before
    assert verify(copy).ok


def test_a_golden_snapshot_is_loaded_and_written_the_same_today(tmp_path: Path) -> None:
    copy = tmp_path / "journal"
    shutil.copytree(GOLDEN / "v1" / "compacted", copy)
    log = open_log(copy, fold_version=FOLD)
    assert log.snapshot is not None
    assert load(log.snapshot) == numbers(Reader(copy), through=log.snapshot.seq)
    before = log.snapshot.path.read_bytes()
    again = write_snapshot(
        copy,
        journal_id=log.journal_id,
        position=log.snapshot.position,
        fold_version=FOLD,
        lines=as_lines(load(log.snapshot)),
    )
    assert again.path.read_bytes() == before
    log.close()


class _Parts(Struct):
    seq: int
    at: int
    d: int
    kind: str
    data: Raw
    by: Raw = Raw(b"")
    cause: tuple[int, ...] = ()
