"""The shapes of what `replay --check` and `replay --set` print with `--json`: keys that stay.

Fields are added, never renamed or removed; a key without a value is null. Times are microseconds
UTC, `seq` is a position in the journal.
"""

from __future__ import annotations

import msgspec


class SideRow(msgspec.Struct, frozen=True):
    """One side of a divergence: a record, as the journal holds it or as the rules would say it."""

    kind: str
    data: object
    cause: tuple[int, ...]


class DivergenceRow(msgspec.Struct, frozen=True):
    """A decision that is made otherwise today: at its record `seq`, which of them differ, by the
    names of their fields. `recorded` or `decided` null: that side says nothing more."""

    seq: int
    first_seq: int
    at: int
    command: object
    recorded: SideRow | None
    decided: SideRow | None
    differs: list[str]


class SkippedRow(msgspec.Struct, frozen=True):
    """Records that could not be checked, and why."""

    first: int
    last: int
    why: str


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `replay --check`. `decisions` were made again, `diverged` of them otherwise;
    `divergences` holds the first of these, with `--all` every one.

    `origin_not_told`: decisions of an older version whose records do not hold all that was read;
    `cut_short`: those of which a crash kept only the first records.
    """

    ok: bool
    decisions: int
    through: int
    diverged: int
    origin_not_told: int
    cut_short: int
    divergences: list[DivergenceRow]
    not_checked: list[SkippedRow]
