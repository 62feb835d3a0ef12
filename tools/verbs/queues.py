"""`ackbook pending`, `hold`, `auto`, `flush` and `cancel`: what waits, and when it may be typed."""

from __future__ import annotations

import click

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.wire.replies import (
    CancelReply,
    FlushReply,
    ModeReply,
    PendingReply,
    WaitingReply,
)
from ackbook.tools.cli.client import Client, agent_path, id_path
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.options import agent_argument, json_option, place_option, some_agent_argument
from ackbook.tools.cli.output import bold, emit, plain, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.shapes.broker import Name


@click.command()
@some_agent_argument
@json_option
@place_option
def pending(name: str | None, as_json: bool, place: Place) -> None:
    """What waits, for all agents or for NAME, in the order in which it will be typed."""
    client = Client(place)
    only = None if name is None else client.ask("GET", agent_path(name), Name).name
    if as_json:
        found = client.ask("GET", "/api/pending", PendingReply).pending
        emit({"pending": [row for row in found if only in (None, row.agent)]})
    else:
        from ackbook.tools.cli.tables import show_pending

        waiting = client.ask("GET", "/api/pending", WaitingReply).pending
        show_pending([row for row in waiting if only in (None, row.agent)])


@click.command()
@agent_argument
@json_option
@place_option
def hold(name: str, as_json: bool, place: Place) -> None:
    """Keep messages for NAME back until `ackbook flush` or `ackbook auto`."""
    _set_mode(Client(place), name, "manual_flush", as_json)


@click.command()
@agent_argument
@json_option
@place_option
def auto(name: str, as_json: bool, place: Place) -> None:
    """Type messages for NAME as they come, and what waits for a flush now."""
    _set_mode(Client(place), name, "auto_inject", as_json)


@click.command()
@agent_argument
@json_option
@place_option
def flush(name: str, as_json: bool, place: Place) -> None:
    """Type what waits for NAME now, and not what comes later."""
    done = Client(place).ask("POST", agent_path(name, "/flush"), FlushReply)
    if as_json:
        emit(done)
    else:
        tell(f"{bold(plain(name))}: {_count(done.flushed)} let go")


@click.command()
@click.argument("id")
@json_option
@place_option
def cancel(id: str, as_json: bool, place: Place) -> None:  # noqa: A002 - as the argument is called
    """Take back what was not typed yet: one delivery, or all of a message.

    The exit code is 8 when it is too late for all of it, and 3 when nothing has this ID.
    """
    done = Client(place).ask("POST", id_path("/api/cancel", id), CancelReply)
    if as_json:
        emit(done)
    else:
        for delivery_id in done.cancelled:
            tell(f"{bold(delivery_id)} taken back")
    if not done.cancelled:
        kept = ", ".join(f"{row.delivery_id} is {row.state}" for row in done.kept)
        raise Failure(
            ExitCode.REFUSED, f"nothing could be taken back: {kept}", f"see: ackbook why {id}"
        )


def _set_mode(client: Client, name: str, mode: str, as_json: bool) -> None:
    done = client.ask("PUT", agent_path(name, "/delivery-mode"), ModeReply, {"mode": mode})
    if as_json:
        emit(done)
        return
    meaning = {
        "manual_flush": "messages wait for a flush",
        "auto_inject": "messages are typed as they come",
    }[done.mode]
    also = f"; {_count(done.flushed)} let go" if done.flushed else ""
    tell(f"{bold(plain(name))}: {meaning}{also}")


def _count(number: int) -> str:
    return "1 delivery" if number == 1 else f"{number} deliveries"
