"""What agents begin with and how they end, whatever their broker's caller ignored or blocked."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.holders import gone
from tests.support.inherited import CLEAN, inherited_by, spoil
from tests.support.shell import (
    ACKBOOK,
    PATIENCE_S,
    Done,
    House,
    environment,
    wait_for_end,
    wait_until,
)


def spoilt(house: House, *arguments: str) -> Done:
    """A command of a caller who ignores and blocks nearly everything."""
    ended = subprocess.run(
        [*ACKBOOK, *arguments, "--dir", house.directory],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        preexec_fn=spoil,
        restore_signals=False,
        check=False,
    )
    return Done(ended.returncode, ended.stdout, ended.stderr)


@contextmanager
def spoilt_in_the_foreground(house: House) -> Iterator[subprocess.Popen[bytes]]:
    """A broker in the foreground of such a caller."""
    with subprocess.Popen(
        [*ACKBOOK, "up", "--dir", house.directory],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        preexec_fn=spoil,
        restore_signals=False,
        close_fds=False,
    ) as broker:
        assert broker.stdout is not None
        try:
            assert str(house.directory) in broker.stdout.readline().decode()
            yield broker
        finally:
            house.close()
            broker.kill()


def pid_in(path: Path) -> int:
    """The pid that a program writes there."""
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), f"a pid in {path}")
    return int(path.read_text())


def test_an_agent_inherits_nothing_of_the_caller_of_a_detached_broker(house: House) -> None:
    assert spoilt(house, "up", "--background").code == 0
    spawned = house("spawn", "bob", "--json", "--", "cat").json()
    assert inherited_by(spawned["pid"]) == CLEAN
    assert house("down").code == 0
    assert gone(spawned["pid"])


def test_a_detached_broker_hears_what_its_caller_does_not(house: House) -> None:
    """It has no terminal that could be closed: who sends it a hang-up means it."""
    assert spoilt(house, "up", "--background").code == 0
    pid = house.broker_pid
    assert pid is not None
    os.kill(pid, signal.SIGHUP)
    wait_for_end(pid)
    assert house.broker_pid is None


def test_an_agent_inherits_nothing_of_the_caller_of_a_broker_in_the_foreground(
    house: House,
) -> None:
    with spoilt_in_the_foreground(house) as broker:
        spawned = house("spawn", "bob", "--json", "--", "cat").json()
        assert inherited_by(spawned["pid"]) == CLEAN
        broker.send_signal(signal.SIGHUP)
        broker.send_signal(signal.SIGQUIT)
        assert house("ls").code == 0, "its caller wanted nothing to happen"
        broker.send_signal(signal.SIGTERM)
        assert broker.wait(PATIENCE_S) == 0
    wait_for_end(spawned["pid"])


def test_a_start_that_fails_says_so_to_a_caller_who_ignores_the_ends_of_children(
    house: House,
) -> None:
    house.up()
    assert spoilt(house, "up", "--background").code == 5


def test_programs_begin_with_the_umask_that_up_was_given(house: House) -> None:
    house.up("--umask", "027")
    spawned = house("spawn", "bob", "--json", "--", "cat").json()
    assert inherited_by(spawned["pid"]).umask == 0o027


@pytest.mark.parametrize("wrong", ["999", "1777", "rwx", "-1", ""])
def test_a_umask_that_is_none_is_refused(wrong: str, house: House) -> None:
    done = house("up", "--background", "--umask", wrong)
    assert done.code == 2
    assert "not a mask" in done.err


def test_down_returns_when_everything_in_the_sessions_has_ended(house: House) -> None:
    """The program obeys the hang-up at once, its child ignores it."""
    house.up()
    told = house.root / "pid"
    script = f"(trap '' HUP INT; exec sleep 1000) & echo $! > '{told}'; cat"
    program = house("spawn", "bob", "--json", "--", "sh", "-c", script).json()["pid"]
    child = pid_in(told)
    down = house("down", "--json")
    assert gone(program)
    assert gone(child)
    assert (down.code, down.json()["left_over"]) == (0, [])


@pytest.mark.parametrize("leaves_environment", [False, True])
def test_down_names_what_left_its_session_and_runs_on(
    leaves_environment: bool, house: House
) -> None:
    """By its environment; one without it was never told whose it is, and is not searched for."""
    house.up()
    told = house.root / "pid"
    kept = "env -i " if leaves_environment else ""
    script = f"setsid {kept}sh -c 'echo $$ > \"{told}\"; exec sleep 1234' & cat"
    house("spawn", "bob", "--", "sh", "-c", script)
    pid = pid_in(told)
    try:
        down = house("down")
        assert not gone(pid), "what left its session is not ended"
        assert house.broker_pid is None
        if leaves_environment:
            assert down.code == 0
        else:
            assert down.code == 1
            assert f"sleep 1234 (pid {pid}, of bob)" in down.err
            assert f"kill {pid}" in down.err
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)


def test_what_runs_on_is_named_for_programs_too(house: House) -> None:
    house.up()
    told = house.root / "pid"
    script = f"setsid sh -c 'echo $$ > \"{told}\"; exec sleep 1234' & cat"
    house("spawn", "bob", "--", "sh", "-c", script)
    pid = pid_in(told)
    try:
        down = house("down", "--json")
        assert down.code == 1
        assert down.json()["left_over"] == [{"pid": pid, "command": "sleep 1234", "agent": "bob"}]
    finally:
        os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)


def test_agents_that_are_kept_are_not_what_is_left_over(house: House) -> None:
    house.up()
    pid = house("spawn", "bob", "--json", "--", "cat").json()["pid"]
    down = house("down", "--keep-agents", "--json")
    assert (down.code, down.json()["left_over"]) == (0, [])
    assert not gone(pid)
    house.up()
    assert house("down").code == 0
    wait_for_end(pid)
