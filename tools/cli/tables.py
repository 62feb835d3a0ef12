"""Tables for people: agents, what waits, what was given up.

One row a thing, no lines between, at most what fits the terminal; a pipe gets every cell whole.
Names come from strangers and are shown as plain text. This module knows rows, not their sources:
`ls` and `replay` print the same table.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ackbook.projections.analysis.row_shapes import AgentRow, DeadLetterRow, WaitingRow
from ackbook.projections.commander import commander_told
from ackbook.tools.cli.output import console, dim, duration, plain, tell

LONG = frozenset({"agent", "from", "error", "started by"})
"""Columns that take more lines where the terminal is narrow; ids, states and numbers never do."""

STATE_STYLES = {
    "ready": "green",
    "starting": "yellow",
    "blocked": "yellow",
    "restarting": "yellow",
    "unknown": "yellow",
    "elsewhere": "yellow",
    "gone": "red",
    "typing": "cyan",
    "awaiting": "cyan",
    "held": "yellow",
    "in_doubt": "red",
    "acked": "green",
}


def show_agents(rows: Sequence[AgentRow]) -> None:
    if not rows:
        tell(dim("no agents"))
        return
    table = table_of("agent", "state", "pid", "mode", "pending", "oldest", "held", "started by")
    for row in rows:
        table.add_row(
            cell(row.name, "bold"),
            cell(_state(row), STATE_STYLES.get(row.state, "")),
            cell("-" if row.pid is None else str(row.pid), "dim"),
            cell("manual" if row.mode == "manual_flush" else "auto", "dim"),
            cell(str(row.pending) if row.pending else "-"),
            cell("-" if row.oldest_ms is None else _age(row.oldest_ms)),
            cell(row.held or "-", "yellow" if row.held else ""),
            cell(commander_told(row.commander or "") or "-", "dim"),
        )
    console().print(table)


def show_pending(rows: Sequence[WaitingRow]) -> None:
    if not rows:
        tell(dim("nothing waits"))
        return
    table = table_of("delivery", "agent", "from", "prio", "age", "tries", "state", "reason")
    for row in rows:
        table.add_row(
            cell(row.delivery_id, "bold"),
            cell(row.agent),
            cell(row.sender),
            cell(str(row.priority), "dim"),
            cell(_age(row.age_ms)),
            cell(str(row.attempts) if row.attempts else "-"),
            cell(row.state, STATE_STYLES.get(row.state, "")),
            cell(row.reason or "-", "yellow" if row.reason else ""),
        )
    console().print(table)


def show_dead_letters(rows: Sequence[DeadLetterRow]) -> None:
    if not rows:
        tell(dim("no dead letters"))
        return
    table = table_of("delivery", "agent", "from", "tries", "age", "reason", "error")
    for row in rows:
        table.add_row(
            cell(row.delivery_id, "bold"),
            cell(row.agent),
            cell(row.sender),
            cell(str(row.attempts) if row.attempts else "-"),
            cell(_age(row.age_ms)),
            cell(row.reason, "red"),
            cell(row.error or "-", "dim"),
        )
    console().print(table)


def table_of(*headings: str) -> Table:
    """An empty table in the manner of this program."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading, no_wrap=heading not in LONG, overflow="fold")
    return table


def cell(text: str, style: str = "") -> Text:
    """Text of whoever it may be, made harmless."""
    return Text(plain(text), style)


def _state(row: AgentRow) -> str:
    """The state, with what a person asks next: why it is blocked, how the program ended."""
    if row.state == "blocked" and row.blocked:
        return f"blocked: {row.blocked}"
    if row.exit is not None and row.state in ("gone", "restarting"):
        return f"{row.state}: {row.exit.told()}"
    return row.state


def _age(milliseconds: int) -> str:
    return duration(max(0, milliseconds) * 1_000)
