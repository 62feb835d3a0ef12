"""The journal below the broker as entries, events and bodies, for whoever looks back.

It takes no lock and sees nothing that is not durable. Everything here is as slow as the journal is
long: ask for what begins late, or ask on a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ackbook.journal import Files, Reader
from ackbook.projections.codec import Entry, decode
from ackbook.projections.events.derive import Event, derive, record_of
from ackbook.projections.facts import AgentReleased, AgentSpawned, MessageEnqueued


def entries(
    journal: Path, after: int, through: int | None = None, *, files: Files | None = None
) -> Iterator[Entry]:
    """What stands in the journal after a record, in order."""
    return (decode(line.raw) for line in Reader(journal, files=files).lines(after, through))


def events_after(journal: Path, since: int, head: int) -> Iterator[Event]:
    """Every event after a cursor through the record `head`."""
    after = max(0, record_of(since) - 1)
    for entry in entries(journal, after, head):
        yield from (event for event in derive(entry) if event.seq > since)


def body_at(journal: Path, seq: int, files: Files | None = None) -> str:
    """The body of the message whose record this is. Raises LookupError where it is none, or cannot
    be read any more."""
    for entry in entries(journal, seq - 1, seq, files=files):
        if isinstance(entry.fact, MessageEnqueued):
            return entry.fact.body
    raise LookupError(f"record {seq} of {journal} is no message that can be read")


def holder_let_go(journal: Path, seq: int, files: Files | None = None) -> str:
    """The file name of the holder whose agent was let go by this record. Raises LookupError where
    that, or the record of its start, cannot be read any more."""
    for released in entries(journal, seq - 1, seq, files=files):
        for cause in released.cause if isinstance(released.fact, AgentReleased) else ():
            for spawned in entries(journal, cause - 1, cause, files=files):
                if isinstance(spawned.fact, AgentSpawned):
                    return spawned.fact.holder
    raise LookupError(f"record {seq} of {journal} lets nobody go whose start can be read")
