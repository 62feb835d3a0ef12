"""The stage: one fresh directory, the commands that are run in it, and the end of all of it.

Every command is shown before its outcome, in the form in which a reader can type it. Whoever was
started here carries the directory in the environment, so that at the end, good or bad, exactly
those processes can be found and ended. The directory stays for looking around.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.text import Text

from ackbook.tools.demo.burst import BrokerAddress, read_connection

COMMAND_S_MAX = 60.0
"""No command of the story takes longer on a machine that works."""

END_S_MAX = 15.0
"""How long processes may take to be gone after `down`."""

AnswerT = TypeVar("AnswerT")


class Broken(Exception):
    """A proof does not hold; the message says which one and what was found instead."""


class Stage:
    """Runs commands in a directory of its own and shows what it does."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ackbook-demo-"))
        self.home = self.directory / ".ackbook"
        self.console = Console(highlight=False, markup=False, emoji=False)
        self._proofs = 0
        foreign = ("ACKBOOK_", "RELAY_", "PYTHON")
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)} | {
            "ACKBOOK_DIR": str(self.home),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        }

    @property
    def proofs(self) -> int:
        """How many proofs have held so far."""
        return self._proofs

    def act(self, title: str) -> None:
        self.console.print()
        self.console.print(Text(title, style="bold cyan"))

    def say(self, text: str) -> None:
        self.console.print(Text(text))

    def prove(self, holds: bool, text: str, found: object = "") -> None:
        """Show that something is so. Raises `Broken` when it is not."""
        if not holds:
            raise Broken(f"{text}; found {found}" if found != "" else text)
        self._proofs += 1
        self.console.print(Text.assemble(("  ✓ ", "bold green"), text))

    def show(self, *command: str) -> None:
        """Run a command for its output. Raises `Broken` when it does not end with 0."""
        line = shlex.join(("ackbook", *command))
        self.note(f"$ {line}")
        done = subprocess.run(
            ("ackbook", *command),
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            timeout=COMMAND_S_MAX,
            check=False,
        )
        if done.returncode != 0:
            raise Broken(f"'{line}' ended with exit code {done.returncode}")

    def ask(self, answer: type[AnswerT], *command: str) -> AnswerT:
        """Run a command with `--json`, unseen, for the object that it answers. Raises `Broken`
        when it does not end with 0."""
        return msgspec.json.decode(self._answer(command), type=answer)

    def ask_lines(self, answer: type[AnswerT], *command: str) -> list[AnswerT]:
        """The same for a command that answers one object a line. Raises `Broken`, too."""
        return msgspec.json.Decoder(answer).decode_lines(self._answer(command))

    def broker(self) -> BrokerAddress:
        """Where the broker listens now, as it wrote it into its directory."""
        return read_connection(self.home)

    def _answer(self, command: tuple[str, ...]) -> bytes:
        line = ("ackbook", *command, "--json")
        done = subprocess.run(
            line,
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=COMMAND_S_MAX,
            check=False,
        )
        if done.returncode != 0:
            raise Broken(f"'{shlex.join(line)}' ended with exit code {done.returncode}")
        return done.stdout

    def note(self, text: str) -> None:
        """Something that is done here, as opposed to what comes of it."""
        self.console.print(Text(text, style="dim"), soft_wrap=True)
        sys.stdout.flush()

    def processes(self) -> list[int]:
        """Everyone alive who was started on this stage: broker, holders and programs."""
        mark = f"ACKBOOK_DIR={self.home}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def is_empty(self) -> bool:
        """Whether everyone has gone, given a moment to do so."""
        deadline = time.monotonic() + END_S_MAX
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self.processes()

    def clear(self) -> None:
        """End whoever is left over after a failure or an interruption."""
        if not self.processes():
            return
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ("ackbook", "down"),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=END_S_MAX,
                check=False,
            )
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
