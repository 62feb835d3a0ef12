"""Ids are positions: `evt_2a` is the message whose record is 42, `del_2a_1` its first delivery.

```
id of a message   =  "evt_" seq
id of a delivery  =  "del_" seq "_" number
seq               =  1 to 13 of 0-9a-f, the record that enqueues, refuses or queues it again
number            =  1 to 13 of 0-9, among the deliveries of that record, from 1
```

So a replay makes the same ids, and an id alone says where in the journal its story begins. This is
the only place that puts ids together, takes them apart or knows one when it sees it: a longer form
of them is a change here and nowhere else.
"""

from __future__ import annotations

import re

from ackbook.projections.facts import DeliveryId, EventId

_SEQ = r"[0-9a-f]{1,13}"

EVENT_ID = rf"evt_{_SEQ}"
"""The id of a message, for patterns that look for one in a text."""

_ID = re.compile(rf"evt_({_SEQ})|del_({_SEQ})_[0-9]{{1,13}}")


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


def position_in(made: EventId | DeliveryId) -> int:
    """The same of an id that a record holds. Raises ValueError where it is none; of a text that
    may be none ask `position_of`."""
    position = position_of(made)
    if position is None:
        raise ValueError(f"{made!r} is no id of a message or a delivery")
    return position


def is_event_id(text: str) -> bool:
    """Whether this is the id of a message."""
    found = _ID.fullmatch(text)
    return found is not None and found[1] is not None
