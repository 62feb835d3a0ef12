"""`ackbook ls`, `screen` and `release`: the agents that a broker knows."""

from __future__ import annotations

import click

from ackbook.broker.wire.replies import AgentsReply, HealthReply, ScreenReply
from ackbook.projections.analysis.row_shapes import AgentRow
from ackbook.tools.cli.client import Client, agent_path
from ackbook.tools.cli.options import agent_argument, json_option, place_option
from ackbook.tools.cli.output import bold, emit, plain, poor, say, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.shapes.broker import DoneReply


@click.command()
@json_option
@place_option
def ls(as_json: bool, place: Place) -> None:
    """Agents: their state, what waits for them, and why the first of it is not typed.

    What is not well with the broker itself is said on standard error.
    """
    client = Client(place, notes=False)
    found = client.ask("GET", "/api/spawned", AgentsReply)
    reasons = client.ask("GET", "/health", HealthReply).reasons
    told = any(reason.code == "version_changed" for reason in reasons)
    if not told and (note := client.other_version()):
        say(f"{poor('note:')} {plain(note)}")
    for reason in reasons:
        say(f"{poor('degraded:')} {plain(reason.what)}. Next: {plain(reason.next)}")
    if as_json:
        emit(found)
    else:
        from ackbook.tools.cli.tables import show_agents

        show_agents(found.agents)


@click.command()
@agent_argument
@json_option
@place_option
def screen(name: str, as_json: bool, place: Place) -> None:
    """What the terminal of NAME shows now, as plain text."""
    shown = Client(place).ask("GET", agent_path(name, "/snapshot?format=plain"), ScreenReply)
    if as_json:
        emit(shown)
    else:
        tell(plain(shown.screen.rstrip("\n")))


@click.command()
@agent_argument
@click.option("--reason", default="", metavar="TEXT", help="Why; it is recorded.")
@json_option
@place_option
def release(name: str, reason: str, as_json: bool, place: Place) -> None:
    """Let NAME go: its program ends, and what waits for it is dropped.

    What is dropped is recorded, each delivery with its id.
    """
    client = Client(place)
    row = client.ask("GET", agent_path(name), AgentRow)
    client.ask("DELETE", agent_path(name), DoneReply, {"reason": reason} if reason else None)
    if as_json:
        emit({"name": row.name, "generation": row.generation, "released": True})
    else:
        tell(f"{bold(plain(row.name))} was let go")
