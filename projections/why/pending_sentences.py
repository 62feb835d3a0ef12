"""The state and the sentence of a delivery that is not settled yet.

It is where its agent's queue and terminal put it at one moment, the time of the last record; behind
the end of a journal time does not go on. How deliveries end is in `outcome_sentences`.
"""

from __future__ import annotations

from itertools import takewhile
from typing import assert_never

from ackbook.projections.codec import Entry
from ackbook.projections.facts import DeliveryRetried
from ackbook.projections.why.outcome_sentences import OutcomeSentence
from ackbook.projections.why.phrases import (
    PRESENT,
    Typed,
    clause,
    never_typed,
    next_step,
    span,
    times,
)
from ackbook.projections.why.wait_cause import WaitStart
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deliveries import Delivery
from ackbook.projections.world.delivery_state import reason_of, state_of


def standing_of(
    agent: Agent,
    delivery: Delivery,
    since: WaitStart | None,
    at: int,
    typed: Typed,
    failed: Entry | None,
) -> OutcomeSentence:
    """Where a live delivery stands at the time `at`. `since`: what keeps its agent's queue;
    `failed`: the record of its last attempt that typed nothing, if there was one."""
    match delivery.state:
        case "queued":
            told = _queued(agent, delivery, since, at, failed)
            told += f" It was {never_typed(typed, delivery.attempt)}."
        case "typing" | "awaiting":
            told = _in_terminal(agent, delivery, at)
        case _:
            assert_never(delivery.state)
    return OutcomeSentence(
        state=state_of(agent, delivery),
        reason=reason_of(agent, delivery),
        sentence=f"{delivery.delivery_id} {told}",
        step="" if since is None else next_step(since.wait, agent.name),
    )


def _in_terminal(agent: Agent, delivery: Delivery, at: int) -> str:
    if delivery.doubt:
        return (
            f"is in doubt: attempt {delivery.attempt} for {agent.name} was intended at seq"
            f" {delivery.running.seq}, and the broker that ordered it ended before it knew what"
            " became of it. It is not typed again before that is known."
        )
    if delivery.state == "typing":
        return (
            f"is being typed for {agent.name}: attempt {delivery.attempt} began at seq"
            f" {delivery.running.seq}."
        )
    left = span(max(0, delivery.running.window_until - at))
    return (
        f"was typed for {agent.name} at seq {delivery.running.written_seq} (attempt"
        f" {delivery.attempt}); its text is being looked for on the screen, for {left} at most."
    )


def _queued(
    agent: Agent, delivery: Delivery, since: WaitStart | None, at: int, failed: Entry | None
) -> str:
    place = _place(agent, delivery)
    if since is None:
        head = agent.head()
        if head is None or head is delivery:
            return f"is next to be typed for {agent.name}."
        return f"waits for {agent.name}, {place}: {head.delivery_id} is next to be typed."
    wait, own = since.wait, since.wait.delivery_id == delivery.delivery_id
    if own and wait.kind == "retry":
        return _retry(agent, delivery, at, failed)
    kept = clause(since, agent.name, at, PRESENT)
    in_terminal = wait.kind in ("typing", "awaiting", "in_doubt")
    behind = "" if own or in_terminal else f" behind {wait.delivery_id}"
    return f"waits for {agent.name}{behind}, {place}: {kept}."


def _retry(agent: Agent, delivery: Delivery, at: int, failed: Entry | None) -> str:
    told = (
        f"waits to be tried again for {agent.name} in {span(delivery.due_at - at)}, after"
        f" {times(delivery.failures)} that typed nothing"
    )
    if failed is None or not isinstance(failed.fact, DeliveryRetried):
        return f"{told}."
    return f"{told}; the last ended at seq {failed.seq}: {failed.fact.error}."


def _place(agent: Agent, delivery: Delivery) -> str:
    """Its place in the queue, which is not what is typed next where some of it was flushed."""
    ahead = takewhile(lambda each: each is not delivery, agent.queue)
    number = 1 + sum(1 for _ in ahead)
    return "first in the queue" if number == 1 else f"number {number} of {len(agent.queue)}"
