"""History: questions that only the journal can answer, beside the loop.

Reading a long journal takes seconds; that happens on a thread or, where it is much work, in a
process, over records that are durable, while the loop goes on. An id says in which record its story
begins, so nothing before that is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from ackbook.broker.core.commands import Original
from ackbook.broker.history.journal_entries import entries, events_after
from ackbook.broker.history.why_question import WhyQuestion
from ackbook.broker.history.why_worker import WhyAnswer, historian_command
from ackbook.broker.runtime.api.service import Service
from ackbook.broker.runtime.maintenance.worker_process import WorkFailed, work
from ackbook.broker.wire.bodies import EventsBody
from ackbook.broker.wire.problems import Problem
from ackbook.journal import Reader
from ackbook.projections.codec import Entry
from ackbook.projections.events.derive import Event, cursor_of, flat
from ackbook.projections.facts import (
    AgentName,
    DeliveryId,
    DeliveryRedelivered,
    MessageEnqueued,
    Ref,
)
from ackbook.projections.ids import position_in, position_of


async def why(service: Service, asked: WhyQuestion) -> list[dict[str, object]]:
    """The stories that are asked for, at least one, as `ackbook why --json` tells them.

    Raises `Problem`: `invalid_request` for a question that means nothing or several things,
    `not_found` where no record is about it, and `internal_error` where the journal could not be
    read, with the reason.
    """
    head = service.feed.head
    async with service.historians:
        try:
            told = await work(
                historian_command(service.within.directory, head, asked), service.within
            )
        except WorkFailed as error:
            raise Problem("internal_error", f"the journal could not be read: {error}") from error
    answer = msgspec.json.decode(told, type=WhyAnswer)
    if answer.problem:
        raise Problem("invalid_request" if answer.misasked else "not_found", answer.problem)
    if not answer.stories:
        raise Problem("not_found", f"no message or delivery has the id {asked.id}")
    return answer.stories


async def original(service: Service, delivery_id: DeliveryId) -> Original | None:
    """A delivery that ended, as the journal tells it; None where it tells nothing."""
    head = service.feed.head
    return await asyncio.to_thread(find_original, service.journal, head, delivery_id)


def find_original(journal: Path, head: int, delivery_id: DeliveryId) -> Original | None:
    """What a redelivery needs to know of a delivery, from the records about it."""
    queued = position_of(delivery_id)
    if queued is None:
        return None
    story = entries(journal, queued - 1, head)
    found = _first(journal, next(story, None), delivery_id)
    if found is None:
        return None
    for entry in story:
        if isinstance(entry.fact, Ref) and entry.fact.delivery_id == delivery_id:
            found = _followed(found, entry.fact)
    return found


async def replay(service: Service, since: int, events_max: int) -> EventsBody:
    """At most so many events after a cursor."""
    head = service.feed.head
    current = cursor_of(head)

    def read() -> list[Event]:
        return list(islice(events_after(service.journal, since, head), events_max + 1))

    events = [] if since > current else await asyncio.to_thread(read)
    more = len(events) > events_max
    events = events[:events_max]
    oldest = cursor_of(Reader(service.journal).first_seq - 1)
    return EventsBody(
        events=[flat(event) for event in events],
        gap=since < oldest,
        oldest_available=oldest,
        dropped_count=0,
        current_seq=events[-1].seq if more else current,
        more=more,
    )


def raw_blocks(journal: Path, first: int, through: int) -> Iterator[bytes]:
    """The lines of the journal as they stand there, from record `first`."""
    return Reader(journal).blocks(max(0, first - 1), through)


def _first(journal: Path, entry: Entry | None, delivery_id: DeliveryId) -> Original | None:
    """The delivery as the record that queued it made it."""
    match None if entry is None else entry.fact:
        case MessageEnqueued() as message:
            agents = [e.agent for e in message.deliveries if e.delivery_id == delivery_id]
            return _original(message, delivery_id, agents[0]) if agents else None
        case DeliveryRedelivered() as again if again.new_delivery_id == delivery_id:
            position = position_in(again.event_id)
            for record in entries(journal, position - 1, position):
                if isinstance(record.fact, MessageEnqueued):
                    return _original(record.fact, delivery_id, again.agent)
    return None


def _original(message: MessageEnqueued, delivery_id: DeliveryId, agent: AgentName) -> Original:
    return Original(
        delivery_id=delivery_id,
        event_id=message.event_id,
        agent=agent,
        sender=message.sender,
        target=message.target,
        attempt=0,
        priority=message.priority,
        mode=message.mode,
        need=message.need,
        thread=message.thread,
    )


def _followed(found: Original, fact: Ref) -> Original:
    found = msgspec.structs.replace(found, attempt=max(found.attempt, fact.attempt))
    if isinstance(fact, DeliveryRedelivered):
        return msgspec.structs.replace(found, redelivered_as=fact.new_delivery_id)
    verified = getattr(fact, "verification", None) == "echo"
    higher = getattr(fact, "level", "") in ("seen", "submitted", "consumed", "answered")
    return msgspec.structs.replace(found, seen=found.seen or verified or higher)
