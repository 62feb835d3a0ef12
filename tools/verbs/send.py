"""`ackbook send`: a message for an agent or a channel, and how far it came.

Without `--wait` the verb ends when the message is durable. With it the broker is asked to answer
only when every delivery reached the level that is needed, failed, or the time is over, and the exit
code says which.
"""

from __future__ import annotations

import os
import sys

import click
import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.wire.replies import SendReply
from ackbook.projections.analysis.row_shapes import DeliveryRow
from ackbook.tools.cli.client import Client
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.options import json_option, place_option, recipient_argument
from ackbook.tools.cli.output import (
    bad,
    bold,
    dim,
    emit,
    evidence_text,
    good,
    plain,
    poor,
    say,
    tell,
)
from ackbook.tools.cli.place import Place

SENDER_VARIABLE = "RELAY_AGENT_NAME"

EXIT_BY_OUTCOME = {
    "confirmed": ExitCode.DONE,
    "unconfirmed": ExitCode.UNCONFIRMED,
    "failed": ExitCode.NO,
    "timed_out": ExitCode.TIMED_OUT,
}


@click.command()
@recipient_argument
@click.argument("text", metavar="TEXT")
@click.option(
    "--from",
    "sender",
    metavar="NAME",
    help=f"Who sends it: ${SENDER_VARIABLE}, else whose session it is, else human.",
)
@click.option(
    "--mode",
    type=click.Choice(["wait", "steer"]),
    default="wait",
    help="steer interrupts what the agent does first.",
)
@click.option(
    "--priority", type=click.IntRange(0, 4), help="0 is most urgent; 2, in a channel 3, else."
)
@click.option("--ttl", type=click.FloatRange(min=0), metavar="S", help="Drop it when so old.")
@click.option("--idempotency-key", "key", metavar="K", help="The same key is the same message.")
@click.option("--wait", type=click.FloatRange(min=0), metavar="S", help="Wait for the level.")
@click.option(
    "--need",
    type=click.Choice(["written", "seen", "submitted"]),
    default="seen",
    show_default=True,
    help="The level that counts as arrived.",
)
@json_option
@place_option
def send(
    to: str,
    text: str,
    sender: str | None,
    mode: str,
    priority: int | None,
    ttl: float | None,
    key: str | None,
    wait: float | None,
    need: str,
    as_json: bool,
    place: Place,
) -> ExitCode:
    """Send TEXT to TO, which is the name of an agent or a #channel.

    TEXT - is read from standard input. Put -- before a TEXT that begins with a dash.

    With --wait the exit code is 0 when it arrived everywhere, 9 when it was typed but never seen, 1
    when it failed, and 6 when the time was over first.
    """
    command = {
        "to": to,
        "text": _body(text),
        "from": sender or os.environ.get(SENDER_VARIABLE) or None,
        "mode": mode,
        "priority": priority,
        "ttl_ms": _milliseconds(ttl),
        "idempotency_key": key,
        "need": need,
        "wait_ms": None if wait is None else max(_milliseconds(wait) or 0, 1),
    }
    given = {name: value for name, value in command.items() if value is not None}
    reply = Client(place).ask("POST", "/api/send", SendReply, given, wait_s=wait or 0.0)
    outcome = reply.outcome if wait is not None else None
    if as_json:
        emit({"event_id": reply.event_id, "seq": reply.seq, "deliveries": reply.deliveries})
    else:
        _show(reply, outcome)
    for refused in reply.refused:
        say(f"{poor('refused:')} {plain(refused.agent)} ({refused.reason})")
    if outcome is None:
        return ExitCode.DONE
    # A recipient that did not take the message is one that it will not reach.
    return ExitCode.NO if reply.refused else EXIT_BY_OUTCOME[outcome]


def _body(text: str) -> str:
    """The message: the argument, or standard input without its last newline."""
    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode().removesuffix("\n")
        except UnicodeDecodeError as problem:
            raise Failure(
                ExitCode.USAGE, f"standard input is not UTF-8 at byte {problem.start}"
            ) from None
    if not text:
        raise Failure(ExitCode.USAGE, "the message is empty", "give a text, or - to read one")
    return text


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _show(reply: SendReply, outcome: str | None) -> None:
    again = " before, under the same key" if reply.repeated else ""
    tell(f"{bold(reply.event_id)} {dim(f'recorded at {reply.seq}{again}')}")
    width = max((len(row.agent) for row in reply.deliveries), default=0)
    for row in reply.deliveries:
        said = dim("on its way") if outcome is None else _progress(row)
        tell(f"  {plain(row.agent):<{width}}  {dim(row.delivery_id)}  {said}")


def _progress(row: DeliveryRow) -> str:
    """The level and its evidence, or what is in the way."""
    because = f" ({plain(row.reason)})" if row.reason else ""
    if row.verification == "echo":
        return f"{good(row.level or '')}  {dim(evidence_text(msgspec.to_builtins(row.evidence)))}"
    if row.verification is not None:
        return f"{poor('unconfirmed')}{because}"
    from ackbook.projections.ways_out import is_loss

    state = row.state or "unknown"
    colour = bad if is_loss(state) else poor
    return f"{colour(state)}{because}"
