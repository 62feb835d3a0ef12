"""The shapes of what `replay --check` and `replay --set` print with `--json`: keys that stay.

Fields are added, never renamed or removed; a key without a value is null. Times are microseconds
UTC, `seq` is a position in the journal.
"""

from __future__ import annotations

import msgspec

from ackbook.projections.analysis.world_diff import FieldChange, Moved


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


class UncheckedRow(msgspec.Struct, frozen=True):
    """Records that could not be checked, and why."""

    first: int
    last: int
    why: str


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `replay --check`. `decisions` were made again, `diverged` of them otherwise;
    `divergences` holds the first of these, with `--all` every one. `ok`: none was; `whole`: every
    record up to the end, `head`, was looked at, and not only some of those up to `through`.

    `origin_not_told`: decisions of an older version whose records do not hold all that was read;
    `cut_short`: those of which a crash kept only the first records; `redacted`: the first records
    of those that cannot be made again without what was taken out of a bundle.
    """

    ok: bool
    whole: bool
    decisions: int
    through: int
    head: int
    diverged: int
    origin_not_told: int
    cut_short: int
    redacted: list[int]
    divergences: list[DivergenceRow]
    not_checked: list[UncheckedRow]


class OutcomeRow(msgspec.Struct, frozen=True):
    """How a delivery fared: `verified` `unverified` `evicted` `expired` `cancelled` `released`
    `dead_letter` `refused`, `open` (not settled at the end) or `absent` (it never was), since
    `at`."""

    outcome: str
    reason: str | None
    at: int | None
    attempts: int


class ChangedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that would have fared otherwise. `event_seq`: the record that its command led to;
    `delivery_id` null: there is none in the recording. `moved_ms`: how much later it would have
    settled, in the same way; null: it would have ended in another."""

    event_seq: int
    delivery_id: str | None
    agent: str
    redelivery_of: str | None
    recorded: OutcomeRow
    what_if: OutcomeRow
    moved_ms: int | None


class WhatIfReport(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `replay --set`: deliveries by outcome on both sides, and each that differs.

    `assumed`: attempts that were answered as their agent usually answers; `assumes`: all else that
    had to be taken for granted. `not_looked_at`: what is in neither side, of all up to `head`.
    """

    changes: dict[str, object]
    decisions: int
    through: int
    head: int
    recorded: dict[str, int]
    what_if: dict[str, int]
    differences: list[ChangedRow]
    assumed: int
    assumes: list[str]
    not_looked_at: list[UncheckedRow]


class MomentRow(msgspec.Struct, frozen=True):
    """One of two moments that are compared; `seq` is less than `asked_seq` before a hole."""

    directory: str
    journal: str | None
    seq: int
    at: int
    asked_seq: int


class DifferenceReply(msgspec.Struct, frozen=True, kw_only=True):
    """What `replay diff` found. A change is an object of `of` (an agent, `counts`, `policy` or
    `broker`), `field`, `a` and `b`; a delivery one of `delivery_id`, `agent`, `a` and `b`, each
    null or an object of `state`, `reason`, `attempts`, `level` and `verification`."""

    same: bool
    a: MomentRow
    b: MomentRow
    broker: list[FieldChange]
    agents: list[FieldChange]
    counts: list[FieldChange]
    deliveries: list[Moved]


class FoundRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record, as somebody who looked for it wants to know it. `by` is the command that decided
    it, and `decided_at` the record that says so; null where nothing was decided. `next` is the
    command that tells more."""

    seq: int
    at: int
    kind: str
    cause: list[int]
    decided_at: int | None
    by: msgspec.Raw | None
    data: msgspec.Raw
    next: str


class BisectReply(msgspec.Struct, frozen=True, kw_only=True):
    """What `replay bisect` found. `first`: null where the condition held nowhere; `until`: the
    first record after it at which it held no more, null where it holds to the end. `before`: it
    held already where the search began. `searched`: the first and the last record looked at."""

    first: FoundRecord | None
    until: FoundRecord | None
    before: bool
    searched: tuple[int, int]
