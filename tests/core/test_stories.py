"""A message's life, told as stories: what is said, and which records follow."""

from __future__ import annotations

import pytest

from ackbook.broker.core.commands import (
    Cancel,
    Flush,
    Redeliver,
    Release,
    SetMode,
    StopBroker,
    Unsubscribe,
)
from ackbook.broker.core.effects import Ask, End, Find, Start
from ackbook.broker.core.plan import plan
from ackbook.projections.facts import (
    AgentName,
    DeliveryAcked,
    DeliveryDeadLettered,
    DeliveryEvicted,
    DeliveryHeld,
    DeliveryId,
    DeliveryReportRefused,
    DeliveryRetried,
    MessageEnqueued,
    Policy,
    RestartPolicy,
)
from tests.support.orders import adopt, become, deliver, ended, message, queue_of, report_of, spawn
from tests.support.simulated import Simulated, dump

FAST = Policy(queue_length_max=3, dead_letters_max=2)


@pytest.fixture
def broker() -> Simulated:
    return Simulated()


def test_a_message_for_a_ready_agent_is_typed_seen_and_submitted(broker: Simulated) -> None:
    spawn(broker, "bob")
    sent = broker.sent(message("BOB"))
    (effect,) = broker.typed()
    assert effect.delivery_id == sent.deliveries[0][0]
    assert effect.header == f"Relay message from human [{sent.event_id}]: "
    deliver(broker, effect)
    assert broker.kinds()[-4:] == [
        "message.enqueued",
        "delivery.attempted",
        "delivery.written",
        "delivery.acked",
    ]
    acked = broker.facts(DeliveryAcked)[0]
    assert (acked.level, acked.verification, acked.occupied) == ("submitted", "echo", False)
    assert broker.typed() == []


def test_the_ids_of_a_message_are_its_position(broker: Simulated) -> None:
    spawn(broker, "bob")
    sent = broker.sent(message("bob"))
    assert sent.event_id == f"evt_{sent.seq:x}"
    assert sent.deliveries == ((f"del_{sent.seq:x}_1", "bob"),)


def test_a_window_that_runs_out_is_no_delivery_that_was_verified(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob"))
    broker.ask(report_of(broker.typed()[0]))
    broker.wait(4_999)
    assert broker.facts(DeliveryAcked) == []
    broker.wait(1)
    (acked,) = broker.facts(DeliveryAcked)
    assert (acked.level, acked.verification) == ("written", "timeout_fallback")
    assert acked.reason == "echo not detected within 5s window"
    assert broker.typed() == []


def test_a_window_that_ran_out_counts_as_no_success_for_the_throttle(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob"))
    for _ in range(3):
        broker.ask(report_of(broker.typed()[0], "not_written"))
        broker.wait(60_000)
    for _ in range(6):
        broker.ask(report_of(broker.typed()[0], input_empty=True))
        broker.wait(10_000)
        broker.sent(message("bob"))
    delays = [fact.throttle.delay_ms for fact in broker.facts(DeliveryAcked)]
    assert delays == [500] * 6


def test_a_program_that_is_busy_with_what_it_was_typed_is_left_in_peace(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob"))
    become(broker, "bob", "blocked", "busy")
    broker.wait(120_000)
    assert broker.kinds()[-1] == "agent.blocked"


def test_late_evidence_raises_the_level_and_not_the_verification(broker: Simulated) -> None:
    spawn(broker, "bob")
    sent = broker.sent(message("bob"))
    effect = broker.typed()[0]
    broker.ask(report_of(effect))
    broker.wait(5_000)
    broker.ask(report_of(effect, submitted=True))
    assert broker.kinds()[-1] == "delivery.advanced"
    settled = broker.world.settled[sent.deliveries[0][0]]
    assert (settled.level, settled.verification) == ("submitted", "timeout_fallback")


def test_the_next_is_typed_only_when_the_one_before_has_left_the_input(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob", "one"))
    broker.sent(message("bob", "two"))
    effect = broker.typed()[0]
    broker.ask(report_of(effect, seen=True))
    assert broker.facts(DeliveryHeld)[-1].reason == "input_not_empty"
    broker.wait(10_000)
    assert broker.typed() == []
    broker.ask(report_of(effect, submitted=True))
    assert [e.body for e in broker.typed()] == ["two"]


def test_an_input_that_never_empties_holds_up_to_a_recorded_deadline(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob", "one"))
    broker.sent(message("bob", "two"))
    broker.ask(report_of(broker.typed()[0], seen=True))
    held = broker.facts(DeliveryHeld)[-1]
    assert held.until == broker.at + 60_000_000
    broker.wait(60_000)
    (effect,) = broker.typed()
    assert (effect.body, effect.override) == ("two", True)


@pytest.mark.parametrize("veto", ["dialog", "human_typing", "echo_off", "foreground_changed"])
def test_a_veto_holds_for_as_long_as_it_lasts(broker: Simulated, veto: str) -> None:
    spawn(broker, "bob")
    become(broker, "bob", "blocked", veto)  # type: ignore[arg-type]
    broker.sent(message("bob"))
    broker.wait(30 * 24 * 3_600_000)
    assert broker.typed() == []
    assert broker.facts(DeliveryHeld)[-1].reason == veto
    become(broker, "bob", "ready")
    assert len(broker.typed()) == 1


def test_a_guess_holds_up_to_its_deadline(broker: Simulated) -> None:
    spawn(broker, "bob")
    become(broker, "bob", "blocked", "busy")
    broker.sent(message("bob"))
    broker.wait(59_999)
    assert broker.typed() == []
    broker.wait(1)
    assert broker.typed()[0].override


def test_what_a_veto_stopped_before_the_first_byte_is_no_failed_attempt(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob"))
    effect = broker.typed()[0]
    broker.ask(report_of(effect, "not_begun", held="dialog"))
    held = broker.facts(DeliveryHeld)[-1]
    assert (held.reason, held.undone, held.until) == ("dialog", True, None)
    assert broker.facts(DeliveryRetried) == []
    become(broker, "bob", "ready")
    assert broker.typed()[0].attempt == effect.attempt + 1


def test_a_failed_write_is_tried_again_ten_times_and_then_a_dead_letter(broker: Simulated) -> None:
    spawn(broker, "bob")
    sent = broker.sent(message("bob"))
    for _ in range(10):
        broker.ask(report_of(broker.typed()[0], "not_written", error="the terminal is closed"))
        broker.wait(60_000)
    retried = broker.facts(DeliveryRetried)
    assert [fact.failures for fact in retried] == list(range(1, 10))
    (dead,) = broker.facts(DeliveryDeadLettered)
    assert (dead.delivery_id, dead.reason) == (sent.deliveries[0][0], "retries_exhausted")
    assert list(broker.world.dead_letters) == [dead.delivery_id]


def test_what_waits_for_its_retry_keeps_its_place(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob", "first"))
    broker.sent(message("bob", "second"))
    broker.sent(message("bob", "urgent", priority=0))
    assert broker.typed()[0].body == "first"
    broker.ask(report_of(broker.typed()[0], "not_written"))
    broker.wait(500)
    assert broker.typed()[0].body == "urgent"
    deliver(broker, broker.typed()[0])
    broker.wait(400)
    assert broker.typed() == []
    broker.wait(1_000)
    assert broker.typed()[0].body == "first"


def test_a_full_queue_loses_the_oldest_of_its_least_urgent() -> None:
    broker = Simulated(FAST)
    spawn(broker, "bob")
    broker.ask(SetMode(name=AgentName("bob"), mode="manual_flush"))
    for body, priority in (("a", 1), ("b", 3), ("c", 3)):
        broker.sent(message("bob", body, priority=priority))
    newcomer = broker.sent(message("bob", "d", priority=2))
    (evicted,) = broker.facts(DeliveryEvicted)
    assert (evicted.priority, evicted.cap, evicted.by) == (3, 3, newcomer.event_id)
    assert evicted.event_id == broker.facts(MessageEnqueued)[1].event_id


def test_one_more_urgent_is_never_evicted_for_a_newcomer() -> None:
    broker = Simulated(FAST)
    spawn(broker, "bob")
    broker.ask(SetMode(name=AgentName("bob"), mode="manual_flush"))
    for body in "abc":
        broker.sent(message("bob", body, priority=1))
    refused = broker.refused(message("bob", "d", priority=2))
    assert refused.reason == "queue_full"
    assert broker.kinds()[-1] == "message.refused"
    assert len(queue_of(broker.world, "bob")) == 3


def test_a_policy_may_refuse_the_newest_instead() -> None:
    broker = Simulated(Policy(queue_length_max=1, queue_policy="reject_newest"))
    spawn(broker, "bob", ready=False)
    broker.sent(message("bob", "a"))
    assert broker.refused(message("bob", "b", priority=0)).reason == "queue_full"


def test_what_is_in_flight_is_neither_counted_nor_evicted() -> None:
    broker = Simulated(FAST)
    spawn(broker, "bob")
    for body in "abcd":
        broker.sent(message("bob", body))
    assert broker.facts(DeliveryEvicted) == []
    assert len(queue_of(broker.world, "bob")) == 3
    broker.sent(message("bob", "e"))
    assert broker.typed()[0].body == "a"
    assert len(broker.facts(DeliveryEvicted)) == 1


def test_a_channel_reaches_all_its_subscribers_in_one_record(broker: Simulated) -> None:
    for name in ("amy", "bob", "cat"):
        spawn(broker, name, "dev")
    spawn(broker, "dan")
    sent = broker.sent(message("#dev", sender="amy"))
    assert [agent for _, agent in sent.deliveries] == ["bob", "cat"]
    fact = broker.facts(MessageEnqueued)[-1]
    assert (len(fact.deliveries), fact.priority) == (2, 3)
    broker.ask(Unsubscribe(name=AgentName("bob"), channels=("#dev",)))
    assert [a for _, a in broker.sent(message("#dev", sender="amy")).deliveries] == ["cat"]


def test_in_a_fan_out_each_queue_decides_for_itself() -> None:
    broker = Simulated(Policy(queue_length_max=1, queue_policy="reject_newest"))
    spawn(broker, "amy", "dev", ready=False)
    spawn(broker, "bob", "dev", ready=False)
    broker.sent(message("amy"))
    sent = broker.sent(message("#dev"))
    assert [agent for _, agent in sent.deliveries] == ["bob"]
    assert [(r.agent, r.reason) for r in sent.refused] == [("amy", "queue_full")]
    assert broker.refused(message("#dev")).reason == "queue_full"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (message("nobody"), "unknown_agent"),
        (message("#nobody"), "unknown_agent"),
        (message("bob", " \n"), "empty"),
        (message("bob", "\x00\u200b\x1b"), "empty"),
        (message("bob", "é" * 300_000), "too_large"),
        (message("bob", priority=5), "invalid"),
        (message("bob", ttl_ms=0), "invalid"),
        (message("bob", sender="x" * 300), "invalid"),
        (message("bob", sender="a\x1bb"), "invalid"),
    ],
)
def test_the_door_refuses_with_a_reason(broker: Simulated, command: object, reason: str) -> None:
    spawn(broker, "bob")
    assert broker.refused(command).reason == reason  # type: ignore[arg-type]
    assert broker.world.counts["enqueued"] == 0


def test_a_repeated_key_changes_nothing_and_gets_the_first_answer(broker: Simulated) -> None:
    spawn(broker, "bob")
    first = broker.sent(message("bob", key="k"))
    before = dump(broker.world)
    again = broker.sent(message("bob", key="k"))
    assert again.repeated
    assert (again.event_id, again.seq, again.deliveries) == (
        first.event_id,
        first.seq,
        first.deliveries,
    )
    assert dump(broker.world) == before
    assert broker.refused(message("bob", "other", key="k")).reason == "idempotency_conflict"
    assert not broker.sent(message("bob", key="k", sender="amy")).repeated


def test_a_key_is_forgotten_by_a_record_when_its_window_is_over() -> None:
    broker = Simulated(Policy(key_window_ms=1_000))
    spawn(broker, "bob", ready=False)
    broker.sent(message("bob", key="k"))
    broker.wait(1_000)
    assert broker.kinds()[-1] == "keys.forgotten"
    assert not broker.world.keys
    assert not broker.sent(message("bob", key="k")).repeated


def test_keys_beyond_the_cap_are_forgotten_oldest_first() -> None:
    broker = Simulated(Policy(keys_max=2))
    spawn(broker, "bob", ready=False)
    for key in "abc":
        broker.sent(message("bob", key=key))
    assert [key for _, key in broker.world.keys] == ["b", "c"]
    assert broker.kinds()[-1] == "keys.forgotten"


def test_a_message_expires_while_it_waits_and_not_once_it_is_typed(broker: Simulated) -> None:
    spawn(broker, "bob", ready=False)
    broker.sent(message("bob", ttl_ms=1_000))
    broker.wait(1_000)
    assert broker.kinds()[-1] == "delivery.expired"
    become(broker, "bob", "ready")
    broker.sent(message("bob", ttl_ms=1_000))
    broker.wait(4_000)
    assert broker.kinds()[-1] == "delivery.attempted"


def test_hold_parks_and_flush_takes_what_is_queued_now(broker: Simulated) -> None:
    spawn(broker, "bob")
    bob = AgentName("bob")
    assert broker.ask(SetMode(name=bob, mode="manual_flush")).revision == 1
    broker.sent(message("bob", "a"))
    broker.sent(message("bob", "b"))
    assert broker.typed() == []
    assert broker.ask(Flush(name=bob)).count == 2
    broker.sent(message("bob", "c", priority=0))
    assert broker.typed()[0].body == "a"
    deliver(broker, broker.typed()[0])
    broker.wait(100)
    assert broker.typed()[0].body == "b"
    deliver(broker, broker.typed()[0])
    broker.wait(60_000)
    assert broker.typed() == []
    answer = broker.ask(SetMode(name=bob, mode="auto_inject"))
    assert (answer.revision, answer.flushed) == (2, 1)
    assert broker.typed()[0].body == "c"


def test_a_later_hold_takes_back_what_was_not_attempted(broker: Simulated) -> None:
    spawn(broker, "bob")
    bob = AgentName("bob")
    broker.ask(SetMode(name=bob, mode="manual_flush"))
    for body in "ab":
        broker.sent(message("bob", body))
    broker.ask(Flush(name=bob))
    broker.ask(SetMode(name=bob, mode="manual_flush"))
    deliver(broker, broker.typed()[0])
    broker.wait(60_000)
    assert broker.typed() == []


def test_a_mode_is_changed_only_by_who_saw_the_present_one(broker: Simulated) -> None:
    spawn(broker, "bob")
    bob = AgentName("bob")
    missed = broker.ask(SetMode(name=bob, mode="manual_flush", expected_revision=7))
    assert (missed.matched, missed.mode, missed.revision) == (False, "auto_inject", 0)
    assert broker.ask(SetMode(name=bob, mode="manual_flush", expected_revision=0)).matched


def test_a_release_drops_what_waits_in_one_record(broker: Simulated) -> None:
    spawn(broker, "bob", ready=False)
    for body in "abc":
        broker.sent(message("bob", body))
    before = broker.world.seq
    broker.ask(Release(name=AgentName("bob")))
    assert broker.world.seq == before + 1
    assert broker.world.counts["released"] == 3
    assert list(plan(broker.world)) == [End(agent=AgentName("bob"), generation=1)]
    assert broker.refused(message("bob")).reason == "unknown_agent"


def test_an_agent_that_exits_keeps_its_messages_for_its_hold_time(broker: Simulated) -> None:
    spawn(broker, "bob")
    ended(broker, "bob")
    sent = broker.sent(message("bob"))
    broker.wait(30 * 60_000 - 1)
    assert sent.deliveries[0][0] in broker.world.deliveries
    broker.wait(1)
    (dead,) = broker.facts(DeliveryDeadLettered)
    assert dead.reason == "recipient_gone"


def test_hold_time_is_running_time_of_the_broker(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob"))
    deliver(broker, broker.typed()[0])
    ended(broker, "bob")
    broker.sent(message("bob"))
    broker.wait(10 * 60_000)
    broker.ask(StopBroker(reason="down"))
    broker.at += 24 * 3_600_000_000
    broker.start()
    broker.wait(20 * 60_000 - 1)
    assert broker.facts(DeliveryDeadLettered) == []
    broker.wait(1)
    assert len(broker.facts(DeliveryDeadLettered)) == 1


def test_an_agent_that_ended_with_its_broker_is_waited_for(broker: Simulated) -> None:
    spawn(broker, "bob", ready=False)
    broker.sent(message("bob"))
    broker.start()
    ended(broker, "bob", "ended_with_broker", None)
    broker.wait(365 * 24 * 3_600_000)
    assert len(queue_of(broker.world, "bob")) == 1
    spawn(broker, "bob")
    assert len(broker.typed()) == 1


def test_a_restarted_broker_asks_and_never_types_what_is_in_doubt(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob"))
    effect = broker.typed()[0]
    broker.start()
    owed = list(plan(broker.world))
    assert owed == [
        Find(agent=effect.agent, generation=1),
        Ask(
            delivery_id=effect.delivery_id,
            agent=effect.agent,
            generation=1,
            attempt=effect.attempt,
        ),
    ]
    adopt(broker, "bob", (effect.delivery_id, effect.attempt))
    assert broker.typed() == []
    broker.ask(report_of(effect, submitted=True))
    assert broker.facts(DeliveryAcked)[-1].verification == "echo"


def test_an_attempt_that_the_holder_never_heard_of_is_typed_again(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob"))
    effect = broker.typed()[0]
    broker.start()
    adopt(broker, "bob")
    become(broker, "bob", "ready")
    broker.wait(0)
    (again,) = broker.typed()
    assert (again.delivery_id, again.attempt) == (effect.delivery_id, 2)
    assert broker.facts(DeliveryRetried)[-1].failures == 0


def test_a_generation_that_ended_in_doubt_is_a_dead_letter(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob"))
    broker.start()
    ended(broker, "bob", "ended_with_broker", None)
    (dead,) = broker.facts(DeliveryDeadLettered)
    assert dead.reason == "outcome_unknown"
    spawn(broker, "bob")
    assert broker.typed() == []


def test_what_a_program_that_ended_was_never_typed_waits_for_the_next(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob"))
    effect = broker.typed()[0]
    ended(broker, "bob", began=())
    assert broker.facts(DeliveryDeadLettered) == []
    assert broker.facts(DeliveryRetried)[-1].failures == 0
    spawn(broker, "bob")
    (again,) = broker.typed()
    assert (again.delivery_id, again.attempt) == (effect.delivery_id, 2)


@pytest.mark.parametrize("told", [True, False])
def test_what_was_begun_when_its_program_ended_has_an_unknown_end(
    broker: Simulated, told: bool
) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob"))
    effect = broker.typed()[0]
    ended(broker, "bob", began=((effect.delivery_id, effect.attempt),) if told else None)
    assert [dead.reason for dead in broker.facts(DeliveryDeadLettered)] == ["outcome_unknown"]


def test_what_was_written_when_its_program_ended_is_not_typed_again(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob"))
    broker.ask(report_of(broker.typed()[0]))
    ended(broker, "bob", began=())
    assert [dead.reason for dead in broker.facts(DeliveryDeadLettered)] == ["outcome_unknown"]


def test_a_report_of_another_attempt_or_generation_settles_nothing(broker: Simulated) -> None:
    spawn(broker, "bob")
    broker.sent(message("bob"))
    effect = broker.typed()[0]
    broker.ask(report_of(effect, "not_written"))
    broker.wait(1_000)
    assert broker.refused(report_of(effect, submitted=True)).reason == "stale"
    assert broker.facts(DeliveryReportRefused)[-1].reason == "stale_attempt"
    assert broker.facts(DeliveryAcked) == []


def test_a_crashed_program_is_started_again_until_its_restarts_are_used_up() -> None:
    broker = Simulated()
    policy = RestartPolicy(enabled=True)
    spawn(broker, "bob", restart=policy)
    for crash in range(1, 4):
        ended(broker, "bob")
        if crash < 3:
            (start,) = plan(broker.world)
            assert isinstance(start, Start)
            assert start.due_at == broker.at + 2_000_000
            spawn(broker, "bob", restart=policy, source="restart")
    assert broker.kinds()[-1] == "agent.died"
    assert list(plan(broker.world)) == []


def test_dead_letters_beyond_the_cap_are_dropped_by_a_record() -> None:
    broker = Simulated(FAST)
    spawn(broker, "bob", ready=False)
    for body in "abc":
        broker.sent(message("bob", body))
    ended(broker, "bob")
    broker.wait(30 * 60_000)
    assert len(broker.world.dead_letters) == 2
    assert broker.kinds().count("delivery.dropped") == 1


def test_a_dead_letter_is_redelivered_once_under_a_new_id(broker: Simulated) -> None:
    spawn(broker, "bob")
    sent = broker.sent(message("bob"))
    ended(broker, "bob", "ended_with_broker", None)
    old = sent.deliveries[0][0]
    spawn(broker, "bob", ready=False)
    answer = broker.ask(Redeliver(ids=(old,)))
    ((was, new, agent, event_id),) = answer.redelivered
    assert (was, agent, event_id) == (old, "bob", sent.event_id)
    assert new != old
    again = broker.ask(Redeliver(ids=(old,)))
    assert again.skipped == ((old, "", f"already redelivered as {new}"),)
    become(broker, "bob", "ready")
    assert [e.delivery_id for e in broker.typed()] == [new]
    assert broker.typed()[0].body == "hello"


def test_what_waits_can_be_cancelled_and_what_is_typed_cannot(broker: Simulated) -> None:
    spawn(broker, "bob")
    first = broker.sent(message("bob", "a"))
    second = broker.sent(message("bob", "b"))
    assert broker.refused(Cancel(id=first.event_id)).reason == "not_cancellable"
    assert broker.ask(Cancel(id=second.event_id)).cancelled == (second.deliveries[0][0],)
    assert broker.refused(Cancel(id="del_ffff_1")).reason == "delivery_not_found"
    assert broker.ask(Redeliver(ids=(DeliveryId("del_ffff_1"),))).skipped[0][2] == "not found"


def test_a_graceful_stop_drops_nothing_and_the_next_start_goes_on(broker: Simulated) -> None:
    spawn(broker, "bob", ready=False)
    for body in "abc":
        broker.sent(message("bob", body))
    broker.ask(StopBroker(reason="down"))
    waiting = queue_of(broker.world, "bob")
    broker.start()
    assert queue_of(broker.world, "bob") == waiting
