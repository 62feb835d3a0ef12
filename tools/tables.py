"""Tables for people: agents, what waits, what was given up.

One row a thing, no lines between, at most what fits the terminal; a pipe gets every cell whole.
Names come from strangers and are shown as plain text. This module knows rows, not their sources:
`ls` and `replay` print the same table.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from .output import console, dim, duration, plain, tell
from .shapes import AgentRow, DeadLetterRow, PendingRow

STATE_STYLES = {
    "ready": "green",
    "starting": "yellow",
    "blocked": "yellow",
    "restarting": "yellow",
    "unknown": "yellow",
    "gone": "red",
    "typing": "cyan",
    "awaiting": "cyan",
}


def show_agents(rows: Sequence[AgentRow], at: int | None = None) -> None:
    """`at`: the moment that ages are counted to; now, unless a past world is shown."""
    if not rows:
        tell(dim("no agents"))
        return
    table = _table("agent", "state", "pid", "mode", "pending", "oldest", "held")
    for row in rows:
        table.add_row(
            _text(row.name, "bold"),
            _text(row.state, STATE_STYLES.get(row.state, "")),
            _text("" if row.pid is None else str(row.pid), "dim"),
            _text("manual" if row.mode == "manual_flush" else "auto", "dim"),
            _text(str(row.pending) if row.pending else "-"),
            _text(_age(row.oldest_at, at)),
            _text(row.held or "", "yellow"),
        )
    console().print(table)


def show_pending(rows: Sequence[PendingRow]) -> None:
    if not rows:
        tell(dim("nothing waits"))
        return
    table = _table("delivery", "message", "agent", "from", "state", "tries", "reason")
    for row in rows:
        table.add_row(
            _text(row.delivery_id, "bold"),
            _text(row.event_id, "dim"),
            _text(row.agent),
            _text(row.sender),
            _text(row.state, STATE_STYLES.get(row.state, "")),
            _text(str(row.attempts)),
            _text(row.reason or "", "yellow"),
        )
    console().print(table)


def show_dead_letters(rows: Sequence[DeadLetterRow], at: int | None = None) -> None:
    if not rows:
        tell(dim("no dead letters"))
        return
    table = _table("delivery", "message", "agent", "from", "tries", "age", "reason")
    for row in rows:
        table.add_row(
            _text(row.delivery_id, "bold"),
            _text(row.event_id, "dim"),
            _text(row.agent),
            _text(row.sender),
            _text(str(row.attempts)),
            _text(_age(row.failed_at, at)),
            _text(row.reason, "red"),
        )
    console().print(table)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    return table


def _text(text: str, style: str = "") -> Text:
    return Text(plain(text), style)


def _age(since: int | None, at: int | None) -> str:
    if not since:
        return "-"
    return duration(max(0, (at or time.time_ns() // 1000) - since))
