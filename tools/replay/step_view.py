"""What `ackbook replay --step` shows: a record, its decision, what it changed, and the world.

A screen is a list of rows, cut to the size that there is: the record comes first, and each part has
its share, so that in a small terminal less of each is seen and nothing is pushed out. Text of
strangers is shown as plain text. This module knows no key and moves nothing.
"""

from __future__ import annotations

import textwrap
from itertools import groupby
from operator import attrgetter

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.utils import get_cwidth

from ackbook.journal import Line
from ackbook.projections.analysis.world_diff import FieldChange, Moved
from ackbook.projections.ways_out import is_loss
from ackbook.tools.cli.output import clock_time, duration, full_time, plain
from ackbook.tools.cli.tables import STATE_STYLES
from ackbook.tools.history.record_filter import command_told, decision_of, fields_of
from ackbook.tools.replay.stepper import Stepper, StepView

FIELD_ROWS_MAX = 5
CHANGE_ROWS_MAX = 6
"""At most so many rows for what a record says and for what it changed; a small terminal has less
for the world."""

DIM = "ansibrightblack"
HEADING = "bold ansibrightblack"
KINDS = {
    "delivery": "ansicyan",
    "message": "ansigreen",
    "agent": "ansiyellow",
    "queue": "ansiyellow",
}
"""The colour of a record by the first word of its kind."""

StyledLine = StyleAndTextTuples


def draw(view: StepView | None, stepper: Stepper, rows: int, columns: int) -> StyleAndTextTuples:
    """The screen of a record, at most so many rows and columns."""
    if view is None:
        told = f"record {stepper.seq} of {stepper.head} cannot be read"
        return [("ansired", told)]
    parts = [
        [_title(view, stepper), *_said(view.line, columns)[:FIELD_ROWS_MAX]],
        _decision(view.line, stepper, columns),
        [_heading("changed"), *_changed(view)[:CHANGE_ROWS_MAX]],
        [_heading("world"), _counts(view), *_agents(view)],
    ]
    drawn = [row for part in parts for row in part][:rows]
    screen: StyleAndTextTuples = []
    for row in drawn:
        screen += [*_cut(row, columns), ("", "\n")]
    return screen[:-1]


def keys_line(keys: tuple[tuple[str, str], ...]) -> StyleAndTextTuples:
    """What can be pressed, and what it does."""
    return [part for key, does in keys for part in (("bold", key), (DIM, f" {does}  "))]


def _title(view: StepView, stepper: Stepper) -> StyledLine:
    line = view.line
    style = KINDS.get(line.kind.partition(".")[0], "")
    since = "" if view.since_us is None else f"  +{duration(view.since_us)}"
    return [
        ("bold", f"{line.seq}"),
        (DIM, f" of {stepper.head}  "),
        (f"bold {style}", plain(line.kind)),
        ("", f"  {clock_time(line.at)}"),
        (DIM, f"  {full_time(line.at).partition(' ')[0]}{since}"),
    ]


def _said(line: Line, columns: int) -> list[StyledLine]:
    """The fields of the record, one behind the other."""
    row: StyledLine = [("", "  ")]
    rows, width = [row], 2
    for field, told in fields_of(line.data):
        size = get_cwidth(field) + get_cwidth(told) + 3
        if width + size > columns and width > 2:
            row = [("", "  ")]
            rows.append(row)
            width = 2
        row += [(DIM, f"{field} "), ("", f"{told}  ")]
        width += size
    return rows


def _decision(line: Line, stepper: Stepper, columns: int) -> list[StyledLine]:
    """Which command was decided, and which records led here."""
    rows: list[StyledLine] = []
    decided = decision_of(line, stepper.line)
    if decided is not None and decided.by is not None:
        where = "" if decided is line else f" at {decided.seq}"
        told = command_told(decided.by)
        rows.append([(DIM, f"  decided{where}: "), ("", textwrap.shorten(told, max(20, columns)))])
    causes = [
        f"{seq} {plain(found.kind)}" if (found := stepper.line(seq)) else str(seq)
        for seq in line.cause
    ]
    if causes:
        rows.append([(DIM, "  because of: "), ("", ", ".join(causes))])
    return rows


def _changed(view: StepView) -> list[StyledLine]:
    """What is not as it was before this record."""
    if not view.known:
        return [[("ansired", "  not known: records before it are missing")]]
    rows = [_moved(one) for one in view.moved]
    for name, changes in groupby([*view.agent_changes, *view.broker_changes], key=attrgetter("of")):
        rows.append([("bold", f"  {plain(name)}"), *_fields(list(changes))])
    if view.count_changes:
        rows.append([("bold", "  counts"), *_fields(view.count_changes)])
    return rows or [[(DIM, "  nothing")]]


def _moved(moved: Moved) -> StyledLine:
    sides = [
        "-" if side is None else f"{side.state}{f': {side.reason}' if side.reason else ''}"
        for side in (moved.a, moved.b)
    ]
    style = "" if moved.b is None else _style(moved.b.state)
    return [
        ("bold", f"  {plain(moved.delivery_id)}"),
        (DIM, f"  {sides[0]} → "),
        (style, sides[1]),
    ]


def _fields(changes: list[FieldChange]) -> StyledLine:
    """Each as `pending 3 → 4`; what a new thing has and is nothing is left out."""
    told: StyledLine = []
    for change in changes:
        if change.field == "name" or (change.a is None and change.b in (0, False)):
            continue
        a, b = ("-" if side is None else plain(str(side)) for side in (change.a, change.b))
        told += [("", f"  {change.field} "), (DIM, f"{a} → "), ("ansiyellow", b)]
    return told


def _counts(view: StepView) -> StyledLine:
    return [
        part
        for name, number in view.counts.items()
        for part in ((DIM, f"  {name} "), ("", str(number)))
    ]


def _agents(view: StepView) -> list[StyledLine]:
    """One row an agent; those that the record changed come first."""
    changed = {change.of for change in view.agent_changes}
    rows = sorted(view.agents, key=lambda row: row.name not in changed)
    width = max((get_cwidth(plain(row.name)) for row in rows), default=0)
    drawn: list[StyledLine] = []
    for row in rows:
        state = f"{row.state}: {row.blocked}" if row.blocked else row.state
        oldest = "" if row.oldest_ms is None else f"  oldest {duration(row.oldest_ms * 1_000)}"
        name = plain(row.name)
        drawn.append(
            [
                (
                    "bold" if row.name in changed else "",
                    f"  {name}{' ' * (width - get_cwidth(name))}",
                ),
                (_style(row.state), f"  {state:<10}"),
                (DIM, "  manual" if row.mode == "manual_flush" else "  auto  "),
                ("", f"  {row.pending} pending{oldest}" if row.pending else ""),
                ("ansiyellow", f"  held: {row.held}" if row.held else ""),
            ]
        )
    return drawn


def _style(state: str) -> str:
    """The colour that tables give this state."""
    colour = STATE_STYLES.get(state, "red" if is_loss(state) else "")
    return f"ansi{colour}" if colour else ""


def _heading(text: str) -> StyledLine:
    return [(HEADING, f"─ {text} ")]


def _cut(row: StyledLine, columns: int) -> StyledLine:
    """As much of a row as there is room for; the last place says that there is more."""
    if sum(get_cwidth(text) for _, text, *_ in row) <= columns:
        return row
    kept: StyledLine = []
    left = max(0, columns - 1)
    for style, text, *_ in row:
        while get_cwidth(text) > left:
            text = text[:-1]
        kept.append((style, text))
        left -= get_cwidth(text)
    return [*kept, (DIM, "…")]
