"""`ackbook report`: what became of the deliveries, how fast, and what kept them, on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ackbook.projections.analysis.delivery_record import PROVEN
from ackbook.projections.analysis.summary import QUANTILES, Digest, Spread, digest, length
from ackbook.projections.analysis.wait_times import CAUSES, Hold
from ackbook.projections.commander import commander_told
from ackbook.projections.names import match_key
from ackbook.tools.cli.options import json_option
from ackbook.tools.cli.output import (
    bad,
    bold,
    clock_time,
    console,
    dim,
    duration,
    emit,
    full_time,
    good,
    plain,
    poor,
    tell,
)
from ackbook.tools.cli.place import Place
from ackbook.tools.cli.tables import cell, table_of
from ackbook.tools.history.delivery_table import DeliveryFilter, missing_of, read_audit
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.moment_syntax import bound_of, since_option, until_option
from ackbook.tools.history.options import past_option

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {"verified": "green", "unverified": "yellow", "open": "cyan", "unknown": "yellow"}


@click.command()
@since_option
@until_option
@click.option("--agent", "agents", multiple=True, metavar="NAME", help="Repeatable.")
@json_option
@past_option
def report(
    since: str | None,
    until: str | None,
    agents: tuple[str, ...],
    as_json: bool,
    place: Place,
) -> None:
    """Outcomes by agent and reason, latencies by level, the share that is unverified, what was
    waited for, and the longest holds. Needs no broker.

    Quantiles are exact to three digits. A hold is a time in which something kept a queue; it counts
    where some of it lies between --since and --until. What became of a delivery in records that
    cannot be read is unknown, and counted so.
    """
    history = JournalHistory(place)
    wanted = DeliveryFilter(
        since=bound_of(history, since),
        until=bound_of(history, until),
        agents=frozenset(match_key(name) for name in agents),
    )
    found = digest(read_audit(history, wanted))
    missing = missing_of(history)
    if as_json:
        emit({**_as_json(found), "missing": missing})
    else:
        _show(found)
        for first, last in missing:
            tell(f"{poor('unknown')}  what records {first} to {last} say: they cannot be read")


def _as_json(found: Digest) -> dict[str, object]:
    return {
        "deliveries": found.deliveries,
        "first_at": found.first_at,
        "last_at": found.last_at,
        "unverified_share": found.unverified_share,
        "outcomes": [
            {"agent": agent, "outcome": outcome, "reason": reason, "deliveries": count}
            for (agent, outcome, reason), count in _outcomes(found)
        ],
        "since_enqueued": _spreads(found.since_enqueued),
        "since_typed": _spreads(found.since_typed),
        "commanders": [
            {"commander": commander or None, "deliveries": count}
            for commander, count in found.commanders.most_common()
        ],
        "waited_ms": {cause: us / 1_000 for cause, us in sorted(found.waited.items())},
        "holds": [
            {
                "agent": hold.agent,
                "reason": hold.reason,
                "by": hold.by or None,
                "since_seq": hold.since_seq,
                "since_at": hold.since_at,
                "until_at": hold.until_at,
                "ms": length(hold) / 1_000,
                "over": hold.over,
            }
            for hold in found.holds
        ],
    }


def _spreads(spreads: dict[str, Spread]) -> dict[str, object]:
    return {
        name: {
            "count": spread.count,
            **{f"p{share * 100:g}_ms": _ms(spread.quantile(share)) for share in QUANTILES},
            "max_ms": _ms(spread.longest if spread.count else None),
        }
        for name, spread in spreads.items()
    }


def _ms(us: int | None) -> float | None:
    return None if us is None else us / 1_000


def _outcomes(found: Digest) -> list[tuple[tuple[str, str, str | None], int]]:
    """By agent; the most frequent first."""
    return sorted(found.outcomes.items(), key=lambda each: (each[0][0].casefold(), -each[1]))


def _show(found: Digest) -> None:
    if found.first_at is None or found.last_at is None:
        tell(dim("no deliveries"))
        return
    tell(f"{bold(f'{found.deliveries} deliveries')}  {dim(_extent(found.first_at, found.last_at))}")
    tell(_totals(found))
    if any(found.commanders.keys()):
        tell(f"sent by  {_commanders(found)}")
    tell()
    _show_outcomes(found)
    if any(spread.count for spread in found.since_enqueued.values()):
        tell()
        _show_latencies(found)
    if found.waited:
        tell()
        _show_waits(found)
    if found.holds:
        tell()
        _show_holds(found.holds)


def _extent(first_at: int, last_at: int) -> str:
    return f"{full_time(first_at)} to {full_time(last_at)}"


def _totals(found: Digest) -> str:
    others = ("verified", "unverified", "open", "unknown")
    failed = found.deliveries - sum(map(found.total, others))
    parts = [good(f"{found.total('verified')} verified")]
    share = found.unverified_share
    if share:
        parts.append(
            poor(f"{found.total('unverified')} unverified ({share:.1%} of what was typed)")
        )
    if failed:
        parts.append(bad(f"{failed} not delivered"))
    if found.total("open"):
        parts.append(f"{found.total('open')} open")
    if found.total("unknown"):
        parts.append(poor(f"{found.total('unknown')} unknown"))
    return "  ".join(parts)


def _commanders(found: Digest) -> str:
    """Who had them sent, the most frequent first."""
    return ", ".join(
        f"{plain(commander_told(commander)) or 'not said'}: {count}"
        for commander, count in found.commanders.most_common()
    )


def _show_outcomes(found: Digest) -> None:
    table = table_of("agent", "outcome", "reason", "deliveries")
    for (agent, outcome, reason), count in _outcomes(found):
        table.add_row(
            cell(agent, "bold"),
            cell(outcome, _STYLES.get(outcome, "red")),
            cell(reason or "-"),
            cell(str(count)),
        )
    console().print(table)


def _show_latencies(found: Digest) -> None:
    table = table_of("until", "count", *(f"p{share * 100:g}" for share in QUANTILES), "max")
    for name in ("typed", *PROVEN):
        _add_spread(table, f"{name}, since enqueued", found.since_enqueued[name])
    for name in PROVEN:
        _add_spread(table, f"{name}, since typed", found.since_typed[name])
    console().print(table)


def _add_spread(table: Table, name: str, spread: Spread) -> None:
    if not spread.count:
        return
    spans = [*map(spread.quantile, QUANTILES), spread.longest]
    table.add_row(
        cell(name),
        cell(str(spread.count)),
        *(cell(duration(us or 0)) for us in spans),
    )


def _show_waits(found: Digest) -> None:
    table = table_of("waited for", "in all")
    for cause in sorted(CAUSES, key=lambda each: -found.waited[each]):
        if found.waited[cause]:
            table.add_row(cell(cause), cell(duration(found.waited[cause])))
    console().print(table)


def _show_holds(holds: list[Hold]) -> None:
    table = table_of("longest holds", "for", "agent", "by", "since", "record")
    for hold in holds:
        table.add_row(
            cell(hold.reason, "yellow"),
            cell(duration(length(hold)) + ("" if hold.over else ", still")),
            cell(hold.agent, "bold"),
            cell(hold.by or "-"),
            cell(clock_time(hold.since_at), "dim"),
            cell(str(hold.since_seq), "dim"),
        )
    console().print(table)
