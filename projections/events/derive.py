"""Events: what outsiders may see of an entry. Derived, never stored.

`derive` sees one entry and nothing else, so every event can be made again from the journal, at any
time and place. Names and fields are those that clients of this kind of broker know; ours besides
are `seq`, `record`, and what proof we have. Event i (from 0) of record s has the cursor
`seq = s * 1024 + i`: strictly increasing, not dense, the same after every restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import orjson

from ackbook.projections.codec import Entry
from ackbook.projections.events import agent_events, delivery_events
from ackbook.projections.facts import UpkeepFailed

EVENTS_PER_RECORD = 1024
"""So many cursors each record has; a message to 1,000 recipients needs 1,001."""


class Event(msgspec.Struct, frozen=True):
    """One event. `seq` is its cursor, `record` the journal's seq, `fields` are flat JSON."""

    kind: str
    seq: int
    record: int
    fields: dict[str, object]


def derive(entry: Entry) -> tuple[Event, ...]:
    """The events of one entry, in the order in which clients expect them."""
    rule = _RULES.get(type(entry.fact))
    if rule is None:
        return ()
    told = enumerate(rule(entry, entry.fact), start=entry.seq * EVENTS_PER_RECORD)
    return tuple([Event(kind, cursor, entry.seq, fields) for cursor, (kind, fields) in told])


def flat(event: Event) -> dict[str, object]:
    """An event as its readers get it: kind, seq, record and the fields, side by side."""
    return {"kind": event.kind, "seq": event.seq, "record": event.record, **event.fields}


def to_json(event: Event) -> bytes:
    """The same as JSON."""
    return orjson.dumps(flat(event))


def cursor_of(record: int) -> int:
    """The cursor behind everything that this record derives."""
    return record * EVENTS_PER_RECORD + EVENTS_PER_RECORD - 1


def record_of(cursor: int) -> int:
    """The record that a cursor points into."""
    return cursor // EVENTS_PER_RECORD


def _upkeep_failed(entry: Entry, fact: UpkeepFailed) -> Iterator[tuple[str, dict[str, object]]]:
    yield "upkeep_failed", {"what": fact.what, "error": fact.error}


_RULES: dict[type, Callable[[Entry, Any], Iterator[tuple[str, dict[str, object]]]]] = {
    UpkeepFailed: _upkeep_failed,
    **agent_events.RULES,
    **delivery_events.RULES,
}
