"""A program for an agent in whose session a test runs commands, as the agent itself would.

It is a shell that reads one script after the other from a pipe with a name, in its terminal, its
session and its environment. The broker may end meanwhile.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from tests.support.holders import ROOT, eventually
from tests.support.shell import ACKBOOK, Done

ASKS = (sys.executable, "-P", "-m", "tests.support.asks_socket")
"""One request over the socket of a broker's directory."""

NOTHING = ("env", "-i", f"PYTHONPATH={ROOT}")
"""What an agent shows of itself that runs a command so."""


class AgentSession:
    """A session that is about to be an agent's, once `command` is spawned."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._pipe = directory / "scripts"
        self._at = directory
        os.mkfifo(self._pipe, 0o600)
        self._count = 0

    @property
    def command(self) -> tuple[str, ...]:
        return ("sh", "-c", 'while :; do sh < "$0"; done', str(self._pipe))

    def ackbook(self, *arguments: str | Path, before: tuple[str, ...] = ()) -> Done:
        """Run a command of ours there, to its end. `before`: what runs it, `NOTHING` for one."""
        return self.run(*before, *ACKBOOK, *map(str, arguments))

    def asks(
        self,
        directory: Path,
        method: str,
        path: str,
        body: str = "{}",
        *headers: str,
        before: tuple[str, ...] = NOTHING,
    ) -> Done:
        """Ask over the socket in a directory from there: `out` is the status and the answer."""
        return self.run(*before, *ASKS, str(directory), method, path, body, *headers)

    def run(self, *command: str) -> Done:
        """Run a command there, to its end."""
        self._count += 1
        said = {each: self._at / f"{self._count}.{each}" for each in ("out", "err", "code")}
        out, err, code = (shlex.quote(str(path)) for path in said.values())
        script = f"{shlex.join(command)} >{out} 2>{err}; echo $? >{code}.new; mv {code}.new {code}"
        self._pipe.write_text(f"{script}\n")
        eventually(said["code"].exists, f"the end of {command}")
        return Done(int(said["code"].read_text()), said["out"].read_text(), said["err"].read_text())
