"""`ackbook spawn`, `run` and `restart`: programs in terminals of their own, under a name.

What follows `--` belongs to the program. The verb ends when the program's terminal takes input, or
says what is in the way: a program that ended at once is not one that was started.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.wire.profiles import PROFILES
from ackbook.tools.cli.client import Client, agent_path
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.options import agent_argument, json_option, place_option
from ackbook.tools.cli.output import bold, dim, emit, good, plain, poor, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.shapes.broker import AgentMet, AgentStarted

WAIT_S = 30.0
"""Agent programs take up to some ten seconds to draw their first prompt."""

SIZE = (24, 80)
"""Rows and columns of a terminal that nobody looks at."""

_program = click.argument(
    "command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARGS]..."
)
_cwd = click.option(
    "--cwd",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="D",
    help="Where it runs; here, unless said.",
)
_env = click.option(
    "--env", multiple=True, metavar="K=V", help="One more value of its environment. Repeatable."
)
_channel = click.option(
    "--channel", "channels", multiple=True, metavar="C", help="A channel it hears. Repeatable."
)
_profile = click.option(
    "--profile",
    metavar="NAME",
    help=f"What kind of program it is, where that is known: {', '.join(PROFILES)}.",
)
_wait = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=WAIT_S,
    show_default=True,
    metavar="S",
    help="How long to wait until it is ready.",
)


@click.command()
@agent_argument
@_program
@_cwd
@_env
@_channel
@_profile
@_wait
@json_option
@place_option
def spawn(
    name: str,
    command: tuple[str, ...],
    cwd: Path | None,
    env: tuple[str, ...],
    channels: tuple[str, ...],
    profile: str | None,
    wait: float,
    as_json: bool,
    place: Place,
) -> ExitCode:
    """Start a program in a terminal, under NAME: ackbook spawn bob -- bash --norc

    The exit code is 0 when it is ready, 6 when it was not in time, and 1 when it ended first.
    """
    client = Client(place)
    met = start(client, name, command, cwd, env, channels, wait, profile=profile)
    return _report(met, wait, as_json)


@click.command()
@agent_argument
@_program
@_cwd
@_env
@_channel
@_profile
@place_option
def run(
    name: str,
    command: tuple[str, ...],
    cwd: Path | None,
    env: tuple[str, ...],
    channels: tuple[str, ...],
    profile: str | None,
    place: Place,
) -> ExitCode:
    """Start a program and join your terminal to it: ackbook run bob -- bash --norc

    Ctrl-] detaches; the program goes on. The exit code is 0 when you left or the program ended, and
    74 when the connection broke.
    """
    from ackbook.tools.cli.terminal import size
    from ackbook.tools.verbs.attach import join, require_terminal

    require_terminal(name)
    client = Client(place)
    here = size(sys.stdout.fileno())
    started = start(client, name, command, cwd, env, channels, 0, here, profile)
    return join(client, started.name, view=False)


@click.command()
@agent_argument
@_wait
@json_option
@place_option
def restart(name: str, wait: float, as_json: bool, place: Place) -> ExitCode:
    """End the program of NAME and start it again, with the command that was recorded.

    The exit code is 0 when it is ready, 6 when it was not in time, 1 when it ended first, and 8
    when the broker is of another version than what it would have to start.
    """
    client = Client(place)
    if not client.told_version and (note := client.other_version()):
        # It would end the program before it finds out that it cannot start it again.
        raise Failure(ExitCode.REFUSED, note)
    body = {"wait_ms": round(wait * 1000)}
    path = agent_path(name, "/restart")
    met = client.ask("POST", path, AgentMet, body, wait_s=wait, starts=True)
    return _report(met, wait, as_json)


def start(
    client: Client,
    name: str,
    command: Sequence[str],
    cwd: Path | None,
    env: Sequence[str],
    channels: Sequence[str],
    wait_s: float,
    size: tuple[int, int] = SIZE,
    profile: str | None = None,
) -> AgentMet:
    """Ask the broker to start a program; the answer comes when it is ready or the time (`wait_s`,
    seconds) is over. `size`: rows and columns. Raises `Failure` as `Client.ask` does."""
    rows, cols = size
    directory = os.path.abspath(cwd or Path.cwd())
    harness = {
        "command": command[0],
        "args": command[1:],
        "cwd": directory,
        "env": _environment(env),
    }
    body: dict[str, object] = {
        "name": name,
        "cli": command[0],
        "harnessConfig": harness,
        "wait_ms": round(wait_s * 1000),
        "rows": rows,
        "cols": cols,
    }
    if channels:
        body["channels"] = channels
    if profile is not None:
        body["profile"] = profile
    return client.ask("POST", "/api/spawn", AgentMet, body, wait_s=wait_s, starts=True)


def _environment(pairs: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{pair!r} is not of the form K=V", param_hint="--env")
        values[key] = value
    return values


def _report(met: AgentMet, wait_s: float, as_json: bool) -> ExitCode:
    """Say how it stands; a program that is not ready although that was waited for is a failure."""
    if as_json:
        emit({key: getattr(met, key) for key in AgentStarted.__struct_fields__})
    else:
        state = good(met.state) if met.state == "ready" else poor(met.state)
        facts = dim(f"(generation {met.generation}, pid {met.pid})")
        tell(f"{bold(plain(met.name))} is {state} {facts}")
    if met.state in ("gone", "restarting"):
        ending = f" ({met.exit.told()})" if met.exit is not None else ""
        raise Failure(
            ExitCode.NO,
            f"the program of {met.name} ended before it was ready{ending}",
            f"see what it says with: ackbook run {met.name} -- CMD ARGS",
        )
    if met.state == "starting" and wait_s:
        raise Failure(
            ExitCode.TIMED_OUT,
            f"{met.name} runs, but its terminal is not ready yet",
            f"look at it with: ackbook screen {met.name}",
        )
    return ExitCode.DONE
