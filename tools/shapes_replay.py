"""The shapes of what `replay diff` and `replay bisect` print with --json.

As with all shapes, fields are added, never renamed or removed; a key without a value is null, not
absent. Times are microseconds UTC, `seq` is a position in the journal.
"""

from __future__ import annotations

import msgspec

from ackbook.projections.analysis.world_diff import FieldChange, Moved


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
