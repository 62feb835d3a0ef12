"""Launch spec: what to run under which name, as it is asked for, as it is recorded, and once more.

The journal keeps everything of an order but the values of its environment.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import msgspec

from ackbook.broker.core.commands import Spawn
from ackbook.broker.wire.frames import Launch
from ackbook.broker.wire.identity import TOKEN_VARIABLE, hash_of
from ackbook.projections.facts import AgentSpawned, Program


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, under which name. `env` are values of its own, which are never recorded.

    A program whose `cwd` is empty runs where its broker does. Without a `token` it gets a new one.
    """

    program: Program
    env: dict[str, str] = {}
    idle_threshold_s: int = 30
    token: str = ""


def command_line(cli: str, args: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """A program and its arguments; `cli` may be a whole command line. Raises ValueError."""
    if not args and shutil.which(cli) is None:
        words = shlex.split(cli)
        if words:
            return words[0], tuple(words[1:])
    return cli, args


def again(
    spawned: AgentSpawned, values: dict[str, str], source: str, count: int, commander: str = ""
) -> Order:
    """The order that a record tells of, with the values of its environment that are known.
    `commander`: who wishes for it this time; the rules, where it is empty."""
    program = msgspec.structs.replace(
        spawned, source=source, restart_count=count, commander=commander
    )
    return Order(program=program, env=values)


def recorded(order: Order, frame: Launch, path: Path, pid: int) -> Spawn:
    """The command that makes it durable, now that it runs. Names of values only."""
    program = msgspec.structs.replace(
        order.program,
        name=frame.name,
        generation=frame.generation,
        pid=pid,
        cwd=frame.cwd,
        env_names=tuple(sorted(order.env)),
        holder=path.name,
        token_sha256=hash_of(frame.env[TOKEN_VARIABLE]),
    )
    return Spawn(program=program)
