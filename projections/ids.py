"""Ids are positions: `evt_2a` is the message whose record is 42, `del_2a_1` its first delivery.

So a replay makes the same ids, and an id alone says where in the journal its story begins.
"""

from __future__ import annotations

import re

from ackbook.projections.facts import DeliveryId, EventId

_ID = re.compile(r"evt_([0-9a-f]{1,13})|del_([0-9a-f]{1,13})_[0-9]{1,13}")


def event_id(seq: int) -> EventId:
    """The id of the message that record `seq` enqueues or refuses."""
    return EventId(f"evt_{seq:x}")


def delivery_id(seq: int, number: int) -> DeliveryId:
    """The id of delivery `number` (from 1) that record `seq` queues."""
    return DeliveryId(f"del_{seq:x}_{number}")


def position_of(text: str) -> int | None:
    """The record in which the story of this id begins; None for what is no id."""
    found = _ID.fullmatch(text)
    return None if found is None else int(found[1] or found[2], 16)
