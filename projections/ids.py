"""Ids are positions: `evt_2a` is the message whose record is 42, `del_2a_1` its first delivery.

```
id of a message   =  "evt_" seq [lineage]
id of a delivery  =  "del_" seq "_" number [lineage]
lineage           =  "." and 4 to 16 of 0-9a-f
seq               =  1 to 13 of 0-9a-f, the record that enqueues, refuses or queues it again
number            =  1 to 13 of 0-9, among the deliveries of that record, from 1
```

So a replay makes the same ids, and an id alone says where in the journal its story begins. A
journal that was put back from a copy goes on where the copy was made, at positions that were given
before: from there on its ids end in a tag of its own (`evt_2a.7f3c19e0`), so that no id is given
twice.

This is the only place that puts ids together, takes them apart or knows one when it sees it.
"""

from __future__ import annotations

import re

from ackbook.projections.facts import DeliveryId, EventId

_SEQ = r"[0-9a-f]{1,13}"

TAG = r"[0-9a-f]{4,16}"
"""The tag of a history, for patterns."""

_LINEAGE = rf"(?:\.{TAG})?"

EVENT_ID = rf"evt_{_SEQ}{_LINEAGE}"
"""The id of a message, for patterns that look for one in a text."""

_ID = re.compile(rf"(?:evt_(?P<event>{_SEQ})|del_(?P<delivery>{_SEQ})_[0-9]{{1,13}}){_LINEAGE}")


def event_id(seq: int, lineage: str = "") -> EventId:
    """The id of the message that record `seq` enqueues or refuses. `lineage`: the tag of the
    history that it is written in, empty for one that was never put back."""
    return EventId(f"evt_{seq:x}{_ending(lineage)}")


def delivery_id(seq: int, number: int, lineage: str = "") -> DeliveryId:
    """The id of delivery `number` (from 1) that record `seq` queues."""
    return DeliveryId(f"del_{seq:x}_{number}{_ending(lineage)}")


def _ending(lineage: str) -> str:
    return f".{lineage}" if lineage else ""


def position_of(text: str) -> int | None:
    """The record in which the story of this id begins; None for what is no id."""
    found = _ID.fullmatch(text)
    return None if found is None else int(found["event"] or found["delivery"], 16)


def position_in(made: EventId | DeliveryId) -> int:
    """The same of an id that a record holds. Raises ValueError where it is none; of a text that
    may be none ask `position_of`."""
    position = position_of(made)
    if position is None:
        raise ValueError(f"{made!r} is no id of a message or a delivery")
    return position


def lineage_of(text: str) -> str:
    """The tag in which this id ends; empty for an id without one, and for what is no id."""
    return text.partition(".")[2] if _ID.fullmatch(text) else ""


def is_event_id(text: str) -> bool:
    """Whether this is the id of a message."""
    found = _ID.fullmatch(text)
    return found is not None and found["event"] is not None
