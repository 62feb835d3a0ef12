"""History leaves the front of a journal into archives, and every question is answered as before."""

import subprocess
import threading
import zlib
from pathlib import Path

import pytest

import ackbook.journal.format.compression
from ackbook.journal import (
    Compaction,
    JournalError,
    Log,
    Lost,
    NewerFormat,
    Reader,
    Retention,
    archive_segment,
    compact,
    open_log,
    plan_compaction,
    verify,
)
from ackbook.journal.errors import AttemptFailed, Corrupt, SnapshotUnusable
from ackbook.journal.format.layout import segment_name
from ackbook.journal.maintenance.archive_worker import read_answer, worker_command
from ackbook.journal.maintenance.worker_failure import read_failure
from ackbook.journal.next_step import NextStep
from ackbook.journal.reading.reader import Gap
from ackbook.journal.storage.files import Access, Handle, OsFiles
from tests.journal.past import FOLD, add, load, numbers, opened, replayed, take_snapshot
from tests.support.disk import SimulatedDisk


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return with_history(tmp_path / "journal")


def with_history(directory: Path) -> Log:
    """Several sealed segments, and two snapshots behind the last of them."""
    log = opened(directory)
    add(log, 40)
    sealed = log.seal()
    take_snapshot(log, sealed)
    take_snapshot(log)
    return log


def segments(log: Log) -> list[str]:
    return sorted(path.name for path in log.directory.glob("[0-9]*.jsonl"))


def test_everything_is_read_through_archives_as_if_nothing_had_happened(log: Log) -> None:
    before = [line.raw for line in Reader(log.directory).lines()]
    done = compact(log, fold_version=FOLD)
    assert len(done.removed) >= 5
    assert segments(log) == [segment_name(done.through + 1)]
    reader = Reader(log.directory)
    after = [line.raw for line in reader.lines()]
    assert after[: len(before)] == before
    assert (reader.first_seq, reader.damage, reader.gaps) == (1, (), ())
    for start in range(len(before)):
        assert next(reader.lines(after=start)).raw == before[start]
    report = verify(log.directory)
    assert (report.ok, report.first_seq, report.archives) == (True, 1, len(done.removed))
    assert report.records == report.last_seq == log.head.seq
    log.close()


def test_a_journal_that_was_compacted_goes_on(log: Log) -> None:
    things = numbers(Reader(log.directory))
    for _ in range(3):
        compact(log, fold_version=FOLD)
        log.close()
        log = opened(log.directory)
        assert replayed(log) == things
        add(log, 20)
        take_snapshot(log, log.seal())
        take_snapshot(log)
        things = numbers(Reader(log.directory))
    log.close()
    assert verify(log.directory).ok
    assert numbers(Reader(log.directory)) == things


@pytest.mark.parametrize("packed_as", ["gz", "zst"])
def test_archives_are_packed_with_what_is_installed(
    log: Log, packed_as: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ackbook.journal.format.compression, "HAS_ZSTANDARD", packed_as == "zst")
    before = segments(log)
    content = (log.directory / before[0]).read_bytes()
    done = compact(log, fold_version=FOLD)
    assert all(name.endswith(packed_as) for name in done.archived)
    packed = (log.directory / "archive" / done.archived[0]).read_bytes()
    if packed_as == "gz":
        assert zlib.decompress(packed, 31) == content
        monkeypatch.undo()
    assert numbers(Reader(log.directory))[0] == 3
    assert verify(log.directory).ok
    log.close()


def test_only_what_two_snapshots_vouch_for_goes_and_the_rest_says_why(tmp_path: Path) -> None:
    log = opened(tmp_path / "journal")
    add(log, 20)
    directory = log.directory
    plan = plan_compaction(directory, fold_version=FOLD, now=log.now())
    assert not plan.goes
    assert {each.why for each in plan.pinned[:-1]} == {"fewer than 2 snapshots verify"}
    assert plan.pinned[-1].why == "it is being written"
    older = take_snapshot(log)
    add(log, 20)
    take_snapshot(log)
    plan = plan_compaction(directory, fold_version=FOLD, now=log.now())
    assert plan.snapshot is not None
    assert plan.snapshot.seq == older.seq
    assert 0 < plan.through <= older.seq
    assert any(f"stands at {older.seq}" in each.why for each in plan.pinned)
    floor = plan.goes[0].last
    lower = plan_compaction(directory, fold_version=FOLD, floor=floor, now=log.now())
    assert [piece.last for piece in lower.goes] == [floor]
    assert any(f"keep everything after {floor}" in each.why for each in lower.pinned)
    other_fold = plan_compaction(directory, fold_version=FOLD + 1, now=log.now())
    assert not other_fold.goes
    log.close()


def test_a_dry_run_changes_nothing_and_foretells_what_goes(log: Log) -> None:
    before = segments(log)
    told = compact(log, fold_version=FOLD, dry_run=True)
    assert segments(log) == before
    assert not (log.directory / "archive").exists()
    assert told.removed == compact(log, fold_version=FOLD).removed
    log.close()


def test_progress_is_told_for_each_segment(log: Log) -> None:
    told: list[tuple[int, int]] = []
    done = compact(log, fold_version=FOLD, progress=lambda p: told.append((p.done, p.total)))
    total = len(done.removed)
    assert told == [(each, total) for each in range(1, total + 1)]
    log.close()


def test_a_damaged_segment_is_not_archived_and_stays(log: Log) -> None:
    path = log.directory / segments(log)[2]
    content = bytearray(path.read_bytes())
    content[900] ^= 1
    path.write_bytes(content)
    with pytest.raises(AttemptFailed, match="damaged"):
        compact(log, fold_version=FOLD)
    assert path.exists()
    assert not log.poisoned
    add(log, 1)
    log.close()
    assert verify(log.directory).verdict == "corrupt"


def test_what_the_retention_forgets_is_said_to_be_gone(log: Log) -> None:
    things = numbers(Reader(log.directory))
    done = compact(log, fold_version=FOLD, keep_audit=Retention(bytes_max=600))
    assert done.forgotten
    reader = Reader(log.directory)
    oldest = reader.first_seq
    assert 1 < oldest <= done.through
    assert numbers(reader) == [n for n in things if n >= oldest]
    assert reader.gaps == (Gap(1, oldest - 1),)
    assert verify(log.directory).ok
    log.close()
    log = opened(log.directory)
    assert replayed(log) == things
    log.close()


def test_a_retention_of_nothing_makes_no_archive(log: Log) -> None:
    things = numbers(Reader(log.directory))
    compact(log, fold_version=FOLD)
    add(log, 20)
    take_snapshot(log, log.seal())
    take_snapshot(log)
    compact(log, fold_version=FOLD, keep_audit=Retention(bytes_max=0))
    assert not list((log.directory / "archive").iterdir())
    assert Reader(log.directory).first_seq == log.reach.kept_from
    log.close()
    assert verify(log.directory).ok
    log = opened(log.directory)
    assert replayed(log)[: len(things)] == things
    log.close()


def test_old_archives_are_forgotten_by_age(log: Log) -> None:
    compact(log, fold_version=FOLD)
    plan = plan_compaction(
        log.directory,
        fold_version=FOLD,
        keep_audit=Retention(age_s_max=3600),
        now=log.now() + 2 * 3600 * 1_000_000,
    )
    assert len(plan.forgets) == len(list((log.directory / "archive").iterdir()))
    young = plan_compaction(
        log.directory, fold_version=FOLD, keep_audit=Retention(age_s_max=3600), now=log.now()
    )
    assert not young.forgets
    log.close()


def test_history_that_is_gone_without_a_record_is_damage(log: Log) -> None:
    log.close()
    (log.directory / segments(log)[0]).unlink()
    assert verify(log.directory).verdict == "corrupt"
    with pytest.raises(Corrupt, match="no record says"):
        opened(log.directory)


def test_an_archive_that_is_gone_without_a_record_is_missed(log: Log) -> None:
    things = numbers(Reader(log.directory))
    done = compact(log, fold_version=FOLD)
    (log.directory / "archive" / done.archived[1]).unlink()
    report = verify(log.directory)
    assert report.verdict == "lost"
    assert "were archived and are not there" in report.damage[0].what
    reader = Reader(log.directory)
    assert len(numbers(reader)) < len(things)
    assert len(reader.gaps) == 1
    assert reader.first_seq == reader.gaps[0].last + 1
    log.close()
    log = opened(log.directory)
    assert replayed(log) == things, "a start needs no archive"
    log.close()


def test_an_archive_that_rotted_is_damage_and_the_rest_is_read(log: Log) -> None:
    done = compact(log, fold_version=FOLD)
    path = log.directory / "archive" / done.archived[1]
    packed = bytearray(path.read_bytes())
    packed[len(packed) // 2] ^= 4
    path.write_bytes(packed)
    report = verify(log.directory)
    assert report.verdict == "corrupt"
    assert report.damage[0].file == f"archive/{path.name}"
    reader = Reader(log.directory)
    assert len(numbers(reader)) > 10
    assert [damage.file for damage in reader.damage] == [f"archive/{path.name}"]
    log.close()


def test_a_start_without_snapshot_and_archive_says_what_is_missing(log: Log) -> None:
    compact(log, fold_version=FOLD, keep_audit=Retention(bytes_max=0))
    log.close()
    for path in log.directory.glob("snapshot-*"):
        path.unlink()
    with pytest.raises(Lost, match="no snapshot"):
        opened(log.directory)
    opened(log.directory, fold=None).close()


def test_without_snapshots_a_start_folds_the_archives(log: Log) -> None:
    things = numbers(Reader(log.directory))
    compact(log, fold_version=FOLD)
    log.close()
    for path in log.directory.glob("snapshot-*"):
        path.unlink()
    log = opened(log.directory)
    assert log.snapshot is None
    assert replayed(log) == things
    log.close()


def test_the_worker_archives_beside_the_writer(log: Log) -> None:
    plan = plan_compaction(log.directory, fold_version=FOLD, now=log.now())
    run = Compaction(log, plan)
    while due := run.due:
        command = worker_command(log.directory, [piece.first for piece in due])
        worker = subprocess.Popen(command, stdout=subprocess.PIPE)
        add(log, 3)
        answers, _ = worker.communicate(timeout=150)
        assert worker.returncode == 0
        run.step([read_answer(line) for line in answers.splitlines()])
    run.forget()
    assert run.report().through == plan.through
    assert verify(log.directory).ok
    log.close()


def test_a_worker_that_fails_says_why(log: Log) -> None:
    command = worker_command(log.directory, [4711])
    done = subprocess.run(command, capture_output=True, timeout=150, check=False)
    assert done.returncode == 1
    failure = read_failure(done.stderr)
    assert failure is not None
    assert "was not archived" in failure.what
    assert failure.next == NextStep("try again later")
    log.close()


def test_a_reader_goes_on_while_its_segment_becomes_an_archive(log: Log) -> None:
    things = numbers(Reader(log.directory))
    reader = Reader(log.directory)
    lines = reader.lines()
    first = next(lines)
    compact(log, fold_version=FOLD)
    seqs = [first.seq, *(line.seq for line in lines)]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) >= len(things)
    assert not reader.gaps
    log.close()


def test_an_archive_of_what_no_record_removed_is_undone_by_the_next_start(log: Log) -> None:
    first = int(segments(log)[0].removesuffix(".jsonl"))
    made = archive_segment(log.directory, first)
    log.close()
    assert verify(log.directory).ok
    assert any(made.name in each for each in verify(log.directory).warnings)
    opened(log.directory).close()
    assert not (log.directory / "archive" / made.name).exists()
    assert verify(log.directory).warnings == ()


def test_a_crash_between_the_record_and_the_deletes_is_finished_by_the_next_start(
    log: Log, tmp_path: Path
) -> None:
    kept = {path.name: path.read_bytes() for path in log.directory.glob("0*.jsonl")}
    done = compact(log, fold_version=FOLD)
    log.close()
    for name in (done.removed[0], done.removed[2]):
        (log.directory / name).write_bytes(kept[name])
    assert verify(log.directory).ok
    log = opened(log.directory)
    assert segments(log)[0] == segment_name(done.through + 1)
    assert done.removed[0] in log.recovery.removed
    log.close()


def test_older_snapshots_go_when_two_newer_ones_are_recorded(log: Log) -> None:
    for _ in range(3):
        add(log, 2)
        take_snapshot(log)
    assert len(list(log.directory.glob("snapshot-*"))) == 2
    log.close()
    log = opened(log.directory)
    assert log.snapshot is not None
    assert load(log.snapshot) == numbers(Reader(log.directory))
    log.close()


def test_a_start_reads_only_the_ends_of_what_its_snapshot_vouches_for(log: Log) -> None:
    things = numbers(Reader(log.directory))
    log.close()
    path = log.directory / segments(log)[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    log = opened(log.directory)
    assert replayed(log) == things
    log.close()
    assert verify(log.directory).verdict == "corrupt"
    first_line, last_line = content.index(b"previous_sha256"), content.rindex(b"sha256")
    spoilt = [bytearray(content), bytearray(content)]
    spoilt[0][first_line + 30] ^= 1
    spoilt[1][last_line + 30] ^= 1
    wrong_size = (content[:-1], content[:400] + content[401:], b"", bytes(len(content)))
    for damage in (*wrong_size, *spoilt):
        path.write_bytes(damage)
        with pytest.raises(Corrupt):
            opened(log.directory)
    with pytest.raises(JournalError):
        opened(log.directory, fold=FOLD + 1)


def test_a_snapshot_beyond_the_last_line_is_a_loss(log: Log) -> None:
    log.close()
    saved = {path: path.read_bytes() for path in log.directory.iterdir() if path.is_file()}
    log = opened(log.directory)
    add(log, 3)
    made = take_snapshot(log)
    log.close()
    for path in log.directory.glob("0*.jsonl"):
        path.unlink()
    for path, content in saved.items():
        path.write_bytes(content)
    assert made.path.exists()
    with pytest.raises(Lost, match=r"vouches for"):
        opened(log.directory)
    assert verify(log.directory).verdict == "lost"


def test_what_comes_after_a_position_is_read_without_what_came_before(log: Log) -> None:
    log.close()
    for name in segments(log)[:-1]:
        (log.directory / name).write_bytes(b"nobody reads this")
    last = int(segments(log)[-1].removesuffix(".jsonl"))
    reader = Reader(log.directory)
    assert [line.seq for line in reader.lines(after=last - 1)] == [
        last,
        last + 1,
        last + 2,
        last + 3,
    ]
    assert not reader.damage


def test_verify_beside_a_compaction_sees_no_damage(log: Log) -> None:
    verdicts: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            verdicts.append(verify(log.directory).verdict)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(5):
            add(log, 20)
            take_snapshot(log, log.seal())
            take_snapshot(log)
            compact(log, fold_version=FOLD, keep_audit=Retention(bytes_max=3000))
    finally:
        done.set()
        looker.join(60)
    assert set(verdicts) == {"keep"}
    log.close()


def test_a_kind_that_is_not_known_is_refused_also_before_the_snapshot(log: Log) -> None:
    log.close()
    with pytest.raises(NewerFormat):
        open_log(log.directory, kinds=frozenset({"other.thing"}), fold_version=FOLD)
    open_log(log.directory, kinds=frozenset({"thing.happened"}), fold_version=FOLD).close()


def test_a_full_disk_ends_the_compaction_and_nothing_else() -> None:
    directory = Path("/sim/journal")
    disk = SimulatedDisk(1)
    log = opened(directory, files=disk)
    add(log, 20)
    take_snapshot(log, log.seal(), files=disk)
    take_snapshot(log, files=disk)
    disk.capacity = disk.used() + 10
    with pytest.raises(AttemptFailed):
        compact(log, fold_version=FOLD, files=disk)
    assert not log.poisoned
    compact(log, fold_version=FOLD, keep_audit=Retention(bytes_max=0), files=disk)
    log.close()
    assert verify(directory, files=disk).ok


class _LyingDisk(SimulatedDisk):
    """Whatever gets its name in the archive reads back as something else."""

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        if target.parent.name == "archive":
            self.overwrite(target, ackbook.journal.format.compression.pack(b"something else")[1])


def test_an_archive_that_reads_back_as_something_else_removes_nothing() -> None:
    directory = Path("/sim/journal")
    disk = _LyingDisk(1)
    log = opened(directory, files=disk)
    add(log, 20)
    take_snapshot(log, log.seal(), files=disk)
    take_snapshot(log, files=disk)
    before = [name for name in disk.entries(directory) if name.startswith("0")]
    with pytest.raises(AttemptFailed, match="does not read back"):
        compact(log, fold_version=FOLD, files=disk)
    assert [name for name in disk.entries(directory) if name.startswith("0")] == before
    log.close()


def test_a_snapshot_of_another_journal_is_not_recorded(log: Log, tmp_path: Path) -> None:
    other = open_log(tmp_path / "other", fold_version=FOLD)
    add(other, 3)
    theirs = take_snapshot(other)
    before = log.head
    with pytest.raises(SnapshotUnusable):
        log.note_snapshot(theirs)
    assert log.head == before
    other.close()
    log.close()


class _BusyFiles(OsFiles):
    """Between the moment a reader learns a name and the one it opens it, a compaction comes by."""

    def __init__(self, log: Log) -> None:
        self._log: Log | None = log

    def open(self, path: Path, access: Access) -> Handle:
        if self._log is not None and path.name.startswith("0"):
            log, self._log = self._log, None
            compact(log, fold_version=FOLD)
        return super().open(path, access)


def test_a_segment_that_goes_before_it_is_opened_is_read_from_its_archive(log: Log) -> None:
    head = log.head.seq
    reader = Reader(log.directory, files=_BusyFiles(log))
    assert [line.seq for line in reader.lines(through=head)] == list(range(1, head + 1))
    assert not reader.gaps
    log.close()


def test_a_truncated_archive_is_damage(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ackbook.journal.format.compression, "HAS_ZSTANDARD", False)
    done = compact(log, fold_version=FOLD)
    path = log.directory / "archive" / done.archived[0]
    path.write_bytes(path.read_bytes()[:-4])
    damage = verify(log.directory).damage
    assert [each.what for each in damage] == ["it does not end where it should"]
    log.close()
