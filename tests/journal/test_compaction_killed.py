"""A compaction whose process ends in the middle: the next start finishes it, nothing is lost."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ackbook.journal import Reader, archive_segment, compact, verify
from ackbook.journal.format.layout import list_directory, segment_name
from ackbook.journal.maintenance.archive_worker import read_answer, worker_command
from ackbook.journal.storage.files import Handle, OsFiles
from ackbook.journal.writing.removal import left_over
from tests.journal.past import FOLD, add, numbers, opened, replayed, take_snapshot

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal that can be compacted and that nobody has open."""
    directory = tmp_path_factory.mktemp("history") / "journal"
    log = opened(directory)
    add(log, 14)
    sealed = log.seal()
    take_snapshot(log, sealed)
    take_snapshot(log)
    log.close()
    return directory


def compact_in_a_process(directory: Path, *call: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.support.compact_process", str(directory), *call]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)


def test_every_change_of_a_compaction_can_be_the_last_of_its_process(
    history: Path, tmp_path: Path
) -> None:
    things = numbers(Reader(history))
    whole = shutil.copytree(history, tmp_path / "whole")
    changes = int(compact_in_a_process(whole).stdout)
    assert len(list(whole.glob("archive/*"))) >= 3
    assert changes > 30, "it opens, archives, records, deletes and closes"
    unfinished = 0
    for call in range(1, changes + 1):
        directory = shutil.copytree(history, tmp_path / f"call-{call}")
        killed = compact_in_a_process(directory, str(call))
        assert killed.returncode == -signal.SIGKILL
        assert verify(directory).verdict in ("keep", "cut")
        assert numbers(Reader(directory)) == things
        unfinished += any("left over" in each for each in verify(directory).warnings)
        log = opened(directory)
        assert not left_over(list_directory(OsFiles(), directory), log.reach)
        assert replayed(log) == numbers(Reader(directory)) == things
        compact(log, fold_version=FOLD)
        log.close()
        report = verify(directory)
        assert (report.ok, report.warnings, report.first_seq) == (True, (), 1)
        assert report.archives >= 3
        shutil.rmtree(directory)
    assert unfinished > 5, "some kills left something for the start"


class _Overtaken(OsFiles):
    """While this one packs a segment, another worker archives the same one from start to end."""

    def __init__(self, directory: Path, base: int) -> None:
        self._rest = (directory, base)
        self._busy = False

    def sync(self, handle: Handle) -> None:
        if not self._busy:
            self._busy = True
            archive_segment(*self._rest, maker=2)
        super().sync(handle)


def test_a_worker_that_outlived_its_broker_and_the_next_one_both_come_to_their_end(
    history: Path, tmp_path: Path
) -> None:
    directory = shutil.copytree(history, tmp_path / "journal")
    made = archive_segment(directory, 1, maker=1, files=_Overtaken(directory, 1))
    assert [path.name for path in directory.glob("archive/*")] == [made.name]
    (directory / segment_name(1)).unlink()
    assert numbers(Reader(directory)) == numbers(Reader(history))


def test_a_worker_writes_under_a_name_that_no_other_one_has(history: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(history, tmp_path / "journal")
    made = archive_segment(shutil.copytree(history, tmp_path / "other"), 1)
    # Whoever wrote under the plain name would fail here.
    (directory / "archive" / f"{made.name}.tmp").mkdir(parents=True)
    done = subprocess.run(worker_command(directory, [1]), capture_output=True, timeout=150)
    assert read_answer(done.stdout).name == made.name, done.stderr


class _Outlived(OsFiles):
    """A worker of the broker before gives its file a name after a start has seen it unfinished."""

    def __init__(self) -> None:
        self.done = False

    def unlink(self, path: Path) -> None:
        if not self.done and path.suffix == ".tmp":
            path.rename(path.with_name(path.name.split(".7.")[0]))
            self.done = True
        super().unlink(path)


def test_a_start_beside_a_worker_of_the_broker_before_goes_on(
    history: Path, tmp_path: Path
) -> None:
    directory = shutil.copytree(history, tmp_path / "journal")
    made = archive_segment(directory, 1)
    path = directory / "archive" / made.name
    path.rename(path.with_name(f"{path.name}.7.tmp"))
    files = _Outlived()
    log = opened(directory, files=files)
    assert files.done
    assert replayed(log) == numbers(Reader(history))
    log.close()
    assert verify(directory).ok
    opened(directory).close()
    assert not path.exists(), "the next start undoes what no record removed"


def test_what_workers_left_unfinished_is_tidied_by_the_next_start(
    history: Path, tmp_path: Path
) -> None:
    directory = shutil.copytree(history, tmp_path / "journal")
    (directory / "archive").mkdir()
    left = [
        directory / "archive" / "00000000000000000001-00000000000000000007.jsonl.zst.4711.tmp",
        directory / "snapshot-00000000000000000009.jsonl.4711.tmp",
        directory / "snapshot-00000000000000000009.jsonl.tmp",
        directory / f"{segment_name(99)}.tmp",
    ]
    for path in left:
        path.write_bytes(b"half of")
    assert verify(directory).ok
    assert len(verify(directory).warnings) == len(left)
    opened(directory).close()
    assert not any(path.exists() for path in left)
    assert verify(directory).warnings == ()
