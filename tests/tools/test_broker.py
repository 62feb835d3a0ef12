"""Starting and ending: one broker a directory, and nothing of its caller in its hands."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.holders import parent_of
from tests.support.shell import ACKBOOK, PATIENCE_S, House, environment, wait_for_end, wait_until

READY_KEYS = {"url", "directory", "pid", "port"}


def descriptors(pid: int) -> set[str]:
    """What a process has open, as the system names it."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(entry))
        except FileNotFoundError:
            continue
    return found


def test_up_says_where_it_is_reached_and_down_ends_it(house: House) -> None:
    ready = house.up()
    assert set(ready) == READY_KEYS
    assert ready["directory"] == str(house.directory)
    assert ready["url"].endswith(f":{ready['port']}")
    assert ready["pid"] == house.broker_pid
    assert house("ls", "--json").json() == {"agents": []}

    down = house("down")
    assert down.code == 0
    wait_for_end(ready["pid"])
    assert house.broker_pid is None
    assert house("down").code == 3
    assert house("verify").code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_foreground_the_ready_line_comes_when_it_serves_and_a_signal_ends_it(
    number: signal.Signals, house: House
) -> None:
    with subprocess.Popen(
        [*ACKBOOK, "up", "--dir", house.directory],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as broker:
        assert broker.stdout is not None
        assert broker.stderr is not None
        line = broker.stdout.readline().decode()
        assert str(house.directory) in line
        assert f"pid {broker.pid}" in line
        pid = house("spawn", "bob", "--json", "--", "cat").json()["pid"]
        broker.send_signal(number)
        assert broker.wait(PATIENCE_S) == 0
        assert b"Traceback" not in broker.stderr.read()
    assert house.broker_pid is None
    wait_for_end(pid)


def test_a_second_broker_on_a_directory_ends_with_5_and_harms_nothing(house: House) -> None:
    house.up()
    for options in (("--background",), ()):
        second = house("up", *options)
        assert second.code == 5
        assert second.out == ""
        assert "another broker instance is already running in this directory" in second.err
    assert house("ls").code == 0


def test_a_port_in_use_ends_with_1(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for options in (("--background",), ()):
            done = house("up", "--port", str(port), *options)
            assert done.code == 1
            assert done.out == ""
            assert str(port) in done.err
            assert "Traceback" not in done.err
    assert house.up("--port", str(port))["port"] == port


def test_up_in_the_background_keeps_no_descriptor_of_its_caller(house: House) -> None:
    """A caller with a pipe as its output and other things open: the pipe ends with the command,
    and neither the broker nor a holder nor a program has any of it."""
    stdin, ours = os.pipe()
    read_end, write_end = os.pipe()
    with open(house.root / "marker", "w") as extra:
        callers = {os.readlink(f"/proc/self/fd/{n}") for n in (ours, write_end, extra.fileno())}
        caller = subprocess.Popen(
            [*ACKBOOK, "up", "--background", "--dir", house.directory],
            env=environment(),
            stdin=stdin,
            stdout=write_end,
            stderr=write_end,
            pass_fds=(extra.fileno(), ours),
        )
    for descriptor in (write_end, stdin, ours):
        os.close(descriptor)
    with open(read_end, "rb") as output:
        said = output.read()  # ends when nobody holds the other end any more
    assert caller.wait(PATIENCE_S) == 0
    assert str(house.directory) in said.decode()

    spawned = house("spawn", "bob", "--json", "--", "cat").json()
    broker_pid = house.broker_pid
    assert broker_pid is not None
    [holder] = _children(broker_pid)
    for pid in (broker_pid, holder, spawned["pid"]):
        assert not descriptors(pid) & callers
    assert os.getsid(broker_pid) == broker_pid
    assert os.readlink(f"/proc/{broker_pid}/cwd") == "/"


def test_a_broker_that_was_killed_is_no_broker_and_the_next_one_starts(house: House) -> None:
    house.up()
    spawned = house("spawn", "bob", "--json", "--", "cat").json()
    house.kill_broker()
    refused = house("ls")
    assert refused.code == 3
    assert "ended without saying goodbye" in refused.err
    house.up()
    [bob] = house("ls", "--json").json()["agents"]
    assert (bob["pid"], bob["generation"]) == (spawned["pid"], spawned["generation"])


def test_down_ends_the_agents_or_keeps_them(house: House) -> None:
    house.up()
    pid = house("spawn", "bob", "--json", "--", "cat").json()["pid"]
    assert house("down", "--keep-agents").code == 0
    os.kill(pid, 0)
    house.up()
    [bob] = house("ls", "--json").json()["agents"]
    assert (bob["pid"], bob["state"]) == (pid, "ready")
    assert house("down", "--json").json()["agents_kept"] is False
    wait_for_end(pid)


def test_a_broker_that_is_killed_before_its_end_has_not_ended_its_agents(house: House) -> None:
    url = house.up()["url"]
    pid = house("spawn", "bob", "--json", "--", "cat").json()["pid"]
    holder = parent_of(pid)
    os.kill(holder, signal.SIGSTOP)
    try:
        with subprocess.Popen(
            [*ACKBOOK, "down", "--dir", str(house.directory)], stderr=subprocess.PIPE, text=True
        ) as down:
            wait_until(
                lambda: httpx.get(f"{url}/health").json()["status"] == "shutting down",
                "the broker is ending",
            )
            house.kill_broker()
            assert down.stderr is not None
            said = down.stderr.read()
        assert down.returncode == 1
        assert "was killed before its end" in said
    finally:
        os.kill(holder, signal.SIGCONT)
    house.up()
    assert house("down").code == 0
    wait_for_end(pid)


def test_agents_that_ended_with_their_broker_are_listed_or_started_again(house: House) -> None:
    house.up()
    first = house("spawn", "bob", "--json", "--", "cat").json()
    assert house("down").code == 0
    again = house("up", "--background")
    assert "bob" in again.err
    assert "ackbook restart bob" in again.err
    assert house("down").code == 0

    respawned = house("up", "--background", "--respawn")
    assert respawned.code == 0
    assert "ackbook restart bob" not in respawned.err
    wait_until(lambda: house("ls", "--json").json()["agents"][0]["state"] == "ready", "bob")
    [bob] = house("ls", "--json").json()["agents"]
    assert bob["generation"] > first["generation"]


def test_a_directory_whose_name_is_too_long_for_a_socket_works(tmp_path: Path) -> None:
    house = House(tmp_path, "x" * 120 + "/" + "y" * 120)
    try:
        house.up()
        assert house("spawn", "bob", "--", "cat").code == 0
        assert house("send", "bob", "hello", "--wait", "140").code == 0
    finally:
        house.close()


def test_a_directory_named_journal_where_it_is_started_is_not_imported(tmp_path: Path) -> None:
    """`ackbook up --dir .` stands beside a folder called `journal`."""
    house = House(tmp_path, ".")
    (tmp_path / "journal").mkdir()
    (tmp_path / "msgspec.py").write_text("raise SystemExit('imported from where it was started')")
    try:
        house.up()
        assert house("spawn", "bob", "--", "cat").code == 0
    finally:
        house.close()


def test_a_torn_tail_is_cut_by_a_start_that_says_so(house: House) -> None:
    house.up()
    house("send", "nobody", "hello")
    house.kill_broker()
    [tail] = (house.directory / "journal").glob("0*.jsonl")
    content = tail.read_bytes().rstrip(b"\n") + b"\n"
    last = json.loads(content.splitlines()[-1])["seq"]
    tail.write_bytes(content + b'{"seq":%d,"at":17' % (last + 1))
    assert house("verify").code == 1
    house.up()
    assert house("verify").code == 0
    assert list((house.directory / "journal" / "quarantine").iterdir())


def test_a_damaged_journal_is_not_started_and_says_where(house: House) -> None:
    house.up()
    house("down")
    [tail] = (house.directory / "journal").glob("0*.jsonl")
    content = bytearray(tail.read_bytes())
    content[content.index(b'"data"') + 12] ^= 1
    tail.write_bytes(content)
    for options in (("--background",), ()):
        done = house("up", *options)
        assert done.code == 4
        assert tail.name in done.err
        assert "Next: ackbook salvage --dir" in done.err
        assert "Traceback" not in done.err


def test_a_journal_that_cannot_be_written_ends_a_start_with_74_and_can_be_read(
    house: House,
) -> None:
    house.up()
    house("down")
    journal = house.directory / "journal"
    with _read_only(journal):
        for options in (("--background",), ()):
            done = house("up", *options)
            assert done.code == 74, done.err
            assert str(journal) in done.err
            assert "Traceback" not in done.err
        for arguments in (("verify",), ("cat",), ("replay",), ("events",)):
            assert house(*arguments).code == 0
    house.up()


def _read_only(directory: Path) -> _ReadOnly:
    return _ReadOnly(directory)


class _ReadOnly:
    """A directory in which nothing can be changed, by root neither: a read-only mount of itself."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mounted = False

    def __enter__(self) -> None:
        bind = ["mount", "--bind", "-o", "ro", self._directory, self._directory]
        done = subprocess.run(bind, capture_output=True, check=False)
        self._mounted = done.returncode == 0
        if self._mounted:
            return
        if os.geteuid() == 0:
            pytest.skip(f"this machine does not mount: {done.stderr.decode().strip()}")
        self._directory.chmod(0o500)

    def __exit__(self, *_: object) -> None:
        if self._mounted:
            subprocess.run(["umount", self._directory], check=True)
        else:
            self._directory.chmod(0o700)


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def test_a_start_that_is_interrupted_leaves_no_broker(house: House) -> None:
    """Ctrl-C comes as early as a test can send it: when the detached process has just begun."""
    caller = subprocess.Popen(
        [*ACKBOOK, "up", "--background", "--dir", house.directory],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: (house.directory / "logs" / "broker.log").exists(), "a start that began")
    caller.send_signal(signal.SIGINT)
    if caller.wait(PATIENCE_S) == 0:  # it was ready before the signal came
        return
    assert caller.returncode == 130
    log = str(house.directory / "logs" / "broker.log")
    wait_until(lambda: not _holders_of(log), "the end of the process that had begun")
    assert house("ls").code == 3


def _holders_of(file: str) -> list[int]:
    """Who has this file open."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if file in descriptors(int(entry.name)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_a_directory_that_cannot_be_made_ends_a_start_with_74(house: House) -> None:
    (house.root / "file").write_text("in the way")
    place = house.root / "file" / "inside"
    for options in (("--background",), ()):
        done = house("up", *options, "--dir", str(place))
        assert done.code == 74
        assert str(place) in done.err
        assert "Traceback" not in done.err


def test_in_the_foreground_the_ready_line_is_json_for_programs(house: House) -> None:
    with subprocess.Popen(
        [*ACKBOOK, "up", "--json", "--dir", house.directory],
        env=environment(),
        stdout=subprocess.PIPE,
    ) as broker:
        assert broker.stdout is not None
        ready = json.loads(broker.stdout.readline())
        assert set(ready) == READY_KEYS
        assert ready["pid"] == broker.pid
        assert house("down").code == 0
        assert broker.wait(PATIENCE_S) == 0
        assert broker.stdout.read() == b""


def policy_in(house: House) -> dict[str, object]:
    """What the journal says is in force."""
    policies = [
        json.loads(line)["data"]["policy"]
        for line in house("cat", "--kind", "policy.changed").out.splitlines()
    ]
    return dict(policies[-1]) if policies else {}


def test_a_start_changes_what_it_names_of_the_policy_and_nothing_else(house: House) -> None:
    house.up()
    house("down")
    assert policy_in(house) == {}
    house.up("--set", "queue_length_max=7", "--set", "window_ms=900")
    house("down")
    assert policy_in(house) == {"queue_length_max": 7, "window_ms": 900}
    house.up()
    house("down")
    (house.root / "é policy.json").write_text('{"hold_ms": 5, "window_ms": 800}')
    house.up("--policy", "é policy.json", "--set", "window_ms=700")
    house("down")
    assert policy_in(house) == {"queue_length_max": 7, "window_ms": 700, "hold_ms": 5}
    house.up("--set", "queue_length_max=256")
    house("down")
    assert policy_in(house) == {"window_ms": 700, "hold_ms": 5}
    check = house("replay", "--check", "--all", "--json").json()
    assert (check["divergences"], check["origin_not_told"]) == ([], 0)


def test_a_policy_that_says_nothing_starts_no_broker(house: House) -> None:
    for option in (("--set", "hold_sm=5"), ("--set", "hold_ms=x"), ("--policy", __file__)):
        for way in ((), ("--background",)):
            done = house("up", *option, *way)
            assert done.code == 2, done
    assert not house.directory.exists()
