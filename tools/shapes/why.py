"""The shapes of stories that `why --json` prints.

As with all shapes, each is one object with keys that stay: fields are added, never renamed or
removed. A key without a value is null, not absent; `screens` is there when it was asked for. Times
are microseconds UTC, `seq` is a position in the journal.
"""

from __future__ import annotations

import msgspec

from ackbook.broker.wire.screen_captures import Still


class WaitOfQueue(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps an agent's queue, or kept it when a delivery left it untyped.

    `kind`: `held` (its head waits for `reason`), `typing`, `awaiting` or `in_doubt` (something is
    in the terminal), `retry`, `pace`. `delivery_id`: the head, or what is in the terminal. `seq`:
    the record that began it; `by`: who asked for that, where a record says so. `unknown`, with no
    `delivery_id`: no record that can be read says it.
    """

    kind: str
    delivery_id: str
    reason: str | None
    seq: int | None
    by: str | None


class DeliveryTold(msgspec.Struct, frozen=True, kw_only=True):
    """What befell a delivery. `settled_seq`: the record that settled it, null while it is open.

    `typed`: `no` (no attempt began, or each provably typed nothing), `yes`, `unknown`. States:
    those of `PendingRow`, `acked`, `evicted`, `expired`, `cancelled`, `released`, `dead_letter`,
    `dropped`, `redelivered`; `unknown` where no record that can be read says it. A reason
    `unknown` is that of one that waits, and for what cannot be read.
    """

    delivery_id: str
    agent: str
    state: str
    reason: str | None
    sentence: str
    settled_seq: int | None
    typed: str
    attempts: int
    wait: WaitOfQueue | None


class MessageStory(msgspec.Struct, frozen=True, kw_only=True):
    """Why a message is where it is: where its least settled delivery is, or `refused`.

    `timeline`: records with seq, at, kind, cause and the fields of their data, never a body.
    `missing`: the records of its time that cannot be read, as pairs of the first and the last;
    `whole`: there are none, so that nothing can be unknown.
    `screens`: with `--screen`, those that are kept of its attempts, oldest first.
    """

    id: str
    state: str
    reason: str | None
    sentence: str
    timeline: list[dict[str, object]]
    whole: bool
    missing: list[tuple[int, int]]
    deliveries: list[DeliveryTold]
    screens: list[Still] | msgspec.UnsetType = msgspec.UNSET


class DeliveryStory(msgspec.Struct, frozen=True, kw_only=True):
    """Why a delivery is where it is; the fields are those of `MessageStory` and `DeliveryTold`."""

    id: str
    state: str
    reason: str | None
    sentence: str
    timeline: list[dict[str, object]]
    whole: bool
    missing: list[tuple[int, int]]
    agent: str
    settled_seq: int | None
    typed: str
    attempts: int
    wait: WaitOfQueue | None
    screens: list[Still] | msgspec.UnsetType = msgspec.UNSET
