"""PostgreSQL with `synchronous_commit=on`, one connection a producer, through asyncpg."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..loops import run
from . import VALUE, Missing, Peer
from .processes import connects, program, server

NOBODY = 65534
CONNECTIONS_MAX = 100


class _Postgres:
    def __init__(self, pid: int, version: str, sockets: str) -> None:
        self._pid = pid
        self.version = version
        self._sockets = sockets
        try:
            self._library: Any = importlib.import_module("asyncpg")
        except ImportError as error:
            raise Missing("asyncpg is not installed") from error

    @property
    def pids(self) -> list[int]:
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return [self._pid, *map(int, children)]

    def run(self, producers: int, records: int) -> float:
        return run(self._produce(producers, records))

    async def _produce(self, producers: int, records: int) -> float:
        lines = [await self._connect() for _ in range(producers)]
        await lines[0].execute("CREATE TABLE IF NOT EXISTS q (id bigserial PRIMARY KEY, v bytea)")
        inserts = [await line.prepare("INSERT INTO q (v) VALUES ($1)") for line in lines]

        async def one(insert: Any) -> None:
            for _ in range(records // producers):
                await insert.fetch(VALUE)

        begun = time.perf_counter()
        await asyncio.gather(*map(one, inserts))
        took = time.perf_counter() - begun
        for line in lines:
            await line.close()
        return records // producers * producers / took

    async def _connect(self) -> Any:
        return await self._library.connect(
            host=self._sockets, user="bench", database="postgres", ssl=False
        )


@contextmanager
def postgres(directory: Path) -> Iterator[Peer]:
    """A cluster of its own. It refuses to run as root, and becomes nobody there."""
    command = program("postgres")
    version = subprocess.run(
        (command, "--version"), capture_output=True, text=True, check=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="bench") as sockets:
        become: list[str] = []
        if os.getuid() == 0:
            for path in (str(directory), sockets):
                os.chown(path, NOBODY, NOBODY)
            become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        data = str(directory / "data")
        made = subprocess.run(
            [*become, program("initdb"), "-D", data, "-U", "bench", "-A", "trust", "-N"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        if made.returncode:
            raise Missing(f"initdb failed: {made.stderr.strip()}")
        options = ["-c", "listen_addresses=", "-c", "synchronous_commit=on", "-c", "fsync=on"]
        options += ["-c", f"max_connections={CONNECTIONS_MAX}", "-k", sockets]
        path = os.path.join(sockets, ".s.PGSQL.5432")
        with server(
            [*become, command, "-D", data, *options],
            lambda: connects(socket.AF_UNIX, path),
            signal.SIGINT,
        ) as process:
            yield _Postgres(process.pid, version.removeprefix("postgres "), sockets)
