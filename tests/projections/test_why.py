"""Every way in which a delivery can end or wait has its sentence, and the sentence is true."""

from __future__ import annotations

import pytest

from ackbook.broker.core.commands import Cancel, Redeliver, Release, SetMode
from ackbook.projections.facts import AgentName, EventId, Policy
from ackbook.projections.why.story import Story
from tests.support.orders import become, deliver, ended, message, report_of, spawn
from tests.support.simulated import Simulated

BOB = AgentName("bob")


@pytest.fixture
def broker() -> Simulated:
    broker = Simulated(Policy(queue_length_max=2, failures_max=2, dead_letters_max=1))
    spawn(broker, "bob")
    return broker


def story(broker: Simulated, asked: str) -> Story:
    told = broker.story(asked)
    assert told is not None
    seqs = [int(str(row["seq"])) for row in told.timeline]
    assert seqs == sorted(set(seqs))
    assert "SECRET" not in str(told.to_dict())
    return told


def send(broker: Simulated, **more: object) -> tuple[EventId, str]:
    sent = broker.sent(message("bob", "SECRET", **more))
    return sent.event_id, sent.deliveries[0][0]


def test_arrived(broker: Simulated) -> None:
    event_id, delivery_id = send(broker)
    deliver(broker, broker.typed()[0])
    told = story(broker, delivery_id)
    assert told.state == "acked"
    assert "arrived: attempt 1 was submitted in bob's terminal" in told.sentence
    assert story(broker, event_id).deliveries[0].sentence == told.sentence
    kinds = [row["kind"] for row in told.timeline]
    assert kinds == ["message.enqueued", "delivery.attempted", "delivery.written", "delivery.acked"]


def test_unconfirmed_is_never_called_arrived(broker: Simulated) -> None:
    _, delivery_id = send(broker)
    broker.ask(report_of(broker.typed()[0]))
    broker.wait(5_000)
    told = story(broker, delivery_id)
    assert (told.state, told.reason) == ("acked", "echo not detected within 5s window")
    assert "unconfirmed" in told.sentence
    assert "arrived" not in told.sentence
    assert f"ackbook redeliver {delivery_id}" in told.sentence


def test_evicted_names_the_rule_the_numbers_and_who_held_the_queue(broker: Simulated) -> None:
    broker.ask(SetMode(name=BOB, mode="manual_flush", by="the operator"))
    hold_seq = broker.world.seq
    broker.wait(18 * 60_000)
    _, delivery_id = send(broker)
    for _ in range(2):
        newest, _ = send(broker)
    told = story(broker, delivery_id)
    assert (told.state, told.reason) == ("evicted", "queue_full")
    for part in (
        "bob's queue (cap 2) was full",
        newest,
        "oldest of the least urgent",
        f"since seq {hold_seq}, set by the operator 18 minutes before",
        "on hold",
        "never typed",
        f"ackbook redeliver {delivery_id}",
    ):
        assert part in told.sentence
    assert hold_seq in [row["seq"] for row in told.timeline]


def test_held_and_what_waits_behind_it(broker: Simulated) -> None:
    become(broker, "bob", "blocked", "dialog")
    _, first = send(broker)
    _, second = send(broker)
    told = story(broker, first)
    assert (told.state, told.reason) == ("held", "dialog")
    assert "a dialog, which typing would answer, has been open" in told.sentence
    assert "ackbook attach bob" in told.sentence
    behind = story(broker, second)
    assert (behind.state, behind.reason) == ("queued", "behind")
    assert f"behind {first}" in behind.sentence


def test_expired(broker: Simulated) -> None:
    become(broker, "bob", "blocked", "busy")
    _, delivery_id = send(broker, ttl_ms=1_000)
    broker.wait(1_000)
    told = story(broker, delivery_id)
    assert (told.state, told.reason) == ("expired", "ttl")
    assert "bob's program had been busy since seq 5, 1 s before" in told.sentence


def test_cancelled(broker: Simulated) -> None:
    become(broker, "bob", "blocked", "busy")
    _, delivery_id = send(broker)
    broker.ask(Cancel(id=delivery_id, by="amy"))
    assert "cancelled at seq" in story(broker, delivery_id).sentence
    assert "by amy" in story(broker, delivery_id).sentence


def test_released(broker: Simulated) -> None:
    become(broker, "bob", "blocked", "busy")
    _, delivery_id = send(broker)
    broker.ask(Release(name=BOB, reason="done"))
    told = story(broker, delivery_id)
    assert (told.state, told.reason) == ("released", "agent_released")
    assert "bob was released (done)" in told.sentence


def test_retries_and_the_dead_letter_that_they_end_in(broker: Simulated) -> None:
    _, delivery_id = send(broker)
    broker.ask(report_of(broker.typed()[0], "not_written", error="the terminal is closed"))
    waiting = story(broker, delivery_id)
    assert waiting.reason == "retry"
    assert (
        "waits to be tried again for bob in 1 s, after one attempt that typed nothing"
        in waiting.sentence
    )
    broker.wait(1_000)
    broker.ask(report_of(broker.typed()[0], "not_written", error="the terminal is closed"))
    told = story(broker, delivery_id)
    assert (told.state, told.reason) == ("dead_letter", "retries_exhausted")
    assert "the terminal is closed" in told.sentence


def test_recipient_gone(broker: Simulated) -> None:
    ended(broker, "bob")
    _, delivery_id = send(broker)
    assert (
        "bob's program has been gone since seq 5 (exit code 1)"
        in story(broker, delivery_id).sentence
    )
    broker.wait(30 * 60_000)
    assert story(broker, delivery_id).reason == "recipient_gone"


def test_outcome_unknown_and_redelivered(broker: Simulated) -> None:
    event_id, delivery_id = send(broker)
    ended(broker, "bob")
    told = story(broker, delivery_id)
    assert (told.state, told.reason) == ("dead_letter", "outcome_unknown")
    assert "nobody can say" in told.sentence
    broker.ask(Redeliver())
    again = story(broker, delivery_id)
    new = story(broker, event_id).deliveries[1].delivery_id
    assert f"queued again as {new}" in again.sentence
    assert again.state == "redelivered"
    assert story(broker, event_id).state == "held"
    assert "delivery.redelivered" in [row["kind"] for row in story(broker, new).timeline]


def test_a_dead_letter_that_was_dropped(broker: Simulated) -> None:
    _, first = send(broker)
    ended(broker, "bob")
    send(broker)
    broker.wait(30 * 60_000)
    told = story(broker, first)
    assert (told.state, told.reason) == ("dropped", "dead_letters_full")


def test_in_doubt_typing_and_awaiting(broker: Simulated) -> None:
    _, delivery_id = send(broker)
    assert story(broker, delivery_id).state == "typing"
    effect = broker.typed()[0]
    broker.ask(report_of(effect))
    assert story(broker, delivery_id).state == "awaiting"
    broker.start()
    told = story(broker, delivery_id)
    assert told.state == "in_doubt"
    assert "ackbook up" in told.sentence


def test_refused(broker: Simulated) -> None:
    broker.refused(message("nobody", "SECRET"))
    told = story(broker, f"evt_{broker.world.seq:x}")
    assert (told.state, told.reason) == ("refused", "unknown_agent")
    assert 'Agent "nobody" not found' in told.sentence


def test_a_message_is_where_its_least_settled_delivery_is(broker: Simulated) -> None:
    spawn(broker, "amy", "dev")
    spawn(broker, "cid", "dev", ready=False)
    sent = broker.sent(message("#dev", "SECRET"))
    deliver(broker, broker.typed()[0])
    told = story(broker, sent.event_id)
    assert told.state == "held"
    assert {fate.agent: fate.state for fate in told.deliveries} == {"amy": "acked", "cid": "held"}
    assert "2 deliveries, 1 of them arrived" in told.sentence


def test_what_no_record_names_has_no_story(broker: Simulated) -> None:
    assert broker.story("del_ffff_1") is None


def test_what_was_to_be_tried_again_waits_behind_what_is_typed_meanwhile(broker: Simulated) -> None:
    _, failed = send(broker, priority=4)
    broker.ask(report_of(broker.typed()[0], "not_written"))
    broker.wait(200)
    _, urgent = send(broker, priority=0)
    broker.wait(1_000)
    told = story(broker, failed)
    assert (told.state, told.reason) == ("queued", "behind")
    assert f"{urgent} is being typed" in told.sentence
