"""A journal's directory is the one that was opened, whatever its name means by now.

Everything here is done with the real disk. What was acknowledged is found by whoever goes where the
error says that it is.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ackbook.journal import (
    Displaced,
    Journal,
    JournalError,
    Limits,
    Locked,
    Retention,
    open_journal,
    read_journal,
    verify,
)
from ackbook.journal.storage.files import Access, Handle, OsFiles
from ackbook.journal.storage.held_directory import HeldDirectory

SMALL = Limits(segment_bytes_max=20_000, room_bytes_min=8_000, room_bytes_max=16_000)
KIND = "number.counted"


def numbers(directory: Path) -> list[int]:
    return [record.value["n"] for record in read_journal(directory).read()]


def filled(directory: Path, first: int = 1) -> Journal:
    journal = open_journal(directory, limits=SMALL)
    for number in range(first, first + 5):
        journal.append(KIND, {"n": number})
    return journal


def ended(act: Callable[[], object]) -> str:
    """What the journal says that it ended with; it blames no disk."""
    with pytest.raises(Displaced) as caught:
        act()
    assert "cannot be written" not in str(caught.value)
    assert "look after the disk" not in str(caught.value)
    return str(caught.value)


def test_a_journal_that_was_moved_writes_nothing_into_the_one_that_took_its_place(
    tmp_path: Path,
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    old = filled(a)
    a.rename(b)
    new = filled(a, 101)

    said = ended(lambda: old.append(KIND, {"n": 6}))
    assert str(b) in said
    assert f"up to {old.seq - 1}, is in {b}" in said, "the place of what was acknowledged"
    assert ended(lambda: old.append(KIND, {"n": 7})) == said, "it says so to everyone"
    ended(lambda: old.snapshot({}, through=6))
    old.close()

    assert new.append(KIND, {"n": 106})
    new.close()
    assert numbers(a) == [101, 102, 103, 104, 105, 106]
    assert numbers(b)[:5] == [1, 2, 3, 4, 5]
    assert verify(a).ok
    with filled(b, 11):
        pass
    assert verify(b).ok


def test_every_file_of_a_moved_journal_goes_where_the_journal_went(tmp_path: Path) -> None:
    """Also those that are made behind its back: its next segment, HEAD, a snapshot, archives."""
    a, b = tmp_path / "a", tmp_path / "b"
    for count in (1, 12, 24):
        journal = filled(a)
        last = journal.seq
        a.rename(b)
        a.mkdir()
        many = [(KIND, {"n": number, "text": "x" * 900}) for number in range(6, 6 + count)]
        with pytest.raises(Displaced):
            journal.append_all(many)
        with pytest.raises(JournalError):
            journal.snapshot({"n": 5}, through=last)
        with contextlib.suppress(JournalError):  # it may have nothing to do
            journal.compact(Retention())
        journal.close()
        assert list(a.iterdir()) == []
        a.rmdir()
        assert numbers(b)[:5] == [1, 2, 3, 4, 5]
        shutil.rmtree(b)


def test_a_moved_journal_is_read_by_its_own_process_where_it_is(tmp_path: Path) -> None:
    old = filled(tmp_path / "a")
    following = iter(old.follow())
    (tmp_path / "a").rename(tmp_path / "b")
    with filled(tmp_path / "a", 101):
        assert [record.value["n"] for record in old.read()] == [1, 2, 3, 4, 5]
        assert next(following).value["n"] == 1


def test_who_follows_a_journal_that_is_moved_gets_nothing_of_the_one_in_its_place(
    tmp_path: Path,
) -> None:
    filled(tmp_path / "a").close()
    history = read_journal(tmp_path / "a")
    following = iter(history.follow(quiet_s_max=20))
    assert [next(following).value["n"] for _ in range(5)] == [1, 2, 3, 4, 5]
    (tmp_path / "a").rename(tmp_path / "b")
    with filled(tmp_path / "a", 101) as other:
        other.append_all([(KIND, {"n": number}) for number in range(106, 120)])
        for act in (
            lambda: next(following),
            lambda: history.seq,
            history.state,
            lambda: list(history.read()),
        ):
            assert str(tmp_path / "b") in ended(act)


def test_moving_it_back_before_the_next_append_is_nothing(tmp_path: Path) -> None:
    with filled(tmp_path / "a") as journal:
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "b").rename(tmp_path / "a")
        journal.append(KIND, {"n": 6})
    assert numbers(tmp_path / "a") == [1, 2, 3, 4, 5, 6]


def test_a_close_after_a_move_says_where_the_records_are(tmp_path: Path) -> None:
    journal = filled(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert str(tmp_path / "b") in ended(journal.close)
    journal.close()
    assert numbers(tmp_path / "b") == [1, 2, 3, 4, 5]
    open_journal(tmp_path / "b").close()


def test_a_directory_further_up_may_be_moved_as_well(tmp_path: Path) -> None:
    journal = filled(tmp_path / "project" / "a")
    (tmp_path / "project").rename(tmp_path / "other")
    assert str(tmp_path / "other" / "a") in ended(lambda: journal.append(KIND, {"n": 6}))


def test_a_backup_that_takes_the_place_of_an_open_journal_gets_no_acknowledgement(
    tmp_path: Path,
) -> None:
    a, aside = tmp_path / "a", tmp_path / "aside"
    filled(a).close()
    shutil.copytree(a, tmp_path / "backup")
    journal = open_journal(a)
    journal.append(KIND, {"n": 6})
    a.rename(aside)
    (tmp_path / "backup").rename(a)
    said = ended(lambda: journal.append(KIND, {"n": 7}))
    assert "its name means another directory now" in said
    assert numbers(aside)[:6] == [1, 2, 3, 4, 5, 6]
    assert numbers(a) == [1, 2, 3, 4, 5]


def test_a_journal_that_was_removed_ends_with_that_reason(tmp_path: Path) -> None:
    journal = filled(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    assert "was removed" in ended(lambda: journal.append(KIND, {"n": 6}))
    assert not (tmp_path / "a").exists()


def test_a_lock_that_is_removed_lets_nobody_in_and_ends_its_writer(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    (tmp_path / "LOCK").unlink()
    with pytest.raises(Locked):
        open_journal(tmp_path)
    said = ended(lambda: journal.append(KIND, {"n": 6}))
    assert "LOCK was removed" in said
    assert f"is in {tmp_path}" in said
    journal.close()
    with filled(tmp_path, 11):
        assert numbers(tmp_path)[:5] == [1, 2, 3, 4, 5]
    assert verify(tmp_path).ok


@pytest.mark.parametrize("name", ["LOCK", "HEAD", "00000000000000000001.jsonl"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_file_that_is_replaced_or_removed_is_noticed_within_a_second(
    tmp_path: Path, name: str, gone: bool
) -> None:
    journal = filled(tmp_path)
    if gone:
        (tmp_path / name).unlink()
    else:
        shutil.copy(tmp_path / name, tmp_path / "other")
        (tmp_path / "other").rename(tmp_path / name)
    journal._log._writer._due_at = 0  # the second is over
    said = ended(lambda: journal.append(KIND, {"n": 6}))
    assert f"{name} was {'removed' if gone else 'replaced by another file'}" in said
    journal.close()


def test_a_tail_that_was_removed_is_kept_aside_and_can_be_put_back(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    (tmp_path / "00000000000000000001.jsonl").unlink()
    said = ended(lambda: journal.append(KIND, {"n": 6}))
    kept = tmp_path / "quarantine" / "kept-00000000000000000001.jsonl"
    assert f"are in {kept}" in said
    journal.close()
    with pytest.raises(JournalError):
        open_journal(tmp_path)
    kept.rename(tmp_path / "00000000000000000001.jsonl")
    open_journal(tmp_path).close()
    assert numbers(tmp_path)[:5] == [1, 2, 3, 4, 5]


def test_a_writer_that_has_nothing_to_write_notices_as_well(tmp_path: Path) -> None:
    journal = filled(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    ended(journal._log.sync_head)
    ended(lambda: journal.append(KIND, {"n": 6}))
    assert numbers(tmp_path / "b") == [1, 2, 3, 4, 5]


class Slow(OsFiles):
    """A disk on which the opening of a file waits, once it has begun."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def open(self, path: Path, access: Access) -> Handle:
        self.begun.set()
        assert self.go_on.wait(60)
        return super().open(path, access)


def test_a_name_that_is_looked_up_while_the_directory_is_let_go_means_what_it_meant(
    tmp_path: Path,
) -> None:
    """The number of a descriptor is given again as soon as it is closed."""
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    files = Slow()
    held = HeldDirectory.of(files, tmp_path / "mine")
    found: list[bytes] = []

    def look() -> None:
        handle = held.open(tmp_path / "mine" / "file", "read")
        found.append(held.read(handle, 0, 10))
        held.close(handle)

    thread = threading.Thread(target=look)
    thread.start()
    files.begun.wait()
    held.let_go()
    others = [os.open(tmp_path / "other", os.O_RDONLY) for _ in range(5)]
    files.go_on.set()
    thread.join()
    assert found == [b"mine"]
    for handle in others:
        os.close(handle)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(held.handle)


def test_descriptors_of_a_directory_are_given_back(tmp_path: Path) -> None:
    filled(tmp_path).close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        journal = open_journal(tmp_path)
        journal.close()
        del journal
    assert len(os.listdir("/proc/self/fd")) == before


def linked(source: Path, target: Path) -> None:
    """`cp -al`: a copy that shares every file."""
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).hardlink_to(path)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "LOCK"}


def test_a_copy_made_of_links_is_no_longer_one_when_it_is_written(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    filled(a).close()
    linked(a, b)
    before = contents(a)
    with filled(b, 101):
        assert contents(a) == before, "what is written to the one is not in the other"
        assert not (a / "LOCK").samefile(b / "LOCK")
        with filled(a, 11):  # and each has a lock of its own
            pass
    assert numbers(a) == [1, 2, 3, 4, 5, 11, 12, 13, 14, 15]
    assert numbers(b) == [1, 2, 3, 4, 5, 101, 102, 103, 104, 105]
    assert verify(a).ok
    assert verify(b).ok


def test_an_open_journal_goes_on_in_its_own_files_when_links_to_them_are_made(
    tmp_path: Path,
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    with filled(a) as journal:
        linked(a, b)
        before = contents(b)
        for number in range(6, 60):  # a segment ends meanwhile
            journal.append(KIND, {"n": number, "text": "x" * 900})
        assert contents(b) == before
        with filled(b, 101):  # beside the one that was copied
            assert numbers(b) == [1, 2, 3, 4, 5, 101, 102, 103, 104, 105]
        journal.append(KIND, {"n": 60})
    assert numbers(a) == list(range(1, 61))
    assert verify(a).ok
    assert verify(b).ok


def test_a_backup_of_links_that_takes_the_place_gets_no_acknowledgement(tmp_path: Path) -> None:
    a = tmp_path / "a"
    journal = filled(a)
    linked(a, tmp_path / "backup")
    a.rename(tmp_path / "aside")
    (tmp_path / "backup").rename(a)
    assert str(tmp_path / "aside") in ended(lambda: journal.append(KIND, {"n": 6}))
    assert numbers(a) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["HEAD", "00000000000000000001.jsonl"])
def test_a_backup_that_is_copied_over_the_files_is_noticed_within_a_second(
    tmp_path: Path, name: str
) -> None:
    a, backup = tmp_path / "a", tmp_path / "backup"
    journal = filled(a)
    shutil.copytree(a, backup)
    journal.append_all([(KIND, {"n": number}) for number in range(6, 9)])
    shutil.copyfile(backup / name, a / name)
    said = ended(journal._log.sync_head)
    assert f"{name} was overwritten" in said
