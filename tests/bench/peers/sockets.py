"""Redis and beanstalkd, spoken to in their own bytes over bare sockets.

A client library would cost more than the server, so there is none: every connection's request is
sent, then every answer is read, and so on. For Redis there is a second way, told apart: a client
that gathers the commands of its producers and pipelines them on one connection.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import VALUE, Peer
from .processes import connects, free_port, libraries, program, server

RECEIVE_BYTES = 64 * 1024


class _Asking:
    """One request, and how its answer begins; an answer is one line."""

    def __init__(
        self, family: int, address: str | tuple[str, int], request: bytes, answer: bytes
    ) -> None:
        self.family = family
        self.address = address
        self.request = request
        self.answer = answer

    def spread(self, producers: int, records: int) -> float:
        """Each producer on a connection of its own."""
        with ExitStack() as stack:
            lines = [stack.enter_context(self._connect()) for _ in range(producers)]
            begun = time.perf_counter()
            for _ in range(records // producers):
                for line in lines:
                    line.sendall(self.request)
                for line in lines:
                    self._read(line, 1)
            return records // producers * producers / (time.perf_counter() - begun)

    def pipelined(self, producers: int, records: int) -> float:
        """All producers' requests in one piece, on one connection."""
        with self._connect() as line:
            begun = time.perf_counter()
            for _ in range(records // producers):
                line.sendall(self.request * producers)
                self._read(line, producers)
            return records // producers * producers / (time.perf_counter() - begun)

    def _connect(self) -> socket.socket:
        line = socket.socket(self.family)
        line.connect(self.address)
        return line

    def _read(self, line: socket.socket, answers: int) -> None:
        while answers:
            got = line.recv(RECEIVE_BYTES)
            assert got.startswith((self.answer, b"\n")) or answers > 1, got
            answers -= got.count(b"\n")


class _Served:
    def __init__(self, pid: int, version: str, run: Callable[[int, int], float]) -> None:
        self.pids = [pid]
        self.version = version
        self.run = run


@contextmanager
def redis(directory: Path) -> Iterator[Peer]:
    """Each producer on a connection of its own."""
    with _redis(directory) as (pid, version, asking):
        yield _Served(pid, version, asking.spread)


@contextmanager
def redis_pipelined(directory: Path) -> Iterator[Peer]:
    """One client that gathers the commands of all its producers and sends them in one piece."""
    with _redis(directory) as (pid, version, asking):
        yield _Served(pid, version, asking.pipelined)


@contextmanager
def _redis(directory: Path) -> Iterator[tuple[int, str, _Asking]]:
    """An append-only file with `appendfsync always`, never rewritten."""
    command = program("redis-server")
    with tempfile.TemporaryDirectory(prefix="bench") as short:
        path = os.path.join(short, "redis.sock")
        options = f"--port 0 --unixsocket {path} --dir {directory} --appendonly yes"
        options += " --appendfsync always --auto-aof-rewrite-percentage 0 --save"
        request = b"*3\r\n$5\r\nRPUSH\r\n$1\r\nq\r\n$%d\r\n%b\r\n" % (len(VALUE), VALUE)
        asking = _Asking(socket.AF_UNIX, path, request, b":")
        with server(
            [command, *options.split(), ""],
            lambda: connects(socket.AF_UNIX, path),
            signal.SIGTERM,
        ) as process:
            yield process.pid, _version(command, "--version"), asking


@contextmanager
def beanstalkd(directory: Path) -> Iterator[Peer]:
    """A write-ahead log that is synced at every write."""
    command, port = program("beanstalkd"), free_port()
    address = ("127.0.0.1", port)
    request = b"put 0 0 60 %d\r\n%b\r\n" % (len(VALUE), VALUE)
    asking = _Asking(socket.AF_INET, address, request, b"INSERTED")
    with server(
        [command, "-l", address[0], "-p", str(port), "-b", str(directory), "-f0"],
        lambda: connects(socket.AF_INET, address),
        signal.SIGTERM,
    ) as process:
        yield _Served(process.pid, _version(command, "-v"), asking.spread)


def _version(command: str, option: str) -> str:
    told = subprocess.run(
        (command, option),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LD_LIBRARY_PATH": libraries()},
    )
    return " ".join(told.stdout.split()[:3])
