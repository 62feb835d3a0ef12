"""A shell for tests: the real `ackbook` in a directory of its own, and how each command ended.

Nothing of the tester's own environment is heard. A house that still has a broker when its test is
over is closed: the broker is asked to end, and killed by its number when it does not.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from ackbook.tools.main import main
from tests.support.preloaded import Preloaded

ACKBOOK = (sys.executable, "-P", "-m", "ackbook")
PATIENCE_S = 150.0
"""For one command, on a machine whose every core is busy with something else."""

FOREIGN = ("ACKBOOK_DIR", "RELAY_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHON")


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one object on standard output."""
        [line] = self._lines()
        return json.loads(line)

    def lines(self) -> list[Any]:
        """One object a line."""
        return [json.loads(line) for line in self._lines()]

    def _lines(self) -> list[str]:
        """Lines end at a newline and nowhere else: U+2028 is data."""
        return self.out.removesuffix("\n").split("\n") if self.out else []


def environment(**more: str) -> dict[str, str]:
    """What a command sees: ours without what would change its behaviour."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**own, "LC_ALL": "C.UTF-8", **more}


def ackbook(
    *arguments: str | Path,
    cwd: Path,
    stdin: bytes = b"",
    env: dict[str, str] | None = None,
    program: tuple[str, ...] = ACKBOOK,
    fresh: bool = False,
) -> Done:
    """Run a command to its end. `ackbook` begins where Python and its imports are done, unless it
    is to be a `fresh` one."""
    fresh = fresh or program != ACKBOOK or any(name.startswith("COVERAGE_") for name in os.environ)
    if not fresh:
        words, seen = [*map(str, arguments)], environment(**(env or {}))
        code, out, err = _preloaded().run(words, cwd, seen, stdin, PATIENCE_S)
        return Done(code, out.decode(), err.decode())
    ended = subprocess.run(
        [*program, *map(str, arguments)],
        cwd=cwd,
        env=environment(**(env or {})),
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Done(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


@functools.cache
def _preloaded() -> Preloaded:
    return Preloaded()


def run_here(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Done:
    """A command in this process, for tests that run hundreds of them."""
    with patch("sys.argv", ["ackbook", *map(str, arguments)]):
        code = main()
    said = capsys.readouterr()
    return Done(code, said.out, said.err)


def wait_until(holds: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Look again and again until something is so; fails when it never comes to be."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {what}"
        time.sleep(0.02)


def wait_for_end(pid: int) -> None:
    """Until the process is gone, whoever's child it is."""
    wait_until(lambda: not _runs(pid), f"the end of process {pid}")


class House:
    """A directory with a broker in it, or about to have one."""

    def __init__(self, root: Path, name: str = ".ackbook") -> None:
        self.root = root
        self.directory = root / name

    def __call__(
        self,
        *arguments: str | Path,
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
        fresh: bool = False,
    ) -> Done:
        """Run a command here, as its user would."""
        here = {"ACKBOOK_DIR": str(self.directory), **(env or {})}
        return ackbook(*arguments, cwd=self.root, stdin=stdin, env=here, fresh=fresh)

    def up(self, *options: str) -> Any:
        """Start the broker in the background, by a process that waits for its output to be closed;
        what it said of itself."""
        done = self("up", "--background", "--json", *options, fresh=True)
        assert done.code == 0, done.err
        return done.json()

    @property
    def broker_pid(self) -> int | None:
        try:
            connection = json.loads((self.directory / "connection.json").read_bytes())
        except FileNotFoundError:
            return None
        return int(connection["pid"])

    def kill_broker(self) -> None:
        """End the broker without a word."""
        pid = self.broker_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)

    def close(self) -> None:
        """Leave nothing running."""
        pid = self.broker_pid
        if pid is None or not _runs(pid):
            return
        if self("down").code != 0 and _runs(pid):
            os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)


def _runs(pid: int) -> bool:
    """Whether the process does something still; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
