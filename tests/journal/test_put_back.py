"""A journal that was put back from a copy is known by its own files, and begins another history.

What people do to a directory is done with the programs that they do it with; what a crash leaves of
it is tried at every call, on the simulated disk.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ackbook.journal import (
    Draft,
    Limits,
    Log,
    Lost,
    Opened,
    Reader,
    backup,
    list_directory,
    open_log,
    read_control,
    read_snapshot,
    repair,
    salvage,
    verify,
    write_snapshot,
)
from ackbook.journal.format.copy_mark import CopyMark, read_mark, write_mark
from ackbook.journal.format.layout import COPY, LOCK, segment_name
from ackbook.journal.format.lock_signature import read_signature
from ackbook.journal.maintenance.compaction import compact
from ackbook.journal.storage.files import Files, Handle, OsFiles
from tests.support.disk import Crash, CrashKind, SimulatedDisk

SMALL = Limits(
    segment_bytes_max=1_500,
    room_bytes_min=700,
    room_bytes_max=1_500,
    reserve_bytes=1_400,
    control_bytes=700,
    line_bytes_max=400,
    batch_bytes_max=1_000,
)
FOLD = 1


def put(log: Log, count: int = 1) -> None:
    for _ in range(count):
        draft = Draft("x.note", b'{"text":"%b"}' % (b"x" * 200))
        while not log.secure(log.measure(draft)):
            log.commit()
        log.stage([draft], log.now(), expect=log.next_seq)
        log.commit()


def opened(directory: Path, files: Files | None = None, count: int = 0) -> Log:
    """Open it, write so many records, close it."""
    log = open_log(directory, files=files, limits=SMALL, new_id="5eed", fold_version=FOLD)
    put(log, count)
    log.close()
    return log


def begun(directory: Path, files: Files | None = None) -> list[str]:
    """The tags of the histories that the journal says it went through."""
    said = map(read_control, Reader(directory, files=files).lines())
    return [each.lineage for each in said if isinstance(each, Opened) and each.lineage]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """One that was closed, of several segments."""
    opened(tmp_path / "journal", count=20)
    return tmp_path / "journal"


def run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True)


# --- what is no copy


def test_a_journal_that_is_opened_again_and_again_has_one_history(journal: Path) -> None:
    for _ in range(3):
        log = opened(journal, count=7)
        assert (log.lineage, log.because) == ("", "")
    assert begun(journal) == []


def test_a_journal_that_was_moved_goes_on_with_its_history(journal: Path, tmp_path: Path) -> None:
    run("mv", journal, tmp_path / "elsewhere")
    assert opened(tmp_path / "elsewhere", count=1).because == ""
    run("mv", tmp_path / "elsewhere", journal)
    assert opened(journal).because == ""


def test_a_journal_that_was_compacted_goes_on_with_its_history(journal: Path) -> None:
    log = open_log(journal, limits=SMALL, fold_version=FOLD)
    for _ in range(2):
        put(log, 9)
        snapshot = write_snapshot(
            journal, journal_id="5eed", position=log.head, fold_version=FOLD, lines=[b"{}"]
        )
        log.note_snapshot(read_snapshot(snapshot.path))
    assert compact(log, fold_version=FOLD).removed
    log.close()
    assert opened(journal).because == ""


def test_a_lock_that_an_older_version_signed_says_nothing(journal: Path, tmp_path: Path) -> None:
    (journal / LOCK).write_bytes(b'{"pid":4711,"epoch":1}\n')
    run("cp", "-a", journal, tmp_path / "copy")
    assert opened(tmp_path / "copy").because == ""
    run("cp", "-a", tmp_path / "copy", tmp_path / "another")
    assert opened(tmp_path / "another").because, "from now on it is signed"


def test_a_repair_is_no_copy_and_hides_none(journal: Path, tmp_path: Path) -> None:
    def torn(directory: Path) -> None:
        [*_, tail] = sorted(directory.glob("0*.jsonl"))
        with tail.open("ab") as file:
            file.write(b'{"seq":')
        assert repair(directory).done

    run("cp", "-a", journal, tmp_path / "copy")
    torn(journal)
    assert opened(journal).because == ""
    torn(tmp_path / "copy")
    assert opened(tmp_path / "copy").because


# --- what is one


def test_one_backup_that_is_put_back_twice_begins_two_histories(
    journal: Path, tmp_path: Path
) -> None:
    report = backup(journal, tmp_path / "backup")
    mark = read_mark(OsFiles(), tmp_path / "backup")
    assert mark == CopyMark("5eed", report.head.seq, "backup")
    tags = []
    for _ in range(2):
        shutil.rmtree(journal)
        run("cp", "-a", tmp_path / "backup", journal)
        log = opened(journal, count=3)
        assert log.because == f"it is what backup made of the journal up to record {mark.seq}"
        assert not (journal / COPY).exists()
        assert begun(journal) == [log.lineage]
        assert opened(journal).lineage == "", "it began already"
        tags.append(log.lineage)
    assert len(set(tags)) == 2


def test_a_backup_that_is_copied_into_the_directory_of_the_journal_is_known_by_its_mark(
    journal: Path, tmp_path: Path
) -> None:
    """Each name leads to the file that it led to, and LOCK is the one that was signed."""
    backup(journal, tmp_path / "backup")
    opened(journal, count=1)
    for path in (tmp_path / "backup").iterdir():
        (journal / path.name).write_bytes(path.read_bytes())
    assert "backup" in opened(journal).because
    assert opened(journal).because == ""


def test_what_was_salvaged_begins_a_history(journal: Path, tmp_path: Path) -> None:
    first = sorted(journal.glob("0*.jsonl"))[0]
    first.write_bytes(first.read_bytes().replace(b"xxx", b"xyx", 1))
    report = salvage(journal, tmp_path / "out")
    assert verify(tmp_path / "out").ok
    assert list_directory(OsFiles(), tmp_path / "out").has_copy_mark
    last = f"it is what salvage made of the journal up to record {report.last_seq}"
    assert opened(tmp_path / "out").because == last
    assert len(begun(tmp_path / "out")) == 1


def test_a_backup_of_a_backup_and_what_is_salvaged_of_one_have_a_mark_of_their_own(
    journal: Path, tmp_path: Path
) -> None:
    backup(journal, tmp_path / "one")
    backup(tmp_path / "one", tmp_path / "two")
    salvage(tmp_path / "two", tmp_path / "three")
    for name in ("one", "two", "three"):
        assert verify(tmp_path / name).ok
        assert verify(tmp_path / name).warnings == ()
        assert opened(tmp_path / name).lineage


def test_a_copy_that_is_opened_beside_the_original_goes_on_apart(
    journal: Path, tmp_path: Path
) -> None:
    run("cp", "-a", journal, tmp_path / "copy")
    original, copy = opened(journal, count=1), opened(tmp_path / "copy", count=1)
    assert (original.lineage, copy.because) == ("", "its LOCK was signed in another directory")
    run("cp", "-a", journal, tmp_path / "later")
    assert opened(tmp_path / "later").lineage not in ("", copy.lineage)


def test_a_copy_that_is_made_beside_a_writer_goes_on_apart(tmp_path: Path) -> None:
    log = open_log(tmp_path / "journal", limits=SMALL)
    put(log, 12)
    run("cp", "-a", tmp_path / "journal", tmp_path / "copy")
    assert opened(tmp_path / "copy").lineage
    log.close()
    assert opened(tmp_path / "journal").because == ""


def test_a_copy_of_links_goes_on_apart_and_the_original_as_before(
    journal: Path, tmp_path: Path
) -> None:
    run("cp", "-al", journal, tmp_path / "copy")
    assert opened(journal, count=2).because == ""
    run("cp", "-al", journal, tmp_path / "another")
    assert opened(tmp_path / "copy", count=2).because == "its LOCK was signed in another directory"
    assert opened(tmp_path / "another").lineage
    assert opened(journal, count=2).because == ""
    for each in ("journal", "copy", "another"):
        assert verify(tmp_path / each).ok


def test_a_copy_of_links_that_is_made_beside_a_writer_leaves_its_history_alone(
    tmp_path: Path,
) -> None:
    log = open_log(tmp_path / "journal", limits=SMALL)
    put(log, 12)
    run("cp", "-al", tmp_path / "journal", tmp_path / "copy")
    put(log, 1)
    log.close()
    assert opened(tmp_path / "journal").because == ""
    assert opened(tmp_path / "copy").lineage


def test_records_without_a_lock_begin_a_history(journal: Path) -> None:
    (journal / LOCK).unlink()
    assert opened(journal).because == "its LOCK is missing"
    (journal / LOCK).write_bytes(b"")
    assert opened(journal).because == "its LOCK says nothing"
    assert opened(journal).because == ""


class GivenAgain(OsFiles):
    """A disk that gives the inodes of what was removed to what takes its place."""

    use = 1

    def generation(self, handle: Handle) -> int:
        return self.use


def test_a_copy_that_gets_the_very_inodes_of_what_was_removed_begins_a_history(
    tmp_path: Path,
) -> None:
    disk = GivenAgain()
    for _ in range(2):
        assert opened(tmp_path, disk).lineage == ""
    disk.use = 2
    assert opened(tmp_path, disk).lineage
    assert opened(tmp_path, disk).lineage == ""


def test_a_lock_that_was_put_back_alone_begins_a_history(journal: Path, tmp_path: Path) -> None:
    run("cp", "-a", journal / LOCK, tmp_path / LOCK)
    (journal / LOCK).rename(tmp_path / "old")  # so that its inode is not given anew
    run("cp", "-a", tmp_path / LOCK, journal / LOCK)
    assert opened(journal).because == "its LOCK is a copy of the one that was signed"


def test_a_tail_that_was_put_back_alone_begins_a_history(journal: Path, tmp_path: Path) -> None:
    [*_, tail] = sorted(journal.glob("0*.jsonl"))
    tail.rename(tmp_path / "old")
    run("cp", "-a", tmp_path / "old", tail)
    assert opened(journal).because == f"{tail.name} is a copy of the one that was written"
    assert opened(journal).because == ""


def test_files_of_an_earlier_moment_in_their_places_begin_a_history(
    journal: Path, tmp_path: Path
) -> None:
    """All but LOCK: so the tail that was signed is not there any more."""
    run("cp", "-a", journal, tmp_path / "earlier")
    last = list_directory(OsFiles(), journal).segments[-1]
    opened(journal, count=20)
    for path in (*journal.glob("0*.jsonl"), journal / "HEAD"):
        path.unlink()
        if (tmp_path / "earlier" / path.name).exists():
            run("cp", "-a", tmp_path / "earlier" / path.name, path)
    assert opened(journal).because.endswith(f"was written, and it ends in {last}")


def test_a_mark_that_nobody_can_read_is_one(journal: Path) -> None:
    (journal / COPY).write_bytes(b"\x00\x00")
    assert opened(journal).because == "COPY is in it"


def test_a_mark_without_records_is_what_is_left_of_a_journal(tmp_path: Path) -> None:
    write_mark(OsFiles(), tmp_path, CopyMark("5eed", 42, "backup"))
    with pytest.raises(Lost, match="COPY is here"):
        open_log(tmp_path)


# --- crashes

HERE, COPIED = Path("/sim/journal"), Path("/sim/copy")
CALLS_MAX = 120
"""More than a start makes."""


def lived(disk: SimulatedDisk, directory: Path = HERE, *, closed: bool = True) -> None:
    """A journal of several segments. One that is not closed is copied by its next start."""
    log = open_log(directory, files=disk, limits=SMALL, new_id="5eed", fold_version=FOLD)
    put(log, 12)
    if closed:
        log.close()
    else:
        disk.reboot("process")


def copied(disk: SimulatedDisk) -> Path:
    """As by `cp -a`."""
    disk.make_dir(COPIED)
    for name in disk.entries(HERE):
        disk.overwrite(COPIED / name, disk.content(HERE / name))
    return COPIED


def linked(disk: SimulatedDisk) -> Path:
    disk.link_dir(HERE, COPIED)
    return COPIED


def marked(disk: SimulatedDisk) -> Path:
    """As where a backup was written into the files of the journal."""
    write_mark(disk, HERE, CopyMark("5eed", 42, "backup"))
    return HERE


def without_lock(disk: SimulatedDisk) -> Path:
    disk.remove(HERE / LOCK)
    return HERE


def with_another_tail(disk: SimulatedDisk) -> Path:
    name = segment_name(list_directory(disk, HERE).segments[-1])
    content = disk.content(HERE / name)
    disk.remove(HERE / name)
    disk.overwrite(HERE / name, content)
    return HERE


COPIES = (copied, linked, marked, without_lock, with_another_tail)


@pytest.mark.parametrize("kind", ["process", "power"])
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("copy", COPIES)
def test_no_crash_hides_that_a_journal_was_put_back(
    copy: Callable[[SimulatedDisk], Path], closed: bool, kind: CrashKind
) -> None:
    crashed = 0
    for calls in range(1, CALLS_MAX, 2):
        disk = SimulatedDisk(calls)
        lived(disk, closed=closed)
        directory = copy(disk)
        disk.crash_in(calls)
        try:
            opened(directory, disk)
        except Crash:
            crashed += 1
        disk.reboot(kind)  # which takes back a crash that did not come
        opened(directory, disk, 1)
        assert begun(directory, disk), f"after {calls} calls"
        assert not list_directory(disk, directory).has_copy_mark
        assert opened(directory, disk).because == "", "once is enough"
    assert crashed > 10, "calls of a start were the last ones"


def is_torn(disk: SimulatedDisk) -> bool:
    """Whether LOCK was being signed when the process was killed: on this disk, half of it is."""
    if LOCK not in disk.entries(HERE):
        return False
    content = disk.content(HERE / LOCK)
    return b"{" in content and read_signature(content) is None


@pytest.mark.parametrize("links", ["none", "before", "meanwhile"])
def test_no_kill_makes_a_copy_of_a_journal_that_is_none(links: str) -> None:
    """At every call of a start and a life. Links are made of it as by `cp -al`."""
    crashed = 0
    for calls in range(1, 140):
        disk = SimulatedDisk(calls)
        lived(disk, closed=bool(calls % 2))
        if links == "before":
            disk.link_dir(HERE, COPIED)
        disk.crash_in(calls)
        try:
            log = open_log(HERE, files=disk, limits=SMALL, new_id="5eed", fold_version=FOLD)
            put(log, 2)
            if links == "meanwhile":
                disk.link_dir(HERE, COPIED)
            put(log, 6)
            log.close()
        except Crash:
            crashed += 1
            disk.reboot("process")
        disk.clear_faults()
        expected = "its LOCK says nothing" if is_torn(disk) else ""
        assert opened(HERE, disk, 1).because in ("", expected), f"after {calls} calls"
    assert crashed > 60, "every call of a start and a life was the last one once"


def test_no_kill_of_a_first_start_makes_a_copy() -> None:
    for calls in range(1, CALLS_MAX):
        disk = SimulatedDisk(calls)
        disk.crash_in(calls)
        try:
            opened(HERE, disk)
        except Crash:
            disk.reboot("process")
        disk.clear_faults()
        expected = "its LOCK says nothing" if is_torn(disk) else ""
        assert opened(HERE, disk).because in ("", expected), f"after {calls} calls"
