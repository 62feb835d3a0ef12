"""Orders: what to run under which name, as it is asked for, as it is recorded, and once more.

The journal keeps everything of an order but the values of its environment.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import msgspec

from broker.core.commands import Spawn
from broker.wire.frames import Launch
from projections.facts import AgentSpawned, RestartPolicy


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, under which name. `env` are values of its own, which are never recorded."""

    name: str
    command: str
    args: tuple[str, ...] = ()
    cwd: str | None = None
    env: dict[str, str] = {}
    channels: tuple[str, ...] = ()
    cli: str = ""
    model: str | None = None
    session_id: str | None = None
    team: str | None = None
    parent: str | None = None
    source: str = "human"
    profile: str = "generic"
    rows: int = 24
    cols: int = 80
    idle_threshold_s: int = 30
    restart: RestartPolicy = RestartPolicy()
    restart_count: int = 0


def command_line(cli: str, args: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """A program and its arguments; `cli` may be a whole command line. Raises ValueError."""
    if not args and shutil.which(cli) is None:
        words = shlex.split(cli)
        if words:
            return words[0], tuple(words[1:])
    return cli, args


def again(spawned: AgentSpawned, values: dict[str, str], source: str, count: int) -> Order:
    """The order that a record tells of, with the values of its environment that are known."""
    return Order(
        name=spawned.name,
        command=spawned.command,
        args=spawned.args,
        cwd=spawned.cwd,
        env=values,
        channels=spawned.channels,
        cli=spawned.cli,
        model=spawned.model,
        session_id=spawned.session_id,
        team=spawned.team,
        parent=spawned.parent,
        source=source,
        profile=spawned.profile,
        rows=spawned.rows,
        cols=spawned.cols,
        restart=spawned.restart,
        restart_count=count,
    )


def recorded(order: Order, frame: Launch, path: Path, pid: int) -> Spawn:
    """The command that makes it durable, now that it runs. Names of values only."""
    return Spawn(
        name=frame.name,
        generation=frame.generation,
        pid=pid,
        command=order.command,
        args=order.args,
        cwd=frame.cwd,
        env_names=tuple(sorted(order.env)),
        channels=order.channels,
        holder=path.name,
        cli=order.cli,
        model=order.model,
        session_id=order.session_id,
        team=order.team,
        parent=order.parent,
        source=order.source,
        profile=order.profile,
        rows=order.rows,
        cols=order.cols,
        restart=order.restart,
        restart_count=order.restart_count,
    )
