"""Holders for tests: start a real one, or the scripted one, and speak to it as a broker does.

Everything is synchronous and waits for conditions with a deadline. A holder that a test started is
gone when its `with` block ends, and so is its program, whatever happened in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.runtime.system import unix_sockets
from ackbook.broker.wire.frames import (
    AttemptSettled,
    BrokerFrame,
    Hello,
    HolderFrame,
    Launch,
    Named,
    Output,
    ScreenAsked,
    ScreenShown,
    TerminalCondition,
    TypeOrder,
    Welcome,
    decode_holder,
    encode,
)
from ackbook.projections.facts import AgentName, DeliveryId, EventId, HeldReason

DEADLINE_S = 150.0
"""Generous: every core may be busy with something else. Only what is broken takes so long."""

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = Path(__file__).parent / "programs"
REAL = ("-m", "ackbook.broker.runtime.holder")
FAKE = ("-m", "tests.support.fake_holder")

T = TypeVar("T")
F = TypeVar("F", bound=HolderFrame)


class Link:
    """A broker's end of one connection. Every frame that arrived is kept in `frames`."""

    def __init__(self, path: str) -> None:
        self._socket = unix_sockets.connect(path)
        self._socket.setblocking(True)
        self._unread = b""
        self.frames: list[HolderFrame] = []
        self.closed = False

    def send(self, *frames: BrokerFrame) -> None:
        self._socket.sendall(b"".join(map(encode, frames)))

    def send_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def hello(
        self,
        epoch: int = 1,
        instance: str = "one",
        journal_id: str = "j",
        lineages: tuple[str, ...] = (),
    ) -> Welcome:
        self.send(Hello(epoch=epoch, journal_id=journal_id, instance=instance, lineages=lineages))
        welcome = self.wait(Welcome)
        assert self.frames[0] is welcome, "nothing is said before the welcome"
        return welcome

    def wait(self, kind: type[F], until: Callable[[F], bool] = lambda frame: True) -> F:
        """The first frame of that kind, among all that came or come, for which `until` holds."""
        checked = 0
        deadline = time.monotonic() + DEADLINE_S
        while True:
            for frame in self.frames[checked:]:
                if isinstance(frame, kind) and until(frame):
                    return frame
            checked = len(self.frames)
            if not self._receive(deadline):
                raise AssertionError(f"no such {kind.__name__}; there were {self.frames[-12:]}")

    def _receive(self, deadline: float) -> bool:
        if self.closed or (left := deadline - time.monotonic()) <= 0:
            return False
        self._socket.settimeout(left)
        try:
            data = self._socket.recv(1 << 16)
        except (TimeoutError, ConnectionResetError) as error:
            self.closed = isinstance(error, ConnectionResetError)
            return False
        if not data:
            self.closed = True
            return False
        *lines, self._unread = (self._unread + data).split(b"\n")
        self.frames += map(decode_holder, lines)
        return True

    def wait_closed(self) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while self._receive(deadline):
            pass
        assert self.closed, "the holder kept the connection"

    def close(self) -> None:
        self._socket.close()

    # --- what most tests say

    def ready(self) -> TerminalCondition:
        """Wait until the terminal takes input: at first, or again."""
        return self._until(lambda condition: condition.state == "ready", "ready")

    def blocked(self, reason: HeldReason) -> TerminalCondition:
        """Wait until this stands in the way."""
        return self._until(lambda condition: condition.reason == reason, reason)

    def _until(self, holds: Callable[[TerminalCondition], bool], what: str) -> TerminalCondition:
        deadline = time.monotonic() + DEADLINE_S
        while not holds(condition := self.condition()):
            assert self._receive(deadline), f"never {what}: {self.frames[-12:]}"
        return condition

    def condition(self) -> TerminalCondition:
        """The condition as it was told last."""
        for frame in reversed(self.frames):
            if isinstance(frame, TerminalCondition):
                return frame
            if isinstance(frame, Welcome):
                return frame.condition
        raise AssertionError("no condition was told")

    def report(self, order: TypeOrder, until: Callable[[Report], bool]) -> Report:
        key = (order.delivery_id, order.attempt)
        return self.wait(
            Report, lambda each: (each.delivery_id, each.attempt) == key and until(each)
        )

    def screen(self) -> str:
        """The plain text of the screen now."""
        request = len(self.frames) + 1_000_000
        self.send(ScreenAsked(request=request))
        return self.wait(ScreenShown, lambda shown: shown.request == request).text

    def output(self) -> bytes:
        """Everything that was watched so far."""
        return b"".join(each.data for each in self.frames if isinstance(each, Output))

    def settle(self, order: TypeOrder) -> None:
        self.send(AttemptSettled(delivery_id=order.delivery_id, attempt=order.attempt))


class Holder:
    """A holder process. `link` is the first broker's connection."""

    def __init__(self, process: subprocess.Popen[bytes], launch: Launch, log: Path) -> None:
        self.process = process
        self.launch = launch
        self.log = log
        self._links: list[Link] = []

    def connect(self) -> Link:
        link = Link(self.launch.socket)
        self._links.append(link)
        return link

    def join(self, epoch: int = 1, instance: str = "one") -> Link:
        """A greeted connection of a broker that has named the holder."""
        link = self.connect()
        link.hello(epoch, instance)
        link.send(Named())
        return link

    def wait(self) -> int:
        """Until the holder has ended by itself."""
        return self.process.wait(DEADLINE_S)

    def close(self) -> None:
        for link in self._links:
            link.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def environment(**more: str) -> dict[str, str]:
    """What a program of a test gets: nothing that a developer's own settings could change."""
    home = os.environ.get("HOME", "/")
    return {"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8", "PS1": "$ "} | more


def launch(directory: Path, *command: str, **more: object) -> Launch:
    """An order to run a command, with everything else as tests like it."""
    order: dict[str, object] = {
        "name": AgentName("a"),
        "generation": 1,
        "command": command[0],
        "args": command[1:],
        "cwd": str(directory),
        "env": environment(),
        "socket": str(directory / "s"),
        "spool": str(directory / "spool"),
    }
    return msgspec.convert(order | more, Launch)


@contextlib.contextmanager
def start(
    order: Launch,
    module: tuple[str, ...] = REAL,
    before_exec: Callable[[], None] | None = None,
) -> Iterator[Holder]:
    """A holder that has said `ready`, for the length of the block."""
    process, log = popen(order, module, before_exec=before_exec)
    holder = Holder(process, order, log)
    try:
        assert process.stdout is not None
        said = process.stdout.readline().decode()
        assert said == "ready\n", said + log.read_text()
        yield holder
    finally:
        holder.close()


def popen(
    order: Launch,
    module: tuple[str, ...] = REAL,
    directory: Path | None = None,
    before_exec: Callable[[], None] | None = None,
) -> tuple[subprocess.Popen[bytes], Path]:
    """A holder process that has been given its order; its standard input stays open."""
    name = (directory or Path(order.socket).parent) / "log"
    with open(name, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, *module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=before_exec,
            restore_signals=before_exec is None,
            close_fds=before_exec is None,
        )
    assert process.stdin is not None
    process.stdin.write(encode(order))
    process.stdin.flush()
    return process, name


@contextlib.contextmanager
def running(
    *command: str, module: tuple[str, ...] = REAL, **more: object
) -> Iterator[tuple[Holder, Link]]:
    """A holder of this command in a directory of its own, named, and ready for messages."""
    with (
        short_directory() as directory,
        start(launch(directory, *command, **more), module) as holder,
    ):
        link = holder.join()
        link.ready()
        yield holder, link


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose name is short, as sockets like it; gone after the block."""
    directory = Path(tempfile.mkdtemp(prefix="holder-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def program(name: str, *arguments: str) -> tuple[str, ...]:
    """The command of one of the test programs."""
    return (sys.executable, str(PROGRAMS / f"{name}.py"), *arguments)


def chat(kept: Path) -> tuple[str, ...]:
    """The command of the chat program of the demo, which keeps its transcript there."""
    return (sys.executable, str(ROOT / "tools" / "demo" / "chat.py"), str(kept))


def message(number: int, body: str, **more: object) -> TypeOrder:
    """An order to type a message from a colleague."""
    order: dict[str, object] = {
        "delivery_id": DeliveryId(f"del_{number:x}_1"),
        "event_id": EventId(f"evt_{number:x}"),
        "attempt": 1,
        "generation": 1,
        "header": f"Relay message from bob [evt_{number:x}]: ",
        "body": body,
    }
    return msgspec.convert(order | more, TypeOrder)


def gone(pid: int) -> bool:
    """Whether nothing is left of a process but perhaps its exit code."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat[stat.rindex(")") + 2] in "ZX"


def parent_of(pid: int) -> int:
    """The holder of a program, seen from the program."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat[stat.rindex(")") + 2 :].split()[1])


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds that nobody tells of."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)


def becomes(read: Callable[[], T], expected: T) -> None:
    """Wait until what can be read is what is expected, and fail with the difference."""
    deadline = time.monotonic() + DEADLINE_S
    while (found := read()) != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found == expected


def transcript(path: Path) -> list[str]:
    """The messages that the chat program kept."""
    if not path.exists():
        return []
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


def numbers(kept: Path) -> list[int]:
    """The numbers of the messages that a program kept, in its order."""
    found = [re.search(r"number (\d+)", text) for text in transcript(kept)]
    return [int(match[1]) for match in found if match is not None]
