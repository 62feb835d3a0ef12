"""`ackbook dead` and `redeliver`: deliveries that were given up, and how they come back."""

from __future__ import annotations

import click

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.wire.replies import DeadLettersReply, RedeliveryReply
from ackbook.tools.cli.client import Client
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.options import json_option, place_option
from ackbook.tools.cli.output import bold, dim, emit, plain, poor, tell
from ackbook.tools.cli.place import Place


@click.command()
@json_option
@place_option
def dead(as_json: bool, place: Place) -> None:
    """Deliveries that were given up, oldest first."""
    found = Client(place).ask("GET", "/api/dead-letters", DeadLettersReply)
    if as_json:
        emit(found)
    else:
        from ackbook.tools.cli.tables import show_dead_letters

        show_dead_letters(found.dead_letters)


@click.command()
@click.argument("id", required=False)
@click.option("--all", "everything", is_flag=True, help="Every dead letter.")
@json_option
@place_option
def redeliver(id: str | None, everything: bool, as_json: bool, place: Place) -> None:  # noqa: A002
    """Queue a delivery that ended without being seen again: ID, or all dead letters.

    The exit code is 8 when there were some and none could be queued again, and 3 when nothing that
    ended has this ID.
    """
    if (id is None) is not everything:
        raise click.UsageError("give one ID, or --all")
    command: dict[str, object] = {"all": True} if everything else {"id": id}
    done = Client(place).ask("POST", "/api/dead-letters/redeliver", RedeliveryReply, command)
    if as_json:
        emit(done)
    else:
        for row in done.redelivered:
            tell(f"{plain(row.worker_name)}  {bold(row.delivery_id)}  {dim(row.event_id)}")
        for skipped in done.skipped:
            tell(f"{plain(skipped.worker_name)}  {skipped.delivery_id}  {poor(skipped.reason)}")
        if not done.redelivered and not done.skipped:
            tell(dim("there are no dead letters"))
    if done.skipped and not done.redelivered:
        raise Failure(
            ExitCode.REFUSED, "nothing was queued again", f"see: ackbook why {id or 'ID'}"
        )
