"""Whose a directory is: what another user could change is refused, and no link is followed in it.

Who runs the tests as root makes directories of another user; who does not finds one of root's.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec
import pytest

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.runtime.broker_directory import PARTS, BrokerDirectory
from ackbook.broker.runtime.holder.capture_file import CaptureFile
from ackbook.broker.runtime.holder.spool import Spool
from ackbook.broker.runtime.system.private_paths import (
    NotPrivate,
    check_private,
    open_to_append,
    read_private,
)
from ackbook.broker.wire.evidence import TerminalView
from ackbook.projections.facts import DeliveryId, Evidence

STRANGER = 54_321
"""No user of any machine that the tests run on."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "é place" / "of mine"
    directory.mkdir(parents=True, mode=0o700)
    return directory


def of_somebody_else(path: Path) -> Path:
    """A directory that is not ours: this one, given away, or one that was never ours."""
    if os.geteuid() != 0:
        return Path("/usr")
    os.chown(path, STRANGER, STRANGER)
    return path


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702, 0o1777, 0o2770])
def test_a_directory_that_others_may_write_to_is_refused(place: Path, mode: int) -> None:
    place.chmod(mode)
    with pytest.raises(NotPrivate, match=r"can be written by other users.*chmod go-w"):
        BrokerDirectory(place).make()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("mode", [0o777, 0o707, 0o702])
def test_so_is_one_in_a_directory_that_others_may_write_to(place: Path, mode: int) -> None:
    place.parent.chmod(mode)
    for directory in (place, place / "new" / "one"):
        with pytest.raises(
            NotPrivate, match=re.escape(f"{place.parent} can be written by other users")
        ):
            BrokerDirectory(directory).make()
    assert list(place.iterdir()) == []


def test_a_group_in_which_nobody_else_is_writes_for_this_user(place: Path) -> None:
    place.parent.chmod(0o770)
    os.chown(place.parent, -1, STRANGER if os.geteuid() == 0 else -1)
    if os.geteuid() != 0:
        pytest.skip("only root gives a directory to any group")
    with pytest.raises(NotPrivate, match="can be written by other users"):
        check_private(place)
    os.chown(place.parent, -1, 0)
    check_private(place)


def test_a_sticky_directory_above_is_trusted_as_the_one_for_temporary_files_is(place: Path) -> None:
    place.parent.chmod(0o1777)
    BrokerDirectory(place).make()
    assert {part.name for part in place.iterdir()} == set(PARTS)


def test_a_directory_of_somebody_else_is_refused(place: Path) -> None:
    with pytest.raises(NotPrivate, match=r"belongs to .*, and this is .*--dir"):
        check_private(of_somebody_else(place))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_so_is_one_of_ours_in_a_directory_of_somebody_else(place: Path) -> None:
    of_somebody_else(place.parent)
    for directory in (place, place / "new"):
        with pytest.raises(
            NotPrivate, match=re.escape(f"{place.parent} belongs to user {STRANGER}")
        ):
            check_private(directory)


def test_a_link_on_the_way_is_as_good_as_every_level_that_it_leads_through(
    place: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(place)
    BrokerDirectory(link).make()
    place.parent.chmod(0o777)
    with pytest.raises(NotPrivate, match=re.escape(f"{place.parent} can be written")):
        check_private(link)
    with pytest.raises(NotPrivate, match=re.escape(f"{place.parent} can be written")):
        check_private(link / "new")


def test_links_in_a_circle_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(NotPrivate, match="circle of links"):
        check_private(tmp_path / "a" / "place")


def test_what_others_could_read_is_closed_to_them(place: Path) -> None:
    place.chmod(0o755)
    for part in (*PARTS, "journal"):
        (place / part).mkdir(mode=0o755)
    BrokerDirectory(place).make()
    assert {(place / part).stat().st_mode & 0o777 for part in (*PARTS, "journal")} == {0o700}


def test_what_is_made_on_the_way_is_private_whatever_the_umask_is(place: Path) -> None:
    before = os.umask(0)
    try:
        BrokerDirectory(place / "a" / "b").make()
    finally:
        os.umask(before)
    assert {level.stat().st_mode & 0o777 for level in (place / "a", place / "a/b")} == {0o700}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_a_link_is_refused(place: Path, tmp_path: Path, part: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (place / part).symlink_to(elsewhere)
    with pytest.raises(
        NotPrivate, match=re.escape(f"{part} is a link to another place; remove it: rm ")
    ):
        BrokerDirectory(place).make()


@pytest.mark.parametrize("part", [*PARTS, "journal"])
def test_a_part_that_others_may_write_to_is_refused(place: Path, part: str) -> None:
    (place / part).mkdir()
    (place / part).chmod(0o777)
    with pytest.raises(NotPrivate, match=re.escape(f"{part} can be written by other users")):
        BrokerDirectory(place).make()


def test_a_journal_may_stand_on_another_disk_where_that_is_private(
    place: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "disk" / "journal"
    elsewhere.mkdir(parents=True)
    (place / "journal").symlink_to(elsewhere)
    BrokerDirectory(place).make()
    elsewhere.parent.chmod(0o777)
    with pytest.raises(NotPrivate, match=re.escape(f"{elsewhere.parent} can be written")):
        BrokerDirectory(place).make()


def test_nothing_is_appended_to_where_a_link_leads(place: Path) -> None:
    mine = place / "mine"
    mine.write_text("mine\n")
    (place / "log").symlink_to(mine)
    with pytest.raises(NotPrivate, match="is a link to another place"):
        open_to_append(place / "log")
    (place / "dangling").symlink_to(place / "nowhere")
    with pytest.raises(NotPrivate, match="is a link to another place"):
        open_to_append(place / "dangling")
    assert mine.read_text() == "mine\n"
    assert not (place / "nowhere").exists()


def test_a_log_that_a_copy_was_linked_to_is_left_to_the_copy(place: Path) -> None:
    log, copy = place / "log", place / "copy"
    log.write_text("before\n")
    copy.hardlink_to(log)
    os.write(handle := open_to_append(log), b"after\n")
    os.close(handle)
    assert (copy.read_text(), log.read_text()) == ("before\n", "after\n")
    os.write(handle := open_to_append(log), b"again\n")
    os.close(handle)
    assert log.read_text() == "after\nagain\n"


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(place: Path) -> None:
    os.mkfifo(place / "pipe")
    for look in (open_to_append, read_private):
        with pytest.raises(NotPrivate, match="is no plain file"):
            look(place / "pipe")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_not_believed(place: Path) -> None:
    told = place / "connection.json"
    told.write_text("{}")
    os.chown(told, STRANGER, STRANGER)
    with pytest.raises(NotPrivate, match=f"belongs to user {STRANGER}"):
        read_private(told)


def test_no_text_and_no_screen_is_written_where_a_link_leads(place: Path, tmp_path: Path) -> None:
    """Also one that was put there while the broker runs."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (place / "spool").symlink_to(elsewhere)
    (place / "screens").symlink_to(elsewhere)
    spool = Spool(str(place / "spool"))
    with pytest.raises(OSError, match="spool is a link to another place"):
        spool.write(spool.path("del_1_1", 1), b"a text")
    captures = CaptureFile(str(place / "screens" / "bob.jsonl"), _a_screen)
    captures.told(_SEEN)
    assert list(elsewhere.iterdir()) == []
    (place / "screens").unlink()
    captures.told(msgspec.structs.replace(_SEEN, attempt=2))
    assert (place / "screens" / "bob.jsonl").exists()


_SEEN = Report(
    delivery_id=DeliveryId("del_1_1"),
    attempt=1,
    generation=1,
    phase="typing",
    seen=Evidence(how="echo_line"),
)


def _a_screen() -> TerminalView:
    return TerminalView(rows=("a row",), cols=80, cursor=(1, 3), offset=5)
