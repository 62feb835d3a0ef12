"""A broker of its own for a bench, on the disk that is measured, ended whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec


class Connection(msgspec.Struct, frozen=True):
    """Where the broker listens, as it wrote it into its directory."""

    url: str
    port: int
    api_key: str


class Broker:
    """Runs commands against one directory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        foreign = ("ACKBOOK_", "RELAY_")
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        self._environment["ACKBOOK_DIR"] = str(home)
        self._command = Path(sys.executable).parent / "ackbook"

    @property
    def connection(self) -> Connection:
        found = (self.home / "connection.json").read_bytes()
        return msgspec.json.decode(found, type=Connection)

    def run(self, *command: str) -> None:
        subprocess.run(
            (str(self._command), *command),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )


@contextmanager
def running_broker(directory: Path) -> Iterator[Broker]:
    """A broker in a new directory under this one, gone with its agents afterwards."""
    with tempfile.TemporaryDirectory(dir=directory) as home:
        broker = Broker(Path(home) / "ackbook")
        broker.run("up", "--background")
        try:
            yield broker
        finally:
            broker.run("down")
