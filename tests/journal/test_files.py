"""One contract for the door to the file system, held by the real one and by its twin."""

import errno
import os
from pathlib import Path

import pytest

from ackbook.journal.storage.files import (
    Files,
    OsFiles,
    install,
    read_whole,
    temporary_of,
    write_all,
)
from tests.support.disk import SimulatedDisk


@pytest.fixture(params=["os", "simulated"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Files, Path]:
    if request.param == "os":
        return OsFiles(), tmp_path / "a" / "journal"
    disk = SimulatedDisk(1)
    disk.short_writes = True
    return disk, Path("/a/journal")


def test_a_directory_is_made_with_its_parents_and_again_is_nothing(
    door: tuple[Files, Path],
) -> None:
    files, directory = door
    files.make_dir(directory)
    files.make_dir(directory)
    assert files.entries(directory) == {}
    assert files.entries(directory.parent) == {"journal": "directory"}


def test_names_of_no_directory_are_an_error(door: tuple[Files, Path]) -> None:
    files, directory = door
    with pytest.raises(FileNotFoundError):
        files.entries(directory / "nothing")


def test_only_create_makes_a_file(door: tuple[Files, Path]) -> None:
    files, directory = door
    files.make_dir(directory)
    for access in ("read", "write"):
        with pytest.raises(FileNotFoundError):
            files.open(directory / "one", "read" if access == "read" else "write")
    files.close(files.open(directory / "one", "create"))
    assert files.entries(directory) == {"one": "file"}


def test_create_empties_a_file(door: tuple[Files, Path]) -> None:
    files, directory = door
    files.make_dir(directory)
    install(files, directory / "one", b"before")
    handle = files.open(directory / "one", "create")
    assert files.size(handle) == 0
    files.close(handle)


def test_bytes_come_back_from_where_they_were_written(door: tuple[Files, Path]) -> None:
    files, directory = door
    files.make_dir(directory)
    handle = files.open(directory / "one", "create")
    write_all(files, handle, 0, b"hello world")
    write_all(files, handle, 6, b"there")
    assert files.read(handle, 0, 100) == b"hello there"
    assert files.read(handle, 6, 3) == b"the"
    assert files.read(handle, 100, 3) == b""
    files.truncate(handle, 5)
    assert files.size(handle) == 5
    write_all(files, handle, 7, b"x")
    assert files.read(handle, 0, 9) == b"hello\0\0x"
    files.sync(handle)
    files.close(handle)
    assert read_whole(files, directory / "one") == b"hello\0\0x"


def test_a_rename_replaces_in_one_step_and_open_files_stay(door: tuple[Files, Path]) -> None:
    files, directory = door
    files.make_dir(directory)
    install(files, directory / "one", b"old")
    old = files.open(directory / "one", "read")
    install(files, directory / "one", b"new")
    assert read_whole(files, directory / "one") == b"new"
    assert files.read(old, 0, 9) == b"old"
    assert files.entries(directory) == {"one": "file"}
    files.close(old)


def test_a_directory_gets_another_name_with_everything_in_it(door: tuple[Files, Path]) -> None:
    files, directory = door
    files.make_dir(directory / "new.partial" / "archive")
    install(files, directory / "new.partial" / "archive" / "one", b"x")
    files.rename(directory / "new.partial", directory / "new")
    assert files.entries(directory) == {"new": "directory"}
    assert read_whole(files, directory / "new" / "archive" / "one") == b"x"


def test_an_unlinked_name_is_gone(door: tuple[Files, Path]) -> None:
    files, directory = door
    files.make_dir(directory)
    install(files, directory / "one", b"x")
    files.unlink(directory / "one")
    files.sync_dir(directory)
    assert files.entries(directory) == {}
    with pytest.raises(FileNotFoundError):
        files.unlink(directory / "one")
    with pytest.raises(FileNotFoundError):
        files.rename(directory / "one", directory / "two")


def test_a_lock_has_one_owner_until_it_is_closed(door: tuple[Files, Path]) -> None:
    files, directory = door
    files.make_dir(directory)
    path = directory / "LOCK"
    assert not files.locked(path)
    first = files.open(path, "create")
    second = files.open(path, "write")
    assert not files.locked(path)
    assert files.lock(first)
    assert files.locked(path)
    assert not files.lock(second)
    files.close(first)
    assert not files.locked(path)
    assert files.lock(second)
    files.unlock(second)
    assert not files.locked(path), "given back before it is closed"
    files.close(second)


def test_two_makers_of_one_file_do_not_get_into_each_others_way(door: tuple[Files, Path]) -> None:
    files, directory = door
    files.make_dir(directory)
    half = files.open(temporary_of(directory / "one", maker=1), "create")
    write_all(files, half, 0, b"half of")
    install(files, directory / "one", b"whole", maker=2)
    assert read_whole(files, temporary_of(directory / "one", maker=1)) == b"half of"
    assert read_whole(files, directory / "one") == b"whole"
    files.close(half)


def test_what_a_name_stands_for_is_told_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    files = OsFiles()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "folder").mkdir()
    assert files.entries(tmp_path) == {
        "pipe": "other",
        "nowhere": "other",
        "real": "file",
        "link": "file",
        "folder": "directory",
    }
    assert not files.locked(tmp_path / "pipe")
    files.close(files.open(tmp_path / "pipe", "read"))


def test_files_are_private(tmp_path: Path) -> None:
    files = OsFiles()
    files.make_dir(tmp_path / "j")
    install(files, tmp_path / "j" / "one", b"x")
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "j" / "one").stat().st_mode & 0o777 == 0o600


def test_no_descriptor_is_inherited(tmp_path: Path) -> None:
    files = OsFiles()
    handle = files.open(tmp_path / "one", "create")
    assert not os.get_inheritable(handle)
    files.close(handle)


def test_a_local_disk_is_no_network(tmp_path: Path) -> None:
    assert OsFiles().network(tmp_path) is None


def test_the_simulated_disk_is_full_when_it_is(tmp_path: Path) -> None:
    disk = SimulatedDisk(2, capacity=10)
    disk.make_dir(Path("/j"))
    handle = disk.open(Path("/j/one"), "create")
    assert disk.write(handle, 0, b"x" * 20) == 10
    with pytest.raises(OSError, match="No space") as caught:
        disk.write(handle, 10, b"y")
    assert caught.value.errno == errno.ENOSPC
    assert disk.write(handle, 0, b"over it") == 7


def test_an_open_directory_is_the_same_wherever_it_is_moved(door: tuple[Files, Path]) -> None:
    files, directory = door
    files.make_dir(directory)
    moved = directory.with_name("moved")
    handle = files.open_dir(directory)
    assert files.status(handle).is_same(files.status_of(directory))
    install(files, files.inside(handle) / "one", b"1")
    _move(files, directory, moved)
    assert files.name_of(handle) == moved
    assert files.status_of(directory) is None
    files.make_dir(directory)
    assert not files.status(handle).is_same(files.status_of(directory))
    install(files, files.inside(handle) / "two", b"2")
    files.unlink(files.inside(handle) / "one")
    assert files.entries(files.inside(handle)) == {"two": "file"} == files.entries(moved)
    assert files.entries(directory) == {}
    files.close(handle)


def test_a_file_is_known_by_what_it_is_and_not_by_its_name(door: tuple[Files, Path]) -> None:
    files, directory = door
    files.make_dir(directory)
    install(files, directory / "one", b"1")
    handle = files.open(directory / "one", "read")
    before = files.status(handle)
    assert before == files.status_of(directory / "one")
    assert before.links == 1
    install(files, directory / "one", b"other")
    assert not before.is_same(files.status_of(directory / "one"))
    assert files.status(handle).links == 0
    files.close(handle)


def test_a_directory_has_one_owner_and_removing_names_changes_nothing(
    door: tuple[Files, Path],
) -> None:
    files, directory = door
    files.make_dir(directory)
    one, two = files.open_dir(directory), files.open_dir(directory)
    assert files.lock(one)
    assert not files.lock(two)
    files.unlock(one)
    assert files.lock(two)
    for handle in (one, two):
        files.close(handle)


def test_an_inode_that_is_given_again_is_another_generation_of_it(
    door: tuple[Files, Path],
) -> None:
    """Or a file system gives none again, as tmpfs."""
    files, directory = door
    files.make_dir(directory)
    seen: dict[tuple[int, int], int] = {}
    for _ in range(50):
        handle = files.open(directory / "one", "create")
        status, generation = files.status(handle), files.generation(handle)
        assert seen.get((status.device, status.inode)) != generation
        seen[status.device, status.inode] = generation
        files.close(handle)
        files.unlink(directory / "one")


def _move(files: Files, source: Path, target: Path) -> None:
    if isinstance(files, SimulatedDisk):
        files.move_dir(source, target)
    else:
        source.rename(target)
