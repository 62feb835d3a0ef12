"""Left over: what agents started and what runs on when their broker has ended.

A holder ends everything in its program's session. Two kinds get away: who left the session
(`setsid`, a daemon), and who may not be ended by this user (`sudo`). The first carry the broker's
directory and their agent's name in the environment, as everything does that an agent starts; the
second stand in the session that the agent's program opened. This module ends nobody: what was made
to outlive its session may be meant to.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from ackbook.broker.runtime.system.processes import Stat, everyone

GONE_S_MAX = 3.0
"""Who was told to end, or is just about to, is gone by then; who is not, runs on."""

LOOK_S = 0.05
"""Between two looks at who still runs."""

COMMAND_CHARS_MAX = 200
"""Of a command line: several are told in one sentence."""


class LeftOver(msgspec.Struct, frozen=True):
    """A process of an agent: its pid, its command line, and whose it is."""

    pid: int
    command: str
    agent: str


def left_over(directory: str, sessions: Mapping[int, str]) -> list[LeftOver]:
    """Who still runs, given some seconds to be gone, in the order of their pids.

    `directory`: the broker's, as it names it itself. `sessions`: the agents' names by the pids of
    their programs. Ourselves, and who waits for us, are none of them.
    """
    deadline = time.monotonic() + GONE_S_MAX
    while (found := _found(directory, sessions)) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return found


def _found(directory: str, sessions: Mapping[int, str]) -> list[LeftOver]:
    living = {each.pid: each for each in everyone()}
    found = []
    for pid in sorted(living.keys() - _line_of(os.getpid(), living)):
        agent = sessions.get(living[pid].session) or _agent_of(pid, directory)
        if agent is not None:
            found.append(LeftOver(pid, _command_of(living[pid]), agent))
    return found


def _line_of(pid: int, living: Mapping[int, Stat]) -> set[int]:
    """A process, its parent, and so on."""
    line = set()
    while pid in living and pid not in line:
        line.add(pid)
        pid = living[pid].parent
    return line


def _agent_of(pid: int, directory: str) -> str | None:
    """Whose a process is by its environment; None where it is nobody's, or not ours to read."""
    with suppress(OSError):
        values = dict(_pairs(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")))
        if values.get(b"ACKBOOK_DIR") == os.fsencode(directory):
            agent = values.get(b"RELAY_AGENT_NAME")
            return None if agent is None else agent.decode(errors="replace")
    return None


def _pairs(lines: Iterable[bytes]) -> Iterable[tuple[bytes, bytes]]:
    for line in lines:
        name, _, value = line.partition(b"=")
        yield name, value


def _command_of(process: Stat) -> str:
    """The command line; the short name in brackets, as `ps` shows it, where there is none."""
    words: list[str] = []
    with suppress(OSError):
        line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        words = line.decode(errors="replace").rstrip("\0").split("\0")
    command = shlex.join(words) if any(words) else f"[{process.name}]"
    return command[:COMMAND_CHARS_MAX]
