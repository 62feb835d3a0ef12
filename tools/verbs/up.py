"""`ackbook up`: a broker, in the foreground or detached, and what its last end left behind.

Standard output has one line, when requests are answered: where it is reached, its directory, its
process. Agents that ended with the last broker are named on standard error, with the command that
brings each back. Why a start failed is said by the broker itself, with its exit code.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ackbook.broker.wire.frames import UMASK
from ackbook.broker.wire.replies import AgentsReply
from ackbook.projections.analysis.row_shapes import AgentRow
from ackbook.tools.cli.background import (
    FailedStart,
    Ready,
    announce,
    keep_from_children,
    start_detached,
)
from ackbook.tools.cli.client import Client
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.options import json_option, place_option
from ackbook.tools.cli.output import bold, dim, emit, plain, say, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.cli.token_here import token_here

ENDED_WITH_BROKER = ("ended_with_broker", "broker_stopped")
LOCALHOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class StartOptions:
    """What was asked for. `policy`: the keys that are named, with their values."""

    port: int
    respawn: bool
    umask: int
    policy: dict[str, object]


def _mask(_: click.Context, __: click.Parameter, value: str) -> int:
    """A file mode creation mask, in octal digits."""
    if not re.fullmatch("0?[0-7]{1,3}", value):
        raise click.BadParameter(f"{value!r} is not a mask such as 022 or 077")
    return int(value, 8)


@click.command()
@click.option("--background", is_flag=True, help="Return when it is ready; it runs on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Where to listen on this machine; any free port, unless said.",
)
@click.option(
    "--respawn", is_flag=True, help="Start again the agents that ended with the last broker."
)
@click.option(
    "--umask",
    default=f"{UMASK:03o}",
    callback=_mask,
    show_default=True,
    metavar="MODE",
    help="What programs begin with, whatever it is here.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the policy: this key, from this start on.",
)
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The same for each key of a JSON object; --set has the last word.",
)
@click.option("--ready-fd", type=int, hidden=True)
@json_option
@place_option
def up(
    background: bool,
    port: int,
    respawn: bool,
    umask: int,
    settings: tuple[str, ...],
    policy_file: Path | None,
    ready_fd: int | None,
    as_json: bool,
    place: Place,
) -> int:
    """Run the broker of a directory.

    The policy is the journal's: a start changes the keys that --set or --policy names, and all
    others stay as they are.

    The exit code is 5 when another broker runs there, 1 when the port is in use, 4, 7 or 10 when
    the journal is damaged or newer, and 74 when the disk refuses.
    """
    start = StartOptions(port, respawn, umask, _policy(settings, policy_file))
    if background:
        return _in_background(place, start, as_json)
    if ready_fd is not None:
        keep_from_children(ready_fd)
    return _in_this_process(place, start, ready_fd, as_json)


def _policy(settings: Sequence[str], file: Path | None) -> dict[str, object]:
    """The keys that are named, with their values."""
    from ackbook.broker.wire import policy_text

    try:
        named = {} if file is None else policy_text.read_file(file.read_bytes())
        named |= policy_text.read_settings(settings)
        policy_text.policy_of(named)
    except policy_text.NoPolicy as wrong:
        raise click.UsageError(plain(str(wrong))) from None
    return named


def _in_background(place: Place, start: StartOptions, as_json: bool) -> int:
    from ackbook.broker.wire import policy_text

    options = ["--port", str(start.port), "--umask", f"{start.umask:03o}"]
    options += ["--respawn"] if start.respawn else []
    for key, value in start.policy.items():
        options += ["--set", policy_text.written(key, value)]
    try:
        ready = start_detached(place, options)
    except FailedStart as failed:
        say(failed.said or f"ackbook: the broker ended at once; see {place.directory}/logs")
        return failed.code
    _say_ready(ready, as_json)
    _say_ended(place)
    return 0


def _in_this_process(place: Place, start: StartOptions, ready_fd: int | None, as_json: bool) -> int:
    from ackbook.broker.runtime.app import serve
    from ackbook.broker.runtime.system.processes import session_of
    from ackbook.broker.wire import policy_text
    from ackbook.broker.wire.connection import Connection

    def on_ready(connection: Connection) -> None:
        ready = Ready(connection.url, connection.directory, connection.pid, connection.port)
        if ready_fd is not None:
            announce(ready_fd, ready)
            return
        _say_ready(ready, as_json)
        # The broker answers on this thread, so the question has to come from another.
        threading.Thread(target=_say_ended, args=(place,), daemon=True).start()

    _be_found_by_agents()
    _end_with_the_terminal()
    return serve(
        place.directory,
        host=LOCALHOST,
        port=start.port,
        respawn=start.respawn,
        policy=policy_text.policy_of(start.policy),
        named=start.policy.keys(),
        ready=on_ready,
        umask=start.umask,
        token=token_here(),
        # In the background this process has a session of its own, and its caller waits for it.
        session=session_of(os.getpid() if ready_fd is None else os.getppid()),
    )


def _be_found_by_agents() -> None:
    """Agents answer with `ackbook send`, so the command has to be on the path that they inherit,
    also when it was started here by its full name. It comes last: it must not change what they
    find otherwise."""
    beside_python = os.path.dirname(sys.executable)
    if shutil.which("ackbook") is None and os.path.exists(os.path.join(beside_python, "ackbook")):
        path = os.environ.get("PATH", os.defpath)
        os.environ["PATH"] = f"{path}{os.pathsep}{beside_python}"


def _end_with_the_terminal() -> None:
    """A window that is closed asks for the same graceful end as Ctrl-C in it. Whoever started us
    to outlive it (nohup) has said so already."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))


def _say_ready(ready: Ready, as_json: bool) -> None:
    if as_json:
        emit(ready)
    else:
        tell(f"ackbook is up at {bold(ready.url)} in {ready.directory} {dim(f'(pid {ready.pid})')}")


def _say_ended(place: Place) -> None:
    """Who ended with the last broker, and how each comes back."""
    try:
        agents = Client(place, notes=False).ask("GET", "/api/spawned", AgentsReply).agents
    except Failure:
        return  # the broker was told to end meanwhile
    ended = [row for row in agents if _ended_with_broker(row)]
    if not ended:
        return
    say("ended with the last broker; what waits for them is kept:")
    width = max(len(row.name) for row in ended)
    for row in ended:
        say(f"  {plain(row.name):<{width}}  ackbook restart {plain(row.name)} {place.flag()}")


def _ended_with_broker(row: AgentRow) -> bool:
    return row.state == "gone" and row.exit is not None and row.exit.reason in ENDED_WITH_BROKER
