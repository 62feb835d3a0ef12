"""What a measurement leaves: figures held against a goal, as tables and as a file.

A figure is a ratio of two sides that were measured in the same run, round by round: what the
machine does meanwhile happens to both, so the median of the rounds' ratios is what is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

Sense = Literal["at least", "at most"]


class Figure(msgspec.Struct, frozen=True):
    """One number, its goal, and what it was held against. `met` is None where no goal is set."""

    name: str
    value: float
    goal: float | None
    met: bool | None
    against: str
    rounds: int
    unit: str


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    against: str,
    rounds: int,
    goal: float | None = None,
    sense: Sense = "at least",
) -> Figure:
    """A figure that knows whether it reached its goal."""
    met = None
    if goal is not None:
        met = value >= goal if sense == "at least" else value <= goal
    return Figure(name, round(value, 4), goal, met, against, rounds, unit)


def middle(values: Iterable[float]) -> float:
    return median(values)


def share(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of what we had, as a share of what they had in that round."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which so many percent lie."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def show(
    console: Console, title: str, note: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """A table with the conditions under it, without which it means nothing."""
    table = Table(
        title=title, title_justify="left", title_style="bold", caption=note, caption_justify="left"
    )
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()


def goal_of(each: Figure) -> tuple[str, str]:
    """The goal, and whether it was reached, as two cells of a table."""
    if each.goal is None:
        return "", ""
    return f"{each.goal:g}", "yes" if each.met else "NO"


def save(figures: Sequence[Figure], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(msgspec.to_builtins(figures), indent=1) + "\n")
