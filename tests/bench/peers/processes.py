"""Servers of a bench: found, started, waited for, and ended by their pid."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from . import Missing

FETCHED = Path(__file__).parent.parent.parent.parent / "build" / "peers"
"""Where `fetch.sh` unpacks what the machine does not have."""

START_S_MAX = 30.0
END_S_MAX = 30.0


def program(name: str) -> str:
    """The path of a server's program."""
    places = [FETCHED / "usr" / "bin" / name, *Path("/usr/lib/postgresql").glob(f"*/bin/{name}")]
    for place in places:
        if place.exists():
            return str(place)
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def libraries() -> str:
    """Where the fetched programs find what they are linked with."""
    lib = FETCHED / "usr" / "lib"
    return ":".join(map(str, (*lib.glob("*-linux-gnu"), lib)))


@contextmanager
def server(
    command: Sequence[str], ready: Callable[[], bool], end: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs until the block is left; then it gets the signal `end`, and is killed if that fails."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LD_LIBRARY_PATH": libraries(), "LC_ALL": "C"},
    )
    try:
        deadline = time.monotonic() + START_S_MAX
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise Missing(f"{command[0]} did not start")
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def connects(family: int, address: str | tuple[str, int]) -> bool:
    """Whether somebody listens there."""
    with socket.socket(family) as probe:
        try:
            probe.connect(address)
        except OSError:
            return False
        return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
