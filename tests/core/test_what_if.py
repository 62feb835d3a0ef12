"""Another policy, the same commands: what changes for each delivery, and how the rest is taken."""

from __future__ import annotations

import pytest

from ackbook.broker.core.commands import Cancel, Flush, Redeliver, SetMode
from ackbook.broker.core.replay.id_mapping import Begun, IdMapping
from ackbook.broker.core.replay.recorded_replies import Reactions
from ackbook.broker.core.replay.what_if import Elsewhere
from ackbook.projections.analysis.outcome_diff import ComparedDelivery
from ackbook.projections.codec import decode
from ackbook.projections.facts import AgentName, DeliveryAcked, DeliveryId, EventId, Policy
from ackbook.projections.world.fold import World
from tests.support.orders import adopt, become, deliver, ended, message, report_of, spawn
from tests.support.simulated import Simulated, dump
from tests.support.what_if import elsewhere

BOB = AgentName("bob")


@pytest.fixture
def broker() -> Simulated:
    broker = Simulated(Policy(queue_length_max=2))
    spawn(broker, "bob", "dev")
    return broker


def hold(broker: Simulated, name: str = "bob") -> None:
    broker.ask(SetMode(name=AgentName(name), mode="manual_flush"))


def free(broker: Simulated, name: str = "bob") -> None:
    broker.ask(SetMode(name=AgentName(name), mode="auto_inject"))


def arrive(broker: Simulated, after_ms: float = 30) -> None:
    """What is typed now is seen and submitted so much later."""
    effect = broker.typed()[0]
    broker.wait(after_ms)
    deliver(broker, effect)
    broker.wait(200)


def changed(made: Elsewhere) -> list[tuple[str, str]]:
    return [(f.recorded.outcome, f.other.outcome) for f in made.fates.differences]


def only(made: Elsewhere) -> tuple[ComparedDelivery, ComparedDelivery]:
    (found,) = made.fates.differences
    return found.recorded, found.other


def test_in_a_longer_queue_the_evicted_one_is_delivered_after_the_usual_delay(
    broker: Simulated,
) -> None:
    for delay_ms in (30, 70, 50):
        broker.sent(message("bob", "shows how long it takes"))
        arrive(broker, delay_ms)
    hold(broker)
    for number in range(3):
        broker.sent(message("bob", f"waits {number}"))
    free(broker)
    begun = broker.at
    for _ in range(2):
        arrive(broker)
    broker.wait(1_000)
    broker.do(Flush(name=BOB))
    made = elsewhere(broker.entries, moved_us_min=1_000_000, queue_length_max=3)
    recorded, other = only(made)
    assert (recorded.outcome, recorded.reason) == ("evicted", "queue_full")
    assert (other.outcome, other.attempts, made.assumed) == ("verified", 1, 1)
    assert other.at == begun + 50_000


def test_in_a_shorter_queue_more_are_evicted_and_what_comes_later_is_understood(
    broker: Simulated,
) -> None:
    hold(broker)
    broker.sent(message("bob", "is evicted there"))
    broker.sent(message("bob", "is flushed"))
    broker.do(Flush(name=BOB))
    broker.ask(report_of(broker.typed()[0], submitted=True))
    cancelled = broker.sent(message("bob", "is taken back"))
    broker.ask(Cancel(id=cancelled.deliveries[0][0]))
    free(broker)
    broker.wait(1_000)
    for _ in range(1):
        arrive(broker)
    broker.sent(message("bob", "arrives on both sides"))
    arrive(broker)
    made = elsewhere(broker.entries, moved_us_min=1_000_000, queue_length_max=1)
    assert changed(made) == [("verified", "evicted")]
    assert made.fates.other.counts == {"evicted": 1, "verified": 2, "cancelled": 1}


def test_whoever_is_not_concerned_fares_the_same_under_other_ids(broker: Simulated) -> None:
    broker.policy = Policy(queue_length_max=40, failures_max=1)
    broker.start()
    adopt(broker, "bob")
    hold(broker)
    spawn(broker, "amy")
    for number in range(30):
        broker.sent(message("bob", f"is evicted there, but for the last: {number}"))
    lost = broker.sent(message("amy", "is given up on both sides"))
    broker.wait(10)
    broker.ask(report_of(broker.typed()[0], "not_written"))
    broker.wait(5_000)
    broker.ask(Redeliver(ids=(lost.deliveries[0][0],)))
    arrive(broker, 700)
    broker.sent(message("amy", "arrives on both sides"))
    arrive(broker, 70)
    made = elsewhere(broker.entries, queue_length_max=1)
    assert changed(made) == [("open", "evicted")] * 29
    assert made.there.seq > made.here.seq
    assert made.assumed == 0


def test_a_longer_window_verifies_what_was_seen_late(broker: Simulated) -> None:
    broker.sent(message("bob"))
    effect = broker.typed()[0]
    broker.ask(report_of(effect))
    broker.wait(7_000)
    broker.ask(report_of(effect, submitted=True))
    made = elsewhere(broker.entries, window_ms=10_000)
    recorded, other = only(made)
    assert (recorded.outcome, other.outcome) == ("unverified", "verified")
    assert other.at - recorded.at == 2_000_000
    assert made.assumed == 0


def test_a_shorter_window_gives_up_before_the_evidence(broker: Simulated) -> None:
    broker.sent(message("bob"))
    effect = broker.typed()[0]
    broker.ask(report_of(effect))
    broker.wait(3_000)
    broker.ask(report_of(effect, submitted=True))
    assert changed(elsewhere(broker.entries, window_ms=2_000)) == [("verified", "unverified")]
    assert changed(elsewhere(broker.entries, window_ms=3_001)) == []


def test_a_shorter_retry_delivers_earlier_by_what_it_saves(broker: Simulated) -> None:
    broker.sent(message("bob"))
    broker.wait(10)
    broker.ask(report_of(broker.typed()[0], "not_written"))
    broker.wait(1_000)
    arrive(broker, 40)
    (acked,) = broker.facts(DeliveryAcked)
    (found,) = elsewhere(broker.entries, retry_delay_ms=200).fates.differences
    assert found.moved_us == -800_000
    assert (found.recorded.outcome, found.other.attempts) == ("verified", 2)
    assert acked.attempt == 2
    assert elsewhere(broker.entries, 800_001, retry_delay_ms=200).fates.differences == []


def test_fewer_failures_give_up_and_a_redelivery_then_finds_a_dead_letter(
    broker: Simulated,
) -> None:
    broker.policy = Policy(failures_max=2)
    broker.start()
    adopt(broker, "bob")
    become(broker, "bob", "ready")
    sent = broker.sent(message("bob"))
    for _ in range(2):
        broker.ask(report_of(broker.typed()[0], "not_written"))
        broker.wait(5_000)
    broker.ask(Redeliver(ids=(sent.deliveries[0][0],)))
    arrive(broker)
    fewer = elsewhere(broker.entries, failures_max=1)
    assert changed(fewer) == []
    assert fewer.fates.other.counts == {"dead_letter": 1, "verified": 1}
    more = elsewhere(broker.entries, failures_max=3)
    assert changed(more) == [("dead_letter", "verified"), ("verified", "absent")]
    assert more.assumed == 1


def test_in_a_fan_out_each_recipient_keeps_its_own_fate(broker: Simulated) -> None:
    spawn(broker, "amy", "dev")
    hold(broker, "amy")
    hold(broker, "bob")
    broker.sent(message("amy", "takes amy's only place there"))
    broker.sent(message("#dev", "for both"))
    free(broker, "bob")
    arrive(broker)
    made = elsewhere(broker.entries, queue_length_max=1, queue_policy="reject_newest")
    recorded, other = only(made)
    assert (recorded.agent, recorded.outcome) == ("amy", "open")
    assert (other.outcome, other.reason) == ("refused", "queue_full")
    assert made.fates.other.counts["verified"] == 1


def test_what_was_refused_here_is_taken_there(broker: Simulated) -> None:
    broker.policy = Policy(queue_length_max=1, queue_policy="reject_newest")
    broker.start()
    adopt(broker, "bob")
    hold(broker)
    broker.sent(message("bob", "one"))
    broker.refused(message("bob", "two"))
    made = elsewhere(broker.entries, queue_length_max=2)
    recorded, other = only(made)
    assert (recorded.outcome, recorded.delivery_id) == ("refused", None)
    assert other.outcome == "open"


def test_an_attempt_that_only_the_other_world_makes_is_begun_when_its_holder_is_found(
    broker: Simulated,
) -> None:
    broker.policy = Policy(throttle_ms_min=60_000)
    broker.start()
    adopt(broker, "bob")
    become(broker, "bob", "ready")
    for number in range(2):
        broker.sent(message("bob", f"{number}"))
    arrive(broker, 1_000)
    broker.start()
    adopt(broker, "bob")
    become(broker, "bob", "ready")
    broker.wait(5_000)
    broker.do(Flush(name=BOB))
    made = elsewhere(broker.entries, throttle_ms_min=100)
    assert changed(made) == [("open", "verified")]


def test_a_program_that_ends_takes_what_is_typed_there_with_it(broker: Simulated) -> None:
    broker.policy = Policy(throttle_ms_min=1_500)
    broker.start()
    adopt(broker, "bob")
    become(broker, "bob", "ready")
    for number in range(2):
        broker.sent(message("bob", f"{number}"))
    arrive(broker, 1_000)
    ended(broker, "bob", began=())
    made = elsewhere(broker.entries, throttle_ms_min=100)
    recorded, other = only(made)
    assert recorded.outcome == "open"
    assert (other.outcome, other.reason) == ("dead_letter", "outcome_unknown")


def test_what_is_typed_later_is_answered_later_by_the_same(broker: Simulated) -> None:
    for number in range(2):
        broker.sent(message("bob", f"{number}"))
    arrive(broker, 10)
    begun = broker.typed()[0]
    broker.wait(1_000)
    broker.ask(report_of(begun))
    broker.wait(1_000)
    broker.ask(report_of(begun, submitted=True))
    broker.wait(2_000)
    broker.do(Flush(name=BOB))
    (found,) = elsewhere(broker.entries, throttle_ms_min=600).fates.differences
    assert found.recorded.outcome == "verified"
    assert found.moved_us == 500_000


def test_no_deadline_is_met_while_there_is_no_broker(broker: Simulated) -> None:
    broker.sent(message("bob"))
    broker.ask(report_of(broker.typed()[0], "not_written"))
    broker.at += 60_000_000
    broker.start()
    adopt(broker, "bob")
    become(broker, "bob", "ready")
    arrive(broker)
    assert elsewhere(broker.entries, retry_delay_ms=200).fates.differences == []


def test_a_broker_that_is_late_is_late_in_both_worlds(broker: Simulated) -> None:
    broker.sent(message("bob"))
    broker.ask(report_of(broker.typed()[0], "not_written"))
    broker.at += 1_700_000
    broker.wait(0)
    arrive(broker)
    made = elsewhere(broker.entries)
    assert made.fates.differences == []
    assert dump(made.there) == dump(made.here)


def test_the_same_question_has_the_same_answer(broker: Simulated) -> None:
    hold(broker)
    for number in range(5):
        broker.sent(message("bob", f"waits {number}"))
    free(broker)
    first, second = (elsewhere(broker.entries, queue_length_max=1) for _ in range(2))
    assert first.fates.differences == second.fates.differences
    assert len(first.fates.differences) == 1
    assert dump(first.there) == dump(second.there)


def test_what_was_in_the_way_of_an_attempt_is_not_in_the_way_at_another_time(
    broker: Simulated,
) -> None:
    broker.sent(message("bob", "shows how long it takes"))
    arrive(broker, 40)
    broker.sent(message("bob", "fails once"))
    broker.ask(report_of(broker.typed()[0], "not_written"))
    broker.wait(1_000)
    broker.ask(report_of(broker.typed()[0], "not_begun", held="dialog"))
    broker.wait(2_000)
    become(broker, "bob", "ready")
    arrive(broker, 40)
    broker.wait(60_000)
    broker.do(Flush(name=BOB))
    made = elsewhere(broker.entries, retry_delay_ms=200)
    recorded, other = only(made)
    assert (recorded.outcome, other.outcome) == ("verified", "verified")
    assert (recorded.attempts, other.attempts, made.assumed) == (3, 2, 1)
    assert recorded.at - other.at == 2_800_000


def test_what_was_refused_here_has_no_twin_of_the_same_name() -> None:
    twins = IdMapping()
    name, event_id = AgentName("bob"), EventId("evt_7")
    refused = Begun(name, event_id, None, 0, "queue_full")
    taken = Begun(name, event_id, DeliveryId("del_9_1"), 0)
    twins.pair([refused], [taken])
    assert twins.here(DeliveryId("del_9_1")) != "del_9_1"
    assert twins.here(event_id) == twins.there(event_id) == event_id


def test_a_journal_that_was_put_back_was_so_in_both_histories_wherever_they_stand() -> None:
    here, there = World(), World()
    made = Elsewhere(here, there, lambda policy: policy, Reactions(), 0)
    there.seq = 9  # it made more of what came before
    said = b'{"lineage":"7f3c19e0","recovery":{"head":{"seq":4,"at":1,"crc":"00000000"}}}'
    made.take([decode(b'{"seq":5,"at":1,"d":4,"kind":"journal.opened","data":%b}' % said)])
    assert (here.lineage, here.forks) == (there.lineage, there.forks) == ("7f3c19e0", (4,))
