"""Ids are positions: `evt_2a` is the message whose record is 42, `del_2a_1` its first delivery.

So a replay makes the same ids, and an id alone says where in the journal its story begins.
"""

from __future__ import annotations

from projections.facts import DeliveryId, EventId


def event_id(seq: int) -> EventId:
    """The id of the message that record `seq` enqueues or refuses."""
    return EventId(f"evt_{seq:x}")


def delivery_id(seq: int, number: int) -> DeliveryId:
    """The id of delivery `number` (from 1) that record `seq` queues."""
    return DeliveryId(f"del_{seq:x}_{number}")


def position_of(text: str) -> int | None:
    """The record in which the story of this id begins; None for what is no id."""
    kind, _, rest = text.partition("_")
    digits = rest.partition("_")[0]
    if kind not in ("evt", "del") or not digits:
        return None
    try:
        return int(digits, 16)
    except ValueError:
        return None
