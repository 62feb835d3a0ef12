"""What a measurement leaves: figures with what they are held against, as tables and as a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median, quantiles

import msgspec
from rich.console import Console
from rich.table import Table


class Figure(msgspec.Struct, frozen=True):
    """One number: `value` in `unit`; `against` is what it is held against, in the same unit."""

    name: str
    value: float
    unit: str
    against: float | None
    rounds: int

    @property
    def ratio(self) -> float | None:
        return self.value / self.against if self.against else None


def middle(values: Sequence[float]) -> float:
    return median(values)


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


def save(figures: Sequence[Figure], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(msgspec.to_builtins(figures), indent=1) + "\n")
