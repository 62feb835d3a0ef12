"""Who runs: processes and sessions as `/proc` tells of them, and how a session ends.

The name of a session is the pid of the process that opened it. This module knows Linux.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ackbook.broker.wire.profiles import SHELLS

_LISTENS = "0A"
"""The state of a listening socket in `/proc/net/tcp` (TCP_LISTEN of the kernel's tcp_states.h)."""


class Stat(msgspec.Struct, frozen=True):
    """What `/proc/PID/stat` says of a process. `started`, in clock ticks since the machine was
    booted (proc(5), field 22), tells it from a later one of its pid."""

    pid: int
    name: str
    state: str
    parent: int
    group: int
    session: int
    started: int


def stat(pid: int) -> Stat | None:
    """None when there is no such process, or only what is left of one."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            line = file.read()
    except OSError:
        return None
    name = line[line.index("(") + 1 : line.rindex(")")]
    fields = line[line.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return Stat(
        pid, name, fields[0], int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19])
    )


def started_at(pid: int) -> int:
    """When a process began, which tells it from a later one of its pid; 0 when there is none."""
    found = stat(pid)
    return 0 if found is None else found.started


def session_of(pid: int) -> int:
    """The session that a process is in; 0 when there is no such process."""
    found = stat(pid)
    return 0 if found is None else found.session


def everyone() -> list[Stat]:
    """Every living process."""
    return list(_living())


def _living() -> Iterator[Stat]:
    """Every living process, looked up when it is asked for."""
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit() and (found := stat(int(entry.name))) is not None:
                yield found


def session_members(leader: int) -> list[int]:
    """The living processes of the session that `leader` opened."""
    return [each.pid for each in everyone() if each.session == leader]


def kill_session(leader: int) -> bool:
    """End everything in the session that `leader` opened. False when there is nothing in it.

    The pid must not have come to mean somebody else's: its parent has not collected it yet. Each is
    ended as soon as it is found, before it can beget another one that was not there to be found.
    """
    members = 0
    for each in _living():
        if each.session == leader:
            members += 1
            send_signal(signal.SIGKILL, [each.pid])
    return members > 0


def holds_lock(pid: int, path: Path) -> bool:
    """Whether this process has a lock (`flock`) on this very file, whatever is its path by now.
    False for a process that may not be looked at: it is another user's."""
    try:
        wanted = os.stat(path)
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(f"/proc/{pid}/fd/{number}"), wanted):
                    about = Path(f"/proc/{pid}/fdinfo/{number}").read_text()
                    if re.search(r"^lock:.*\bFLOCK\b.*\bWRITE\b", about, re.MULTILINE):
                        return True
    except OSError:
        return False
    return False


def listens_at(pid: int, port: int) -> bool:
    """Whether this process listens at this TCP port. False for one that may not be looked at."""
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for row in Path(table).read_text().splitlines()[1:]:
                fields = row.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f"/proc/{pid}/fd/{number}") in found:
                    return True
    return False


def in_front(group: int) -> Stat | None:
    """The program that a person would say is running in this process group.

    That is its leader; but a shell that runs a program in its own group stands behind it.
    """
    program = stat(group)
    if program is None:
        return None
    members = [each for each in everyone() if each.group == group]
    while program.name.lstrip("-") in SHELLS:
        children = [each for each in members if each.parent == program.pid]
        if len(children) != 1:
            break
        program = children[0]
    return program


def send_signal(number: signal.Signals, pids: list[int]) -> None:
    """Send it to each of these that is still there and may be sent it."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
