"""The audit tells what the world counts, and what a model that charges every moment says."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from random import Random
from typing import get_args

from ackbook.broker.core.commands import Cancel, Release, SetMode, StopBroker
from ackbook.projections.analysis.audit import audit, lives
from ackbook.projections.analysis.delivery_record import PROVEN, DeliveryRecord
from ackbook.projections.analysis.story_range import extent_of
from ackbook.projections.analysis.summary import Spread
from ackbook.projections.analysis.wait_times import CAUSES, Hold
from ackbook.projections.codec import Entry
from ackbook.projections.facts import (
    AgentName,
    BrokerStarted,
    BrokerStopped,
    HeldReason,
    MessageEnqueued,
    Policy,
)
from ackbook.projections.why.builder import Fetch, why
from ackbook.projections.world.fold import World, fold
from tests.core.days import Day
from tests.core.test_properties import Broker
from tests.support.holed import Holed
from tests.support.orders import become, message, report_of, spawn
from tests.support.simulated import Simulated


def waits_by_brute_force(entries: list[Entry]) -> dict[str, Counter[str]]:
    """Between two entries, what each delivery waits for as the world stands then."""
    world, charged, stopped = World(), defaultdict[str, Counter[str]](Counter), False
    for entry, following in zip(entries, [*entries[1:], entries[-1]], strict=True):
        fold(world, entry)
        if isinstance(entry.fact, BrokerStarted | BrokerStopped):
            stopped = isinstance(entry.fact, BrokerStopped)
        for agent in world.agents.values():
            for delivery in agent.queue:
                if stopped:
                    cause = "no_broker"
                elif agent.flowing is not None or agent.head() is not delivery:
                    cause = "behind"
                elif agent.held is not None and agent.held.delivery_id == delivery.delivery_id:
                    cause = agent.held.reason
                else:
                    cause = "retry" if delivery.failures else "pace"
                charged[delivery.delivery_id][cause] += following.at - entry.at
    return {who: Counter({c: us for c, us in of.items() if us}) for who, of in charged.items()}


def check_audit(broker: Simulated) -> None:
    """What must be true of the audit of any history."""
    rows = list(lives(broker.entries))
    assert len({row.delivery_id for row in rows}) == len(rows)
    world = broker.world
    counts = Counter(row.outcome for row in rows)
    counts["acked"] = counts.pop("verified", 0) + counts.pop("unverified", 0)
    assert counts.pop("open", 0) == len(world.deliveries)
    ended = {name: n for name, n in world.counts.items() if name != "enqueued" and n}
    assert +counts == Counter(ended)
    model = waits_by_brute_force(broker.entries)
    for row in rows:
        assert row.waited == model.get(row.delivery_id, Counter()), row
        until = world.at if row.ended_at is None else row.ended_at
        assert sum(row.waited.values()) + row.typing_us + row.awaiting_us == (
            until - row.enqueued_at
        )
        assert (row.typed_at is None) == (row.attempts == 0)
        settled = world.settled.get(row.delivery_id)
        if settled is not None:
            assert settled.state in ("dropped", row.outcome, "acked")
            assert settled.new_delivery_id == row.redelivered_as
            if settled.state == "acked":
                assert (settled.level, settled.verification) == (row.level, row.verification)
                assert (row.verification == "echo") == (row.outcome == "verified")
                assert (settled.level in PROVEN) == (settled.level in row.reached)


def check_audit_from_the_middle(broker: Simulated) -> None:
    """An audit that goes on from a world gives the same rows for what is enqueued after it."""
    middle = len(broker.entries) // 2
    world = World()
    for entry in broker.entries[:middle]:
        fold(world, entry)
    after = world.seq
    whole = {r.delivery_id: r for r in lives(broker.entries) if r.enqueued_seq > after}
    rest = list(lives(broker.entries[middle:], world))
    assert {r.delivery_id: r for r in rest if r.enqueued_seq > after} == whole
    assert all(row.whole == (row.enqueued_seq > after) for row in rest)


def check_extents(broker: Simulated) -> None:
    """From the state before its extent and the records in it, a story is told as from all."""
    ids = [fact.event_id for fact in broker.facts(MessageEnqueued)[-3:]]
    ids += [r.delivery_id for fact in broker.facts(MessageEnqueued)[-3:] for r in fact.deliveries]
    for wanted in ids:
        extent = extent_of(broker.entries, wanted)
        assert extent is not None
        world = World()
        for entry in broker.entries[: extent.first - 1]:
            fold(world, entry)
        part = broker.entries[extent.first - 1 : extent.last]
        whole = broker.story(wanted)
        assert whole is not None
        assert why(part, wanted, fetched_from(part), world) == whole


def check_extents_from_shortly_before(broker: Simulated) -> None:
    """An extent is found as well from a world so far back that nothing before it is taken along."""
    for fact in broker.facts(MessageEnqueued):
        wanted, reach = fact.event_id, 7
        whole = extent_of(broker.entries, wanted, reach_back=reach)
        early = max(0, int(wanted.removeprefix("evt_"), 16) - 1 - reach)
        world = World()
        for entry in broker.entries[:early]:
            fold(world, entry)
        part = extent_of(broker.entries[early:], wanted, world, reach)
        assert whole is not None
        assert part is not None
        assert (part.first, part.last) == (whole.first, whole.last)
        assert set(part.left_out) <= set(whole.left_out)
        assert bool(part.left_out) == bool(whole.left_out)


def fetched_from(part: list[Entry]) -> Fetch:
    """The entries of this part only, as a bundle has them."""
    there = {entry.seq: entry for entry in part}
    return lambda seqs: {seq: there[seq] for seq in seqs if seq in there}


class Audited(Broker):
    def teardown(self) -> None:
        check_audit(self.broker)
        check_extents(self.broker)
        check_extents_from_shortly_before(self.broker)
        check_audit_from_the_middle(self.broker)


Audited.TestCase.settings = Broker.TestCase.settings
TestAudited = Audited.TestCase


def history() -> Simulated:
    """bob is on hold by tester for 20 s, his oldest message cancelled meanwhile, and let go."""
    broker = Simulated(Policy())
    spawn(broker, "bob")
    become(broker, "bob", "ready")
    broker.do(SetMode(name=AgentName("bob"), mode="manual_flush", by="tester"))
    first = broker.sent(message("bob", "one"))
    broker.sent(message("bob", "two"))
    broker.wait(5_000)
    broker.do(Cancel(id=first.event_id))
    broker.wait(15_000)
    broker.do(Release(name=AgentName("bob")))
    return broker


def test_a_hold_goes_on_when_the_head_of_its_queue_goes() -> None:
    holds = [found for found in audit(history().entries) if isinstance(found, Hold)]
    [hold] = [each for each in holds if each.reason == "manual_flush"]
    assert hold.until_at is not None
    assert (hold.agent, hold.by, hold.over) == ("bob", "tester", True)
    assert hold.until_at - hold.since_at == 20_000_000


def test_waits_say_who_was_first_and_who_behind() -> None:
    first, second = lives(history().entries)
    assert (first.outcome, first.waited) == ("cancelled", {"manual_flush": 5_000_000})
    assert second.outcome == "released"
    assert second.waited == {"behind": 5_000_000, "manual_flush": 15_000_000}


def test_time_without_a_broker_is_nobody_elses() -> None:
    broker = Simulated(Policy())
    spawn(broker, "bob", ready=False)
    broker.sent(message("bob", "x"))
    broker.wait(1_000)
    broker.do(StopBroker(reason="down"))
    broker.at += 3_600_000_000
    broker.start()
    [life] = lives(broker.entries)
    assert (life.restarts, life.waited["no_broker"]) == (1, 3_600_000_000)
    assert life.waited["not_ready"] == 1_000_000


def test_a_life_is_given_once_others_enough_have_ended_after_it() -> None:
    broker = Simulated(Policy())
    spawn(broker, "bob")
    for number in range(5):
        broker.sent(message("bob", str(number)))
        [effect] = broker.typed()
        broker.do(report_of(effect, "written", seen=True, submitted=True, input_empty=True))
        broker.wait(100)
    unread = iter(broker.entries)
    first = next(f for f in audit(unread, kept_max=2) if isinstance(f, DeliveryRecord))
    assert first.delivery_id == broker.facts(MessageEnqueued)[0].deliveries[0].delivery_id
    fourth = broker.facts(MessageEnqueued)[4]
    assert fourth in [entry.fact for entry in unread]
    assert len(list(audit(broker.entries, kept_max=0))) == len(list(audit(broker.entries)))


def test_an_attempt_that_was_undone_counts_as_none() -> None:
    broker = Simulated(Policy())
    spawn(broker, "bob")
    broker.sent(message("bob", "x"))
    broker.wait(40)
    broker.do(report_of(broker.typed()[0], "not_begun", held="dialog"))
    broker.wait(60)
    [undone] = lives(broker.entries)
    assert (undone.attempts, undone.typed_seq, undone.typing_us) == (0, None, 40_000)
    become(broker, "bob", "ready")
    [begun] = lives(broker.entries)
    assert (begun.attempts, begun.typed_at) == (1, broker.at)
    assert begun.waited == {"dialog": 60_000}


def test_an_extent_begins_with_what_kept_the_queue() -> None:
    """An evicted message that was never at the head: nothing it is caused by names the hold."""
    broker = Simulated(Policy(queue_length_max=2))
    spawn(broker, "bob")
    broker.do(SetMode(name=AgentName("bob"), mode="manual_flush", by="tester"))
    hold = broker.entries[-1].seq
    broker.sent(message("bob", "head"))
    spawn(broker, "amy")
    later = broker.sent(message("bob", "evicted", priority=4))
    broker.sent(message("bob", "newcomer"))
    evicted = broker.entries[-1].seq
    for _ in range(3):
        broker.sent(message("amy", "elsewhere"))
    extent = extent_of(broker.entries, later.event_id)
    assert extent is not None
    assert (extent.first, extent.last) == (hold, evicted)
    part = broker.entries[extent.first - 1 : extent.last]
    world = World()
    for entry in broker.entries[: extent.first - 1]:
        fold(world, entry)
    story = why(part, later.event_id, fetched_from(part), world)
    assert story is not None
    assert "set by tester" in story.sentence


def test_an_extent_takes_along_what_a_record_names_as_its_cause() -> None:
    broker = Simulated(Policy())
    spawn(broker, "bob", ready=False)
    started = broker.entries[-1].seq
    broker.wait(10)
    sent = broker.sent(message("bob", "x"))
    become(broker, "bob", "ready")
    extent = extent_of(broker.entries, sent.event_id)
    assert extent is not None
    assert extent.first == started


def test_an_extent_ends_with_the_decision_that_it_ends_in() -> None:
    broker = Simulated(Policy())
    spawn(broker, "bob", ready=False)
    first = broker.sent(message("bob", "one"))
    broker.sent(message("bob", "two"))
    broker.do(Cancel(id=first.event_id))
    assert broker.kinds()[-2:] == ["delivery.cancelled", "delivery.held"]
    decided = broker.entries[-1].seq
    broker.sent(message("bob", "three"))
    extent = extent_of(broker.entries, first.event_id)
    assert extent is not None
    assert extent.last == decided


def test_quantiles_are_exact_to_three_digits() -> None:
    spread = Spread.empty()
    spans = sorted((n * n * 7919) % 90_000_017 for n in range(1, 3_000))
    for span in spans:
        spread.add(span)
    for share in (0.5, 0.9, 0.99, 1.0):
        exact = spans[math.ceil(share * len(spans)) - 1]
        found = spread.quantile(share)
        assert found is not None
        assert exact <= found <= exact * 1.01
    assert spread.quantile(1.0) == spread.longest == spans[-1]
    assert len(spread.spans) < len(spans)


def test_the_list_of_causes_is_closed() -> None:
    assert set(get_args(HeldReason)) < set(CAUSES)


def is_within(part: Hold, whole: Hold) -> bool:
    """Whether a hold is a true one, or as much of it as was seen."""
    same = (part.agent, part.reason) == (whole.agent, whole.reason)
    return same and whole.since_seq <= part.since_seq and part.since_at <= (whole.until_at or 0)


def test_with_records_taken_out_an_outcome_is_true_or_unknown() -> None:
    seen: Counter[str] = Counter()
    for seed in range(30):
        broker, chance = Day(seed).run(160), Random(seed)
        whole = list(audit(broker.entries))
        true = {each.delivery_id: each for each in whole if isinstance(each, DeliveryRecord)}
        holds = [each for each in whole if isinstance(each, Hold)]
        for _ in range(5):
            holed = Holed(broker, chance)
            found = list(audit(holed.left, remembered=holed.remembered))
            rows = {each.delivery_id: each for each in found if isinstance(each, DeliveryRecord)}
            assert len(rows) == sum(isinstance(each, DeliveryRecord) for each in found), "each once"
            begun = {of for of, life in true.items() if not holed.holds(life.enqueued_seq)}
            assert begun <= set(rows), str(holed)
            for delivery_id, row in rows.items():
                seen[row.outcome] += 1
                known = true[delivery_id]
                assert row.outcome in (known.outcome, "unknown"), str(holed)
                assert row.reason in (known.reason, None), str(holed)
                if row.whole and row.ended_seq is not None and row.ended_seq < holed.first:
                    assert row.waited == known.waited
                if row.whole:
                    assert (row.attempts, row.retries) == (known.attempts, known.retries)
            for hold in found:
                if isinstance(hold, Hold):
                    assert any(is_within(hold, each) for each in holds), str(holed)
    assert seen["unknown"] > 50
    assert seen["open"] > 50
    assert min(seen["verified"], seen["expired"], seen["dead_letter"]) > 50
