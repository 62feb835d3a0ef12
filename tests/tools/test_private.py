"""Other users are the boundary: a broker begins nowhere, and no command acts anywhere, where one of
them could have put something. As root the other user is tried for real."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.holders import ROOT
from tests.support.shell import PATIENCE_S, Done, House, ackbook, environment

OTHER = 65_534
"""A user who has nothing: `nobody`, where it has a name."""


def up_refused(house: House, *options: str) -> str:
    """What `up` said; it refused, in the foreground as in the background."""
    said = [house("up", *options), house("up", "--background", *options)]
    assert [done.code for done in said] == [8, 8], said
    assert [done.out for done in said] == ["", ""]
    assert said[0].err == said[1].err
    return said[0].err


def test_up_refuses_a_directory_that_others_may_write_to(house: House) -> None:
    house.directory.mkdir()
    house.directory.chmod(0o777)
    said = up_refused(house)
    assert f"{house.directory} can be written by other users" in said
    assert "chmod go-w" in said
    assert list(house.directory.iterdir()) == []
    house.directory.chmod(0o755)
    house.up()


def test_a_planted_log_does_not_make_a_broker_write_into_the_users_own_file(
    house: House, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine\n")
    (house.directory / "logs").mkdir(parents=True)
    (house.directory / "logs" / "broker.log").symlink_to(mine)
    done = house("up", "--background")
    assert done.code == 8
    assert "logs/broker.log is a link to another place" in done.err
    assert mine.read_text() == "mine\n"


@pytest.mark.parametrize("part", ["logs", "spool", "screens", "holders"])
def test_up_follows_no_link_to_write_elsewhere(house: House, tmp_path: Path, part: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    house.directory.mkdir()
    (house.directory / part).symlink_to(tmp_path / "elsewhere")
    assert f"{part} is a link to another place" in up_refused(house)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_no_message_goes_where_a_planted_connection_says(house: House, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = House(tmp_path / "other")
    try:
        other.up()
        house.directory.mkdir()
        (house.directory / "connection.json").symlink_to(other.directory / "connection.json")
        done = house("send", "bob", "not for you")
        assert done.code == 8
        assert "connection.json is a link to another place" in done.err
    finally:
        other.close()


@pytest.mark.parametrize("verb", [("compact",), ("repair",), ("send", "bob", "hi"), ("down",)])
def test_nothing_is_done_in_a_directory_that_others_may_write_to(
    house: House, verb: tuple[str, ...]
) -> None:
    house.up()
    house("down")
    house.directory.chmod(0o777)
    done = house(*verb)
    assert done.code == 8, done
    assert "can be written by other users" in done.err
    assert house("verify").code == 0  # who only reads may read what anybody has


# --- a second user


@pytest.fixture
def common() -> Iterator[Path]:
    """A place where two users meet, as in `/tmp`."""
    if os.geteuid() != 0:
        pytest.skip("only root can be two users")
    directory = Path(tempfile.mkdtemp(prefix="ackbook-common-"))
    directory.chmod(0o1777)
    try:
        look = subprocess.run(["test", "-x", directory], user=OTHER, group=OTHER, check=False)
        if look.returncode != 0:
            pytest.skip("another user does not reach the place for temporary files")
        yield directory
    finally:
        shutil.rmtree(directory)


def as_other(*words: str | Path) -> Done:
    """Run a command of ours as somebody else."""
    command = [sys.executable, "-m", "tests.support.as_user", str(OTHER), *map(str, words)]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Done(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


@contextlib.contextmanager
def broker_of_other(directory: Path) -> Iterator[None]:
    """A broker that somebody else runs."""
    words = ["up", "--dir", str(directory)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.as_user", str(OTHER), *words],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
    ) as broker:
        try:
            assert broker.stdout is not None
            assert b"ackbook is up" in broker.stdout.readline()
            yield
        finally:
            broker.terminate()


def test_a_second_user_gets_nothing_of_ours(common: Path) -> None:
    house = House(common)
    try:
        house.up()
        for verb in (("ls",), ("send", "bob", "hi"), ("up",), ("up", "--background"), ("down",)):
            done = as_other(*verb, "--dir", house.directory)
            assert done.code == 8, done
            assert f"{house.directory} belongs to root" in done.err
        assert house("ls").code == 0
    finally:
        house.close()


def test_what_a_second_user_put_there_is_not_believed(common: Path) -> None:
    planted = common / ".ackbook"
    with broker_of_other(planted):
        for verb in (("send", "bob", "a secret"), ("up",), ("down",), ("compact",)):
            done = ackbook(*verb, cwd=common)
            assert done.code == 8, done
            assert f"{planted} belongs to " in done.err
        assert as_other("send", "bob", "hi", "--dir", planted).code == 3  # there is no bob


def test_a_second_users_directory_in_between_is_enough_to_refuse(common: Path) -> None:
    theirs = common / "theirs"
    subprocess.run(["mkdir", "--mode=777", theirs], user=OTHER, group=OTHER, check=True)
    (theirs / "mine").mkdir(mode=0o700)
    done = ackbook("up", "--dir", theirs / "mine", cwd=common)
    assert done.code == 8
    assert f"{theirs} belongs to " in done.err


def test_a_second_user_cannot_plant_a_log_in_a_directory_that_was_left_open(common: Path) -> None:
    """What was put there while anybody could is looked at when nobody can any more."""
    directory, mine = common / "open", common / "mine"
    mine.write_text("mine\n")
    (directory / "logs").mkdir(parents=True)
    directory.chmod(0o777)
    (directory / "logs").chmod(0o777)
    plant = ["ln", "-s", mine, directory / "logs" / "broker.log"]
    subprocess.run(plant, user=OTHER, group=OTHER, check=True)
    for still_open in (directory, directory / "logs"):
        done = ackbook("up", "--background", "--dir", directory, cwd=common)
        assert done.code == 8
        assert f"{still_open} can be written by other users" in done.err
        still_open.chmod(0o700)
    done = ackbook("up", "--background", "--dir", directory, cwd=common)
    assert done.code == 8
    assert "broker.log is a link to another place" in done.err
    assert mine.read_text() == "mine\n"
