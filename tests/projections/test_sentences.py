"""The sentences as people read them, one for each way in which a delivery can wait or end."""

from __future__ import annotations

import pytest

from ackbook.broker.core.commands import Cancel, Redeliver, Release, SetMode
from ackbook.projections.facts import AgentName, HeldReason, Policy
from tests.support.orders import adopt, become, deliver, ended, message, report_of, spawn
from tests.support.simulated import Simulated

BOB = AgentName("bob")
AGAIN = " To send it again: ackbook redeliver {}."


@pytest.fixture
def broker() -> Simulated:
    broker = Simulated(Policy(queue_length_max=2, failures_max=2, dead_letters_max=1))
    spawn(broker, "bob")
    return broker


def send(broker: Simulated, **more: object) -> str:
    return broker.sent(message("bob", **more)).deliveries[0][0]


def told(broker: Simulated, asked: str) -> str:
    story = broker.story(asked)
    assert story is not None
    return story.sentence


# --- what waits


@pytest.mark.parametrize(
    ("reason", "clause", "step"),
    [
        (
            "dialog",
            "a dialog, which typing would answer, has been open in bob's terminal",
            "ackbook attach bob, and answer the dialog",
        ),
        (
            "human_typing",
            "a human has been typing in bob's terminal",
            "finish or clear the line in the terminal of bob",
        ),
        ("busy", "bob's program has been busy", "ackbook screen bob"),
        (
            "input_not_empty",
            "bob's input line has not been empty",
            "ackbook attach bob, and clear the line",
        ),
        (
            "echo_off",
            "bob's terminal has shown no typing (a password prompt)",
            "ackbook attach bob",
        ),
        (
            "foreground_changed",
            "another program has been in front in bob's terminal",
            "ackbook attach bob",
        ),
        (
            "canonical_limit",
            "the text of del_6_1 has been too long for one line of bob's terminal",
            "send a shorter text, or the path of a file",
        ),
        ("not_ready", "bob's program has not been ready", "ackbook screen bob"),
    ],
)
def test_held_by_the_terminal(
    reason: HeldReason, clause: str, step: str, broker: Simulated
) -> None:
    become(broker, "bob", "blocked", reason)
    broker.wait(3_000)
    assert told(broker, send(broker)) == (
        f"del_6_1 waits for bob, first in the queue: {clause} since seq 5, for 3 s so far."
        f" It was never typed. Next: {step}."
    )


def test_held_by_an_operator_and_behind_what_is_held(broker: Simulated) -> None:
    broker.ask(SetMode(name=BOB, mode="manual_flush", by="amy"))
    broker.wait(5 * 60_000)
    first, second = send(broker), send(broker)
    kept = (
        "bob has been on hold since seq 5, set by amy, for 5 minutes so far."
        " It was never typed. Next: ackbook flush bob, or ackbook auto bob."
    )
    assert told(broker, first) == f"{first} waits for bob, first in the queue: {kept}"
    assert told(broker, second) == f"{second} waits for bob behind {first}, number 2 of 2: {kept}"


def test_held_by_the_end_of_a_program(broker: Simulated) -> None:
    ended(broker, "bob", code=3)
    assert told(broker, send(broker)) == (
        "del_6_1 waits for bob, first in the queue: bob's program has been gone since seq 5"
        " (exit code 3). It was never typed. Next: ackbook restart bob, or ackbook release bob."
    )


def test_held_by_the_text_of_another(broker: Simulated) -> None:
    first = send(broker)
    broker.ask(report_of(broker.typed()[0], seen=True))
    second = send(broker)
    broker.wait(1_000)
    assert told(broker, second) == (
        f"{second} waits for bob, first in the queue: bob's input line has not been empty since"
        f" seq 8 (the text of {first} stands in it). It was never typed."
        " Next: ackbook attach bob, and clear the line."
    )


def test_held_through_a_start_of_the_broker(broker: Simulated) -> None:
    become(broker, "bob", "blocked", "busy")
    waiting = send(broker)
    broker.start()
    assert told(broker, waiting) == (
        f"{waiting} waits for bob, first in the queue: bob's program has not been ready since"
        " seq 8 (a broker started). It was never typed."
        " Meanwhile the broker was started again. Next: ackbook screen bob."
    )
    adopt(broker, "bob")
    become(broker, "bob", "ready")
    broker.start()
    broker.start()
    assert "Meanwhile the broker was started again 3 times." in told(broker, waiting)


def test_typing_awaiting_in_doubt_and_what_waits_behind(broker: Simulated) -> None:
    first, second = send(broker), send(broker)
    behind = f"{second} waits for bob, first in the queue: "
    assert told(broker, first) == (f"{first} is being typed for bob: attempt 1 began at seq 6.")
    assert told(broker, second) == (
        f"{behind}{first} is being typed since seq 6. It was never typed."
    )
    broker.ask(report_of(broker.typed()[0]))
    assert told(broker, first) == (
        f"{first} was typed for bob at seq 8 (attempt 1); its text is being looked for on the"
        " screen, for 5 s at most."
    )
    assert told(broker, second) == (
        f"{behind}{first}, typed at seq 8, is still being looked for on bob's screen."
        " It was never typed."
    )
    broker.start()
    asks = (
        " Meanwhile the broker was started again."
        " The broker asks bob's holder. If none is running, next: ackbook up."
    )
    assert told(broker, first) == (
        f"{first} is in doubt: attempt 1 for bob was intended at seq 6, and the broker that"
        " ordered it ended before it knew what became of it. It is not typed again before that is"
        f" known.{asks}"
    )
    assert told(broker, second) == (
        f"{behind}nobody knows yet what became of {first}, whose typing was intended at seq 6"
        f" under a broker that ended. It was never typed.{asks}"
    )


def test_retried_and_what_waits_behind(broker: Simulated) -> None:
    first = send(broker)
    broker.ask(report_of(broker.typed()[0], "not_written", error="the terminal is closed"))
    assert told(broker, first) == (
        f"{first} waits to be tried again for bob in 1 s, after one attempt that typed nothing; the"
        " last ended at seq 7: the terminal is closed."
        " It was never typed: its one attempt wrote nothing."
    )
    second = send(broker)
    assert told(broker, second) == (
        f"{second} waits for bob behind {first}, number 2 of 2: {first} is to be tried again in"
        " 1 s. It was never typed."
    )


def test_next_when_the_pace_allows_it(broker: Simulated) -> None:
    send(broker)
    deliver(broker, broker.typed()[0])
    second = send(broker)
    assert told(broker, second) == (
        f"{second} waits for bob, first in the queue: the next typing into bob's terminal is due"
        " in 100 ms. It was never typed."
    )


def test_taken_back_from_the_terminal_before_a_byte_was_typed(broker: Simulated) -> None:
    first = send(broker)
    broker.ask(report_of(broker.typed()[0], "not_begun", held="dialog"))
    assert told(broker, first) == (
        f"{first} waits for bob, first in the queue: a dialog, which typing would answer, has been"
        " open in bob's terminal since seq 7. It was never typed: its one attempt wrote nothing."
        " Next: ackbook attach bob, and answer the dialog."
    )


# --- what was typed


def test_seen_and_later_submitted(broker: Simulated) -> None:
    first = send(broker)
    effect = broker.typed()[0]
    broker.ask(report_of(effect, seen=True))
    seen = (
        f"{first} arrived: attempt 1 was seen in bob's terminal at seq 8"
        " (echo line, output bytes 10 to 90)."
    )
    assert told(broker, first) == seen
    broker.ask(report_of(effect, submitted=True))
    later = "Later, at seq 9, it was submitted (output followed, output bytes 90 to 99)."
    assert told(broker, first) == f"{seen} {later}"


def test_unconfirmed_and_seen_after_all(broker: Simulated) -> None:
    first = send(broker)
    effect = broker.typed()[0]
    broker.ask(report_of(effect))
    broker.wait(5_000)
    unconfirmed = (
        f"{first} is unconfirmed: attempt 1 was typed to bob's terminal, but at seq 8 its window"
        " was over and its text had not been seen (echo not detected within 5s window). It is"
        " never typed again by itself."
    )
    step = f" Look with: ackbook screen bob.{AGAIN.format(first)}"
    assert told(broker, first) == unconfirmed + step
    broker.ask(report_of(effect, input_empty=True))
    emptied = " At seq 9 the input line no longer showed it (input emptied)."
    assert told(broker, first) == unconfirmed + emptied + step
    broker.ask(report_of(effect, seen=True))
    later = " Later, at seq 10, it was seen (echo line, output bytes 10 to 90)."
    assert told(broker, first) == unconfirmed + emptied + later


# --- what left its queue


def test_evicted_from_a_queue_on_hold(broker: Simulated) -> None:
    broker.ask(SetMode(name=BOB, mode="manual_flush"))
    broker.wait(18 * 60_000)
    first = send(broker)
    send(broker)
    send(broker)
    assert told(broker, first) == (
        f"{first} was evicted at seq 10: bob's queue (cap 2) was full when evt_9 came, and it was"
        " the oldest of the least urgent (priority 2); bob had been on hold since seq 5, set by"
        f" the operator 18 minutes before; it was never typed.{AGAIN.format(first)}"
    )


def test_evicted_behind_what_is_typed(broker: Simulated) -> None:
    first, second = send(broker), send(broker)
    send(broker)
    send(broker)
    assert told(broker, second) == (
        f"{second} was evicted at seq 10: bob's queue (cap 2) was full when evt_9 came, and it was"
        f" the oldest of the least urgent (priority 2); {first} was being typed since seq 6; it was"
        f" never typed.{AGAIN.format(second)}"
    )


def test_evicted_by_what_came_back(broker: Simulated) -> None:
    first = send(broker)
    send(broker)
    send(broker)
    broker.ask(report_of(broker.typed()[0], "not_written"))
    assert told(broker, first) == (
        f"{first} was evicted at seq 10: bob's queue (cap 2) was full when it came back at seq 9,"
        " not typed, and it was the oldest of the least urgent (priority 2); it was never typed:"
        f" its one attempt wrote nothing.{AGAIN.format(first)}"
    )


def test_evicted_by_the_policy_of_a_new_broker() -> None:
    broker = Simulated(Policy())
    spawn(broker, "bob")
    ended(broker, "bob")
    first = send(broker)
    send(broker)
    send(broker)
    broker.policy = Policy(queue_length_max=2)
    broker.start()
    assert told(broker, first) == (
        f"{first} was evicted at seq 11: bob's queue was longer than the cap (2) with which a"
        " broker started at seq 9, and it was the oldest of the least urgent (priority 2); bob's"
        " program had been gone since seq 4 (exit code 1); it was never typed."
        f" Meanwhile the broker was started again.{AGAIN.format(first)}"
    )


def test_expired_cancelled_and_released(broker: Simulated) -> None:
    become(broker, "bob", "blocked", "busy")
    expired = send(broker, ttl_ms=1_000)
    broker.wait(1_000)
    busy = "bob's program had been busy since seq 5"
    assert told(broker, expired) == (
        f"{expired} expired at seq 8: its time to live (1 s) ran out before it could be typed for"
        f" bob; {busy}, 1 s before; it was never typed.{AGAIN.format(expired)}"
    )
    cancelled = send(broker)
    broker.wait(2_000)
    broker.ask(Cancel(id=cancelled, by="amy"))
    assert told(broker, cancelled) == (
        f"{cancelled} was cancelled at seq 11 by amy after it had waited 2 s for bob; {busy}, 3 s"
        f" before; it was never typed.{AGAIN.format(cancelled)}"
    )
    released = send(broker)
    broker.ask(Release(name=BOB, reason="done"))
    assert told(broker, released) == (
        f"{released} was dropped at seq 14: bob was released (done) with 1 waiting; {busy}, 3 s"
        " before; it was never typed."
        f" Spawn bob again, then: ackbook redeliver {released}."
    )


# --- what was given up


def test_dead_of_failed_attempts(broker: Simulated) -> None:
    first = send(broker)
    for _ in range(2):
        broker.ask(report_of(broker.typed()[0], "not_written", error="the terminal is closed"))
        broker.wait(1_000)
    assert told(broker, first) == (
        f"{first} became a dead letter at seq 9: 2 failed attempts in a row; the last: the terminal"
        " is closed; it was never typed: its 2 attempts wrote nothing." + AGAIN.format(first)
    )


def test_dead_of_a_recipient_that_did_not_come_back(broker: Simulated) -> None:
    ended(broker, "bob")
    first = send(broker)
    broker.wait(30 * 60_000)
    dead = (
        f"{first} became a dead letter at seq 8: bob's program had ended (exit code 1) at seq 5, 30"
        " minutes before, and no other came under this name within 30 minutes of the broker's"
        " running time; it was never typed."
    )
    assert told(broker, first) == dead + AGAIN.format(first)
    broker.ask(Redeliver())
    again = "At seq 9 it was queued again as del_9_1. Next: ackbook why del_9_1."
    assert told(broker, first) == f"{dead} {again}"


@pytest.mark.parametrize(
    ("is_written", "while_it_was", "what_is_known"),
    [
        (False, "typing", "attempt 1 was under way, and how much of it was typed nobody can say"),
        (True, "awaiting", "attempt 1 was typed, and whether it was read nobody can say"),
    ],
)
def test_dead_of_an_outcome_that_nobody_knows(
    is_written: bool, while_it_was: str, what_is_known: str, broker: Simulated
) -> None:
    first = send(broker)
    if is_written:
        broker.ask(report_of(broker.typed()[0]))
    ended(broker, "bob")
    seq = broker.world.seq
    assert told(broker, first) == (
        f"{first} became a dead letter at seq {seq}: the program ended (exited) while the delivery"
        f" was {while_it_was}; {what_is_known}.{AGAIN.format(first)}"
    )


def test_a_dead_letter_that_made_room(broker: Simulated) -> None:
    first = send(broker)
    ended(broker, "bob")
    send(broker)
    broker.wait(30 * 60_000)
    assert told(broker, first).endswith(
        " At seq 12 it was dropped to make room: of dead letters no more than 1 are kept."
        + AGAIN.format(first)
    )


# --- messages


@pytest.mark.parametrize(
    ("to", "body", "why"),
    [
        ("nobody", "x", 'Agent "nobody" not found; `ackbook ls` lists those there are'),
        ("bob", "", "the message has no text; give it a body"),
        (
            "bob",
            "x" * 600_000,
            "the body has 600000 bytes, the limit is 524288; put it into a file and send its path",
        ),
        (
            "#none",
            "x",
            "no agent is subscribed to #none; subscribe one, or spawn it with --channel",
        ),
    ],
)
def test_refused_at_the_door(to: str, body: str, why: str, broker: Simulated) -> None:
    broker.refused(message(to, body))
    assert told(broker, "evt_5") == (
        f"evt_5 from human was refused at seq 5: {why}."
        " Nothing of it waits anywhere, and it was never typed."
    )


def test_refused_for_a_full_queue_or_a_key_that_was_used(broker: Simulated) -> None:
    broker.ask(SetMode(name=BOB, mode="manual_flush"))
    broker.ask(message("bob", priority=0, key="k"))
    broker.refused(message("bob", "another", priority=0, key="k"))
    assert "the idempotency key 'k' was used by human for another message (evt_6)" in told(
        broker, f"evt_{broker.world.seq:x}"
    )
    send(broker, priority=0)
    broker.refused(message("bob", priority=4))
    assert "the queue of bob is full (2) of messages at least as urgent" in told(
        broker, f"evt_{broker.world.seq:x}"
    )


def test_a_message_to_many_says_how_many_and_who_did_not_take_it(broker: Simulated) -> None:
    spawn(broker, "amy", "dev")
    spawn(broker, "cid", "dev", ready=False)
    spawn(broker, "dan", "dev", ready=False)
    for _ in range(2):
        broker.ask(message("dan", priority=0))
    sent = broker.sent(message("#dev"))
    deliver(broker, next(each for each in broker.typed() if each.agent == "amy"))
    number = sent.event_id.removeprefix("evt_")
    assert told(broker, sent.event_id) == (
        f"{sent.event_id} has 2 deliveries, 1 of them arrived. The least settled: del_{number}_2"
        " waits for cid, first in the queue: cid's program has not been ready since seq 7"
        " (generation 1 started). It was never typed. Next: ackbook screen cid."
        " Of its recipients, the queue of dan (queue_full) did not take it."
    )


def test_a_message_that_arrived_everywhere(broker: Simulated) -> None:
    spawn(broker, "amy", "dev")
    spawn(broker, "cid", "dev")
    sent = broker.sent(message("#dev"))
    for effect in broker.typed():
        deliver(broker, effect)
    assert told(broker, sent.event_id) == (
        f"{sent.event_id} has 2 deliveries, all of them arrived."
    )
