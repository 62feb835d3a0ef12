"""A command speaks with the broker of its directory and with nobody else, whatever files say."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ackbook.broker.runtime.system import unix_sockets
from tests.support.shell import House, wait_for_end, wait_until

ACTS = (
    ("ls",),
    ("send", "bob", "for somebody else"),
    ("hold", "bob"),
    ("release", "bob"),
    ("down",),
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    house.up()
    house("spawn", "bob", "--", "cat")
    yield house
    house.close()


@contextmanager
def stranger(directory: Path, pid: int) -> Iterator[socket.socket]:
    """Somebody who listens, and a file in the directory that says he is its broker."""
    directory.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        said = {"url": f"http://127.0.0.1:{port}", "port": port, "api_key": "br_x", "pid": pid}
        (directory / "connection.json").write_text(json.dumps(said))
        yield listener


def heard_nothing(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.accept()
    except BlockingIOError:
        return True
    return False


@pytest.mark.parametrize("arguments", ACTS, ids=lambda given: given[0])
def test_in_a_copy_of_a_directory_nobody_acts_on_the_broker_of_the_original(
    arguments: tuple[str, ...], house: House
) -> None:
    copy = House(house.root, "copy")
    subprocess.run(["cp", "-a", house.directory, copy.directory], check=True)
    done = copy(*arguments)
    assert (done.code, done.out) == (3, "")
    assert f"no broker is running in {copy.directory};" in done.err
    assert "without saying goodbye" not in done.err
    [bob] = house("ls", "--json").json()["agents"]
    assert (bob["name"], bob["mode"]) == ("bob", "auto_inject")
    assert house("cat", "--kind", "message.*", "--json").out == ""


def test_in_a_copy_a_broker_of_its_own_is_started_and_met(house: House) -> None:
    copy = House(house.root, "copy")
    subprocess.run(["cp", "-a", house.directory, copy.directory], check=True)
    shutil.rmtree(copy.directory / "holders")
    with closing(copy):
        copy.up()
        assert copy.broker_pid != house.broker_pid
        assert copy("down").code == 0
    assert house("ls").code == 0


def test_who_has_the_port_and_the_number_that_a_file_names_is_sent_nothing(
    tmp_path: Path,
) -> None:
    with stranger(tmp_path / ".ackbook", os.getpid()) as listener:
        done = House(tmp_path)("send", "bob", "a secret")
        assert done.code == 3
        assert heard_nothing(listener)


def test_who_listens_and_has_another_lock_is_sent_nothing(tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / name / "journal").mkdir(parents=True)
        (tmp_path / name / "journal" / "LOCK").touch()
    with (
        stranger(tmp_path / "mine", os.getpid()) as listener,
        open(tmp_path / "other" / "journal" / "LOCK", "rb") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert House(tmp_path, "mine")("send", "bob", "a secret").code == 3
        assert heard_nothing(listener)


def test_who_has_the_lock_and_does_not_listen_is_no_reason_to_speak_to_who_does(
    tmp_path: Path,
) -> None:
    lock = tmp_path / ".ackbook" / "journal" / "LOCK"
    lock.parent.mkdir(parents=True)
    lock.touch()
    holds = (
        "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX);"
        " print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holds, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with stranger(tmp_path / ".ackbook", holder.pid) as listener:
            assert House(tmp_path)("send", "bob", "a secret").code == 3
            assert heard_nothing(listener)
        assert holder.stdin is not None
        holder.stdin.close()


def test_a_file_that_was_put_back_misleads_nobody(house: House) -> None:
    """A backup of `connection.json`, restored over that of the broker that runs."""
    with subprocess.Popen(["sleep", "1000"]) as other:
        try:
            with stranger(house.directory, other.pid) as listener:
                sent = house("send", "bob", "hello", "--wait", "30")
                assert sent.code == 0, sent.err
                assert house("down").code == 0
                assert heard_nothing(listener)
            assert other.poll() is None
        finally:
            other.kill()


def test_a_moved_directory_is_where_its_agents_are_found_again(house: House) -> None:
    """Its broker ends, with that reason; whoever comes to the new place finds what it kept."""
    [before] = house("ls", "--json").json()["agents"]
    pid = house.broker_pid
    assert pid is not None
    moved = House(house.root, "moved")
    house.directory.rename(moved.directory)
    wait_for_end(pid)
    assert house("ls").code == 3
    with closing(moved):
        moved.up()
        [after] = moved("ls", "--json").json()["agents"]
        assert (after["name"], after["pid"]) == ("bob", before["pid"])
        assert moved("down").code == 0


def test_what_a_killed_broker_left_is_no_broker(house: House) -> None:
    house.kill_broker()
    assert (house.directory / "broker.sock").exists()
    done = house("ls")
    assert done.code == 3
    assert "ended without saying goodbye" in done.err
    house.up()
    assert house("ls").code == 0


def test_the_socket_is_for_the_owner_of_the_directory_and_asks_for_no_key(house: House) -> None:
    path = house.directory / "broker.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    (house.directory / "connection.json").unlink()
    assert house("ls").code == 0
    pid = unix_sockets.listener_of(str(path))
    os.kill(pid, 15)
    wait_until(lambda: not path.exists(), "the broker takes its socket along")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_socket_that_another_user_put_there_is_not_spoken_to(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o777)
    for level in tmp_path.parents:
        if level.stat().st_uid == os.geteuid() and level != Path("/"):
            os.chmod(level, level.stat().st_mode | 0o011)
    path = tmp_path / "broker.sock"
    listens = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
        " os.chdir(sys.argv[1]); s.bind('broker.sock'); s.listen(); print(flush=True);"
        " sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", listens, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(PermissionError):
            unix_sockets.listener_of(str(path))
        assert other.stdin is not None
        other.stdin.close()
