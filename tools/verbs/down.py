"""`ackbook down`: the graceful end of a broker, over only when its process is gone.

What its agents started is gone then too, or is named.
"""

from __future__ import annotations

import os
import select
from contextlib import closing

import click

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.wire.replies import AgentsReply
from ackbook.tools.cli.client import Client
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.left_over import LeftOver, left_over
from ackbook.tools.cli.options import json_option, place_option
from ackbook.tools.cli.output import emit, plain, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.shapes.broker import DoneReply

NAMED_MAX = 20
"""Of what runs on; more would hide the first."""

END_S_MAX = 60.0
"""Programs get some seconds to end, many of them at once; after so long something hangs."""


@click.command()
@click.option("--keep-agents", is_flag=True, help="Leave the programs running for the next start.")
@json_option
@place_option
def down(keep_agents: bool, as_json: bool, place: Place) -> None:
    """End the broker. What is pending is kept, and typed after the next start.

    The exit code is 1 when something that its agents started runs on, which is named, or when the
    broker was killed before its end, and 6 when it has not ended after a minute.
    """
    client = Client(place, notes=False)
    pid = client.transport.pid
    rows = client.ask("GET", "/api/spawned", AgentsReply).agents
    with closing(Process(pid)) as process:
        client.ask("POST", "/api/shutdown", DoneReply, {"keep_agents": keep_agents})
        if not process.ended_within(END_S_MAX):
            raise Failure(
                ExitCode.TIMED_OUT,
                f"the broker (pid {pid}) has not ended after {END_S_MAX:.0f} s",
                f"see {place.directory}/logs/broker.log",
            )
        if place.connection_file.exists() and place.written().pid == pid:
            raise Failure(
                ExitCode.NO,
                f"the broker (pid {pid}) was killed before its end; programs may run on",
                f"start it again, then end it: ackbook up --background {place.flag()}",
            )
    # What obeys the broker of another directory is not of this one, whatever it was started by.
    ours = [row for row in rows if row.state != "elsewhere"]
    sessions = {row.pid: row.name for row in ours if row.pid is not None}
    left = [] if keep_agents else left_over(_as_agents_know_it(client), sessions)
    if as_json:
        named = left[:NAMED_MAX]
        emit({"stopped": True, "pid": pid, "agents_kept": keep_agents, "left_over": named})
    else:
        kept = "; its agents run on" if keep_agents else ""
        tell(f"the broker in {place.directory} ended{kept}")
    if left:
        raise _runs_on(left)


def _as_agents_know_it(client: Client) -> str:
    """The directory by the name that it had when the broker began: agents were given that."""
    told = client.transport.told
    return (told and told.directory) or str(client.place.directory)


def _runs_on(left: list[LeftOver]) -> Failure:
    """Who they are, and how they are ended. None of them belongs to a terminal any more."""
    more = f" and {len(left) - NAMED_MAX} more" if len(left) > NAMED_MAX else ""
    named = left[:NAMED_MAX]
    told = ", ".join(
        f"{plain(each.command)} (pid {each.pid}, of {plain(each.agent)})" for each in named
    )
    pids = " ".join(str(each.pid) for each in named)
    return Failure(
        ExitCode.NO, f"what agents started runs on: {told}{more}", f"end it with: kill {pids}"
    )


class Process:
    """A process that is not our child, held by descriptor: its number cannot come to mean another.

    A zombie has ended, whether or not its parent has noticed.
    """

    def __init__(self, pid: int) -> None:
        try:
            self._handle: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._handle = None

    def ended_within(self, seconds: float) -> bool:
        """Wait at most so long for its end; whether it has ended."""
        if self._handle is None:
            return True
        return bool(select.select([self._handle], [], [], seconds)[0])

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
