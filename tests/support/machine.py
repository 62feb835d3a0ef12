"""What a machine may do to a process: a disk without room, standing still, limits of the kernel."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.brokers import Running
from tests.support.holders import eventually

MIB = 1024 * 1024


@contextlib.contextmanager
def small_disk(broker: Running, megabytes: int = 4) -> Iterator[Path]:
    """The broker's directory on a file system of its own; a path for what fills it."""
    broker.directory.mkdir()
    options = f"size={megabytes}m,mode=0700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "ackbook-test", str(broker.directory)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a file system can be mounted by root only")
    try:
        yield broker.directory / "ballast"
    finally:
        broker.close()
        subprocess.run(["umount", "--lazy", str(broker.directory)], check=True)


def fill(ballast: Path) -> None:
    """Take every byte that is left."""
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4_096))


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process stands still for the length of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: status(pid) == "T", "it stands still")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def limit(pid: int, which: int, value: int) -> Callable[[], None]:
    """Set a soft limit of a running process; what is given takes it back."""
    soft, hard = resource.prlimit(pid, which)
    resource.prlimit(pid, which, (value, hard))

    def restore() -> None:
        resource.prlimit(pid, which, (soft, hard))

    return restore


def free_descriptor(pid: int) -> int:
    """The lowest number of a descriptor that the process does not use: as a limit, it allows no
    further one."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return next(number for number in range(len(used) + 1) if number not in used)


def address_space(pid: int) -> int:
    """The bytes that the process has mapped."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def processes(*words: str) -> list[int]:
    """Those that were started with all of these words."""
    wanted, found = {word.encode() for word in words}, []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if wanted <= set(entry.read_bytes().split(b"\0")):
                found.append(int(entry.parent.name))
    return found


def status(pid: int) -> str:
    """One letter: what the process does now."""
    return stat_of(pid)[0]


def parent(pid: int) -> int:
    """Of which process it is a child."""
    return int(stat_of(pid)[1])


def stat_of(pid: int) -> list[str]:
    """What the kernel says of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
