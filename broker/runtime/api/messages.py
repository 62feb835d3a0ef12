"""Messages: sent, waited for, taken back, brought back, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request

from ackbook.broker.core.commands import Cancel, Cancelled, Redeliver, Redelivery, Sent
from ackbook.broker.history.why_question import WhyQuestion
from ackbook.broker.runtime.api import history
from ackbook.broker.runtime.api.callers import caller_of, check_claim, check_door
from ackbook.broker.runtime.api.handler import cursor_of_text
from ackbook.broker.runtime.api.service import Service
from ackbook.broker.wire import requests, views
from ackbook.broker.wire.bodies import CancelBody, DeadLettersBody, EventsBody, RedeliveryBody
from ackbook.broker.wire.problems import Problem
from ackbook.broker.wire.replies import KeptRow, SendReply, WaitingReply
from ackbook.broker.wire.requests import Fields
from ackbook.projections.facts import DeliveryId
from ackbook.projections.world.fold import World

EVENTS_MAX = 10_000
"""Events in one answer; whoever wants more asks again from the last."""


async def send(service: Service, request: Request) -> SendReply:
    """Send a message; with `wait_ms`, answer once its outcome is known or the time is over.

    Raises `Problem` for a body that means nothing (see `send_request`) and where the rules refuse,
    which `STATUS` lists; a code in `RETRYABLE` is worth sending the same once more.
    """
    key = request.headers.get("idempotency-key")
    who = await caller_of(service, request)
    asked = requests.send_request(await request.body(), key, who.agent or "human")
    check_claim(who, "from", asked.command.sender)
    answer = await service.carry(asked.command, who)
    assert isinstance(answer, Sent)
    if not asked.wait_ms:
        rows = [views.just_queued(each, agent) for each, agent in answer.deliveries]
        return views.sent(answer, rows, None)
    need = asked.command.need
    ids = [each for each, _ in answer.deliveries]
    known = await service.waiter.until(
        service.engine,
        ids,
        lambda world, at: views.waited(world, answer, need),
        asked.wait_ms / 1e3,
    )
    if known is None:
        known = await service.engine.ask(
            lambda world, at: views.waited_in_vain(world, answer, need)
        )
    outcome, rows = known
    return views.sent(answer, rows, outcome)


async def pending(service: Service, request: Request) -> WaitingReply:
    """Everything that waits, and for what."""
    return await service.engine.ask(views.waiting)


async def cancel(service: Service, request: Request) -> CancelBody:
    """Take back what was not typed yet. Raises `Problem`: `not_cancellable` where all of it was
    typed or has ended, `delivery_not_found` where nothing in a queue has this id, `not_allowed`,
    and what `caller_of` raises."""
    who, wanted = await caller_of(service, request), request.path_params["id"]
    if who.agent:
        for ends in await service.engine.ask(lambda world, at: _ends_of(world, wanted)):
            await check_door(service, who, "cancel", *ends)
    answer = await service.carry(Cancel(id=wanted, by="api"), who)
    assert isinstance(answer, Cancelled)
    kept = [KeptRow(delivery_id=each, state=state) for each, state in answer.kept]
    return CancelBody(cancelled=list(answer.cancelled), kept=kept)


async def dead_letters(service: Service, request: Request) -> DeadLettersBody:
    """What was given up and kept aside."""
    return await service.engine.ask(views.dead_letters)


async def redeliver(service: Service, request: Request) -> RedeliveryBody:
    """Queue again what ended unseen; what the world forgot is read back from the journal.

    Raises `Problem`: `invalid_request` where neither `id` nor `all` is there,
    `dead_letter_not_found` where nothing that ended has the id, `not_allowed`, and what `caller_of`
    raises. What was found and is not queued again is no error: the answer says why.
    """
    fields = Fields(await request.body())
    wanted = fields.text("id", "delivery_id", "deliveryId")
    if wanted is None and not fields.flag("all"):
        raise Problem("invalid_request", "id or all is needed")
    ids = () if wanted is None else (DeliveryId(wanted),)
    missing = await service.engine.ask(lambda world, at: [i for i in ids if _ended(world, i)])
    originals = [o for i in missing if (o := await history.original(service, i)) is not None]
    who = await caller_of(service, request)
    if who.agent:
        letters = await service.engine.ask(lambda world, at: _ends_of_letters(world, ids))
        for ends in (*letters, *((each.sender, each.agent) for each in originals)):
            await check_door(service, who, "redeliver", *ends)
    answer = await service.carry(Redeliver(ids=ids, originals=tuple(originals)), who)
    assert isinstance(answer, Redelivery)
    if wanted is not None and not answer.redelivered:
        reasons = [reason for _, _, reason in answer.skipped]
        if reasons == ["not found"]:
            raise Problem("dead_letter_not_found", f"nothing that ended has the id {wanted}")
    return views.redelivered(answer)


async def replay_events(service: Service, request: Request) -> EventsBody:
    """Events after a cursor, as one answer. Raises `Problem` (`invalid_request`) for what is no
    cursor; one ahead of the journal is answered with no events and where it ends."""
    since = cursor_of_text(request.query_params.get("sinceSeq", "0"))
    return await history.replay(service, since, EVENTS_MAX)


async def why(service: Service, request: Request) -> dict[str, object]:
    """The story of a message or a delivery, by its id or its idempotency key. Raises `Problem` as
    `history.why` does."""
    sender = request.query_params.get("from")
    [story] = await history.why(service, WhyQuestion(id=request.path_params["id"], sender=sender))
    return story


async def why_asked(service: Service, request: Request) -> dict[str, object]:
    """The stories of what a query names: `id`, `key` (and `from`), or `agent` and `last`.

    Raises `Problem` as `history.why` does, and `invalid_request` where `last` is no number.
    """
    said = request.query_params
    last = said.get("last")
    if last is not None and not (last.isascii() and last.isdecimal() and len(last) < 8):
        raise Problem("invalid_request", f"last is a number, not {last!r}")
    asked = WhyQuestion(
        id=said.get("id"),
        key=said.get("key"),
        sender=said.get("from"),
        agent=said.get("agent"),
        last=None if last is None else int(last),
    )
    return {"stories": await history.why(service, asked)}


def _ends_of(world: World, wanted: str) -> set[tuple[str, str]]:
    """The sender and the recipient of each delivery that has this id, or whose message has it: it
    is theirs to take back."""
    return {
        (each.message.sender, each.agent)
        for each in world.deliveries.values()
        if wanted in (each.delivery_id, each.message.event_id)
    }


def _ends_of_letters(world: World, ids: Sequence[DeliveryId]) -> set[tuple[str, str]]:
    """The same for dead letters: of these ids, or all."""
    found = (world.dead_letters.get(each) for each in ids or tuple(world.dead_letters))
    return {(each.message.sender, each.agent) for each in found if each is not None}


def _ended(world: World, delivery_id: DeliveryId) -> bool:
    """Whether only the journal can tell what a redelivery would need."""
    return delivery_id not in world.dead_letters and delivery_id not in world.deliveries
