"""Joined terminals: keys go there and output comes here, and afterwards the terminal is as it was.

The person's terminal is a real one, with a shell in it that runs `ackbook attach` and says the
modes of the line discipline before and after.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ptyprocess import PtyProcess

from tests.support.shell import ACKBOOK, PATIENCE_S, House, environment, wait_for_end, wait_until

CTRL_RIGHT_BRACKET = b"\x1d"
RAW = b"(Ctrl-] detaches)\x07"
"""The title that is set when keys are no longer read by the line discipline."""

SCRIPT = "stty -g; echo begin; {command}; echo code=$?; stty -g; echo end"


class Person:
    """A terminal with a shell in it; what it has shown so far is in `shown`."""

    def __init__(self, house: House, arguments: tuple[str, ...], size: tuple[int, int]) -> None:
        command = shlex.join((*ACKBOOK, *arguments, "--dir", str(house.directory)))
        if "--" in arguments:
            at = arguments.index("--")
            before = (*ACKBOOK, *arguments[:at], "--dir", str(house.directory))
            command = shlex.join((*before, *arguments[at:]))
        self._process = PtyProcess.spawn(
            ["sh", "-c", SCRIPT.format(command=command)],
            cwd=str(house.root),
            env=environment(TERM="xterm-256color"),
            dimensions=size,
        )
        self.shown = b""

    def type(self, keys: bytes) -> None:
        self._process.write(keys)

    def resize(self, rows: int, cols: int) -> None:
        self._process.setwinsize(rows, cols)

    def sees(self, what: bytes | Callable[[bytes], object]) -> None:
        """Look until it is there; fails when it does not come."""
        holds = what if callable(what) else lambda shown: what in shown
        deadline = time.monotonic() + PATIENCE_S
        while not holds(self.shown):
            left = deadline - time.monotonic()
            assert left > 0, self.shown
            ready, _, _ = select.select([self._process.fd], [], [], left)
            if ready:
                try:
                    self.shown += os.read(self._process.fd, 65536)
                except OSError:
                    raise AssertionError(self.shown) from None

    def leaves(self) -> int:
        """Wait until the command is over; its exit code. The terminal must be as it was."""
        self.sees(b"\nend")
        found = re.search(rb"code=(\d+)", self.shown)
        assert found is not None
        modes = re.findall(rb"(?m)^([0-9a-f]+(?::[0-9a-f]+)+)\r?$", self.shown)
        assert len(modes) == 2
        assert modes[0] == modes[1]
        return int(found[1])

    def command_pid(self) -> int:
        """The process that the shell runs."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text().split()[0])

    def close(self) -> None:
        self._process.close(force=True)


@pytest.fixture
def joined(lived_in: House) -> Iterator[Callable[..., Person]]:
    """Run a command in a person's terminal; it is closed when the test is over."""
    people: list[Person] = []

    def join(*arguments: str, size: tuple[int, int] = (30, 100)) -> Person:
        people.append(Person(lived_in, arguments, size))
        return people[-1]

    yield join
    for person in people:
        person.close()


def state_of(house: House, name: str) -> str:
    [row] = [row for row in house("ls", "--json").json()["agents"] if row["name"] == name]
    return str(row["state"])


def test_keys_go_to_the_program_and_ctrl_right_bracket_leaves_it_running(
    lived_in: House, joined: Callable[..., Person]
) -> None:
    lived_in("spawn", "echoes", "--", "cat")
    lived_in("send", "echoes", "said before", "--wait", "140")
    person = joined("attach", "ECHOES")
    person.sees(b"joined to echoes")
    person.sees(b"said before")
    person.type(b"typed by hand\r")
    person.sees(lambda shown: shown.count(b"typed by hand") >= 2)
    person.type(b"not sent" + CTRL_RIGHT_BRACKET + b"nor this")
    assert person.leaves() == 0
    assert b"left echoes" in person.shown
    for calm in (b"\x1b[?1047l", b"\x1b[?25h", b"\x1b[?2004l", b"\x1b[0m"):
        assert calm in person.shown
    assert state_of(lived_in, "echoes") in ("ready", "blocked")
    screen = lived_in("screen", "echoes").out
    assert "not sent" in screen, "what was typed before leaving went to the program"
    assert "nor this" not in screen


def test_every_key_but_one_is_the_programs(lived_in: House, joined: Callable[..., Person]) -> None:
    """Ctrl-C, Ctrl-D, Ctrl-Z and flow control act there, not here."""
    program = (
        "import os,tty\ntty.setraw(0)\nprint('ready> ', end='', flush=True)\n"
        "while True: print(os.read(0,99).hex(), end=' ', flush=True)"
    )
    lived_in("spawn", "keys", "--", "python3", "-c", program)
    person = joined("attach", "keys")
    person.sees(b"ready> ")
    for key in (b"\x03", b"\x04", b"\x1a", b"\x13", b"\x11", b"\x1c", b"\x7f", b"\x1b[A"):
        person.type(key)
        person.sees(key.hex().encode())
    person.type(b"\x1b[93;5u")
    assert person.leaves() == 0


def test_a_watcher_sees_and_cannot_type(lived_in: House, joined: Callable[..., Person]) -> None:
    lived_in("spawn", "shown", "--", "cat")
    person = joined("attach", "--view", "shown")
    person.sees(b"watching shown")
    person.type(b"typed by a watcher\r")
    lived_in("send", "shown", "for all to see", "--wait", "140")
    person.sees(b"for all to see")
    person.type(CTRL_RIGHT_BRACKET)
    assert person.leaves() == 0
    assert "typed by a watcher" not in lived_in("screen", "shown").out


def test_the_program_gets_the_size_of_the_terminal_that_is_joined(
    lived_in: House, joined: Callable[..., Person]
) -> None:
    lived_in("spawn", "sized", "--", "bash", "--norc")
    person = joined("attach", "sized", size=(31, 97))
    assert _size(person) == b"31 97"
    person.resize(33, 101)
    wait_until(lambda: _size(person) == b"33 101", "the new size")
    person.type(CTRL_RIGHT_BRACKET)
    assert person.leaves() == 0


def _size(person: Person) -> bytes:
    """What the shell over there says that its terminal measures."""
    answers = re.compile(rb"[\r\n](\d+ \d+)\r\n")
    before = len(answers.findall(person.shown))
    person.type(b"stty size\r")
    person.sees(lambda shown: len(answers.findall(shown)) > before)
    return answers.findall(person.shown)[-1]


def test_while_a_person_types_messages_wait(lived_in: House, joined: Callable[..., Person]) -> None:
    lived_in("spawn", "busy", "--", "cat")
    person = joined("attach", "busy")
    person.sees(RAW)
    person.type(b"half a line")
    person.sees(b"half a line")
    wait_until(lambda: state_of(lived_in, "busy") == "blocked", "the person being noticed")
    lived_in("send", "busy", "interruption")
    [row] = lived_in("pending", "busy", "--json").json()["pending"]
    assert (row["state"], row["reason"]) == ("held", "human_typing")
    person.type(b"\r")
    person.sees(b"interruption")
    person.type(CTRL_RIGHT_BRACKET)
    assert person.leaves() == 0


def test_when_the_program_ends_the_terminal_comes_back(
    lived_in: House, joined: Callable[..., Person]
) -> None:
    lived_in("spawn", "ends", "--", "cat")
    person = joined("attach", "ends")
    person.sees(RAW)
    person.type(b"\x04")
    assert person.leaves() == 0
    assert b"the program of ends ended" in person.shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["TERM", "HUP"])
def test_a_signal_gives_the_terminal_back(
    number: signal.Signals, lived_in: House, joined: Callable[..., Person]
) -> None:
    name = f"signal{number}"
    lived_in("spawn", name, "--", "cat")
    person = joined("attach", name)
    person.sees(RAW)
    person.type(b"here\r")
    person.sees(lambda shown: shown.count(b"here") >= 2)
    os.kill(person.command_pid(), number)
    assert person.leaves() == 128 + number
    assert state_of(lived_in, name) in ("ready", "blocked")


def test_a_window_that_is_closed_ends_the_command_and_not_the_program(
    lived_in: House, joined: Callable[..., Person]
) -> None:
    lived_in("spawn", "window", "--", "cat")
    person = joined("attach", "window")
    person.sees(RAW)
    person.type(b"here\r")
    person.sees(lambda shown: shown.count(b"here") >= 2)
    command = person.command_pid()
    person.close()
    wait_for_end(command)
    assert state_of(lived_in, "window") in ("ready", "blocked")


def test_run_starts_a_program_in_the_terminal_of_its_caller(
    lived_in: House, joined: Callable[..., Person]
) -> None:
    person = joined("run", "direct", "--", "sh", "-c", "stty size; exec cat -u", size=(28, 90))
    person.sees(b"joined to direct")
    person.sees(b"28 90")
    person.type(b"hello\r")
    person.sees(lambda shown: shown.count(b"hello") >= 2)
    person.type(CTRL_RIGHT_BRACKET)
    assert person.leaves() == 0
    assert state_of(lived_in, "direct") in ("ready", "starting", "blocked")


def test_a_watcher_whose_reader_goes_away_ends_quietly(lived_in: House) -> None:
    lived_in("spawn", "piped", "--", "cat")
    lived_in("send", "piped", "hello", "--wait", "140")
    watch = shlex.join((*ACKBOOK, "attach", "--view", "piped", "--dir", str(lived_in.directory)))
    with subprocess.Popen(
        ["sh", "-c", f"{{ {watch}; echo $? >&2; }} | head -c 1"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.read(1)
        lived_in("send", "piped", "more", "--wait", "140")
        _, said = watcher.communicate(timeout=PATIENCE_S)
    assert b"Traceback" not in said
    assert said.split()[-1] == b"0"


def test_an_unknown_agent_is_no_reason_to_touch_the_terminal(
    lived_in: House, joined: Callable[..., Person]
) -> None:
    person = joined("attach", "nobody")
    assert person.leaves() == 3
    assert b"\x1b[?" not in person.shown


def test_when_the_broker_dies_the_terminal_comes_back(house: House) -> None:
    house.up()
    pid = house("spawn", "orphan", "--json", "--", "cat").json()["pid"]
    person = Person(house, ("attach", "orphan"), (24, 80))
    try:
        person.sees(b"joined to orphan")
        person.sees(RAW)
        person.type(b"here\r")
        person.sees(lambda shown: shown.count(b"here") >= 2)
        house.kill_broker()
        # Which of the two depends on how far the dying process has come.
        said = {3: b"no broker is running", 74: b"the connection to the broker"}
        assert said[person.leaves()] in person.shown
    finally:
        person.close()
        house.up()
        house("down")
        wait_for_end(pid)
