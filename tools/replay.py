"""`ackbook replay`: the world as it was at a position, folded from the journal alone."""

from __future__ import annotations

import click
import msgspec

from broker.runtime.rebuilding import begin_world
from projections.codec import kind_of
from projections.reports import agent_rows, counts, dead_letter_rows, pending_rows
from projections.world import World, fold

from .check import check as check_decisions
from .failures import Exit, Failure
from .history import History
from .options import json_option, place_option
from .output import bold, dim, emit, full_time, poor, say, tell
from .place import Place
from .shapes import AgentRow, DeadLetterRow, PendingRow, WaitingRow
from .tables import show_agents, show_dead_letters, show_pending
from .whatif import what_if


@click.command()
@click.option(
    "--to", "through", type=click.IntRange(min=0), metavar="SEQ", help="The last record to fold."
)
@click.option("--check", is_flag=True, help="Decide everything again, and show what differs.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="With --diff: another policy."
)
@click.option("--diff", is_flag=True, help="What that would have changed, delivery by delivery.")
@click.option("--all", "show_all", is_flag=True, help="Every one that differs, not the first.")
@json_option
@place_option
def replay(
    through: int | None,
    check: bool,
    settings: tuple[str, ...],
    diff: bool,
    show_all: bool,
    as_json: bool,
    place: Place,
) -> int | None:
    """Fold the journal up to SEQ, or to its end, and show the world there. Needs no broker.

    Ages are counted to that moment, not to now.

    With --check every recorded decision is put to the rules of this version once more; the exit
    code is 1 when one of them is made otherwise.

    With --set every recorded wish is put to the rules under another policy, and the deliveries
    that would have fared otherwise are shown. The keys are those of `policy` in a record
    policy.changed; a wrong one is answered with all of them.
    """
    if (through is not None) + check + bool(settings or diff) > 1:
        raise Failure(
            Exit.USAGE,
            "--to, --check and --set are three questions, asked one at a time",
            "ackbook replay --help says what each of them shows",
        )
    if check:
        return check_decisions(place, show_all, as_json)
    if settings or diff:
        return what_if(place, settings, show_all, as_json)
    world = fold_through(History(place), through)
    if as_json:
        emit(
            {
                "seq": world.seq,
                "at": world.at,
                "pending": msgspec.convert(pending_rows(world, world.at), list[PendingRow]),
                "agents": msgspec.convert(agent_rows(world, world.at), list[AgentRow]),
                "dead_letters": msgspec.convert(
                    dead_letter_rows(world, world.at), list[DeadLetterRow]
                ),
                "counts": counts(world),
            }
        )
    else:
        _show(world)
    return None


def fold_through(history: History, through: int | None) -> World:
    """The world after this record. A fold never goes over a hole: it stops before it, unless the
    journal itself says that somebody accepted the loss."""
    head = history.head()
    if through is not None and through > head:
        raise Failure(Exit.USAGE, f"the journal ends at {head}, there is no record {through} yet")
    last = head if through is None else through
    # Where the archives were let go, a snapshot is what is left of the beginning.
    world = World() if history.oldest() <= 1 else begin_world(history.directory, last)[0]
    accepted = False
    for entry in history.entries(world.seq, through):
        if entry.seq != world.seq + 1 and not accepted:
            break
        fold(world, entry)
        accepted = kind_of(entry) == "journal.repaired"
    if world.seq < last:
        say(f"{poor('missing:')} the world can be shown up to record {world.seq} only")
    return world


def _show(world: World) -> None:
    when = full_time(world.at) if world.at else "before anything happened"
    tell(f"{bold(f'seq {world.seq}')}  {dim(when)}")
    totals = "  ".join(f"{dim(name)} {number}" for name, number in counts(world).items())
    tell(totals)
    tell()
    show_agents(msgspec.convert(agent_rows(world, world.at), list[AgentRow]))
    tell()
    show_pending(msgspec.convert(pending_rows(world, world.at), list[WaitingRow]))
    tell()
    show_dead_letters(msgspec.convert(dead_letter_rows(world, world.at), list[DeadLetterRow]))
