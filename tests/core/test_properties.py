"""Promises of the rules under any history: what Hypothesis finds to do with a broker.

The holders are a model: for each typing that the world owes, one that says anything a holder may
say, late, twice, or never. A broker may end at any moment, which is only that a new one starts on
the records; a holder may be gone by then. Checked after every step: the world's own invariants,
among them that counts are conserved, and that replay equals live.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ackbook.broker.core.commands import (
    Accepted,
    Cancel,
    Flush,
    Redeliver,
    Release,
    Sent,
    SetMode,
    StopBroker,
)
from ackbook.broker.core.effects import Ask, Type
from ackbook.broker.core.plan import plan
from ackbook.broker.core.replay.recheck import check
from ackbook.projections.codec import decode
from ackbook.projections.facts import (
    AgentName,
    DeliveryAttempted,
    DeliveryRedelivered,
    MessageEnqueued,
    Policy,
    RestartPolicy,
)
from ackbook.projections.world import serialization
from ackbook.projections.world.fold import World, next_deadline
from tests.support.ledger import Ledger
from tests.support.orders import adopt, become, ended, message, report_of, spawn
from tests.support.redacted import checked_redacted
from tests.support.simulated import Simulated, dump
from tests.support.what_if import elsewhere

NAMES = ("amy", "bob", "Cid")
POLICIES = (
    Policy(queue_length_max=3, dead_letters_max=2, failures_max=2, keys_max=2),
    Policy(queue_length_max=2, queue_policy="reject_newest", key_window_ms=5_000),
    Policy(),
)
REMOVALS = {
    "delivery.acked": "acked",
    "delivery.evicted": "evicted",
    "delivery.expired": "expired",
    "delivery.cancelled": "cancelled",
    "delivery.dead_lettered": "dead_letter",
}

names = st.sampled_from(NAMES)
reports = st.fixed_dictionaries(
    {
        "phase": st.sampled_from(["typing", "written", "written", "written", "not_written"]),
        "seen": st.booleans(),
        "submitted": st.booleans(),
        "input_empty": st.booleans(),
    }
)
vetoed = st.sampled_from(["dialog", "human_typing", "busy"])


class Broker(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.broker = Simulated(POLICIES[0])
        self.known: list[Type] = []

    @rule(policy=st.sampled_from(POLICIES))
    def crash_and_start(self, policy: Policy) -> None:
        self.broker.policy = policy
        self.broker.start()
        assert not self.broker.typed(), "nothing is typed before its holder was asked"

    @rule()
    def stop_and_start(self) -> None:
        before = [d.delivery_id for d in self.broker.world.deliveries.values()]
        self.broker.ask(StopBroker(reason="down"))
        self.broker.start()
        counts = self.broker.world.counts
        after = list(self.broker.world.deliveries)
        assert set(after) <= set(before)
        ended = counts.get("evicted", 0) + counts.get("dead_letter", 0)
        assert len(before) - len(after) <= ended

    @rule(name=names, channel=st.sampled_from(["", "dev"]), crashes=st.booleans())
    def spawn(self, name: str, channel: str, crashes: bool) -> None:
        agent = self.broker.world.agent(name)
        if agent is None or not agent.alive:
            channels = [channel] if channel else []
            spawn(self.broker, name, *channels, restart=RestartPolicy(enabled=crashes))

    @rule(name=names, state=st.sampled_from(["ready", "ready", "blocked"]), reason=vetoed)
    def report_condition(self, name: str, state: str, reason: Any) -> None:
        agent = self.broker.world.agent(name)
        if agent is not None and agent.alive and agent.state != "unknown":
            become(self.broker, name, state, reason if state == "blocked" else None)

    @rule(name=names, knows=st.booleans())
    def adopt(self, name: str, knows: bool) -> None:
        agent = self.broker.world.agent(name)
        if agent is None or agent.state != "unknown":
            return
        flowing = agent.flowing
        began = flowing is not None and (knows or flowing.state == "awaiting")
        pair = [(flowing.delivery_id, flowing.attempt)] if flowing is not None and began else []
        adopt(self.broker, name, *pair)

    @rule(name=names, how=st.sampled_from(["exited", "holder_lost", "ended_with_broker"]))
    def end(self, name: str, how: str) -> None:
        agent = self.broker.world.agent(name)
        if agent is not None and agent.alive:
            ended(self.broker, name, how)

    @rule(
        to=st.sampled_from([*NAMES, "#dev", "nobody"]),
        priority=st.sampled_from([None, 0, 2, 4]),
        ttl_ms=st.sampled_from([None, None, 2_000]),
        key=st.sampled_from([None, None, "k", "l", "m"]),
        body=st.sampled_from(["x", "y", ""]),
    )
    def send(self, **command: Any) -> None:
        command = message(command.pop("to"), command.pop("body"), **command)
        verdict = self.broker.do(command)
        if not isinstance(verdict, Accepted) or command.key is None:
            return
        before = dump(self.broker.world)
        again = self.broker.ask(command)
        assert isinstance(again, Sent)
        assert isinstance(verdict.answer, Sent)
        assert again.event_id == verdict.answer.event_id
        assert dump(self.broker.world) == before, "a repeated send changed something"

    @rule(choice=st.integers(0, 50), report=reports)
    def report(self, choice: int, report: dict[str, Any]) -> None:
        """Any attempt ever begun may be spoken of, also one that is long over."""
        self.known += [effect for effect in self.broker.typed() if effect not in self.known]
        if self.known:
            effect = self.known[-1 - choice % len(self.known)]
            self.broker.do(report_of(effect, report.pop("phase"), **report))

    @precondition(lambda self: self.broker.typed())
    @rule(held=vetoed)
    def refuse_to_begin(self, held: Any) -> None:
        self.broker.do(report_of(self.broker.typed()[0], "not_begun", held=held))

    @rule(
        name=names,
        mode=st.sampled_from(["auto_inject", "manual_flush"]),
        by=st.sampled_from(["", "ann", "zoe"]),
    )
    def set_mode(self, name: str, mode: Any, by: str) -> None:
        self.broker.do(SetMode(name=AgentName(name), mode=mode, by=by))

    @rule(name=names)
    def flush(self, name: str) -> None:
        self.broker.do(Flush(name=AgentName(name)))

    @rule(name=names)
    def release(self, name: str) -> None:
        self.broker.do(Release(name=AgentName(name)))

    @rule(choice=st.integers(0, 20))
    def cancel(self, choice: int) -> None:
        live = list(self.broker.world.deliveries)
        if live:
            self.broker.do(Cancel(id=live[choice % len(live)]))

    @rule()
    def redeliver(self) -> None:
        self.broker.do(Redeliver())

    @rule(ms=st.sampled_from([1, 100, 1_000, 5_000, 60_000, 31 * 60_000]))
    def wait(self, ms: int) -> None:
        self.broker.wait(ms)
        due = next_deadline(self.broker.world)
        assert due is None or due > self.broker.at

    @rule(ms=st.sampled_from([3, 700, 6_000]))
    def be_late(self, ms: int) -> None:
        """Whatever is due now is met only after what comes next."""
        self.broker.at += ms * 1_000

    @invariant()
    def replay_equals_live(self) -> None:
        world = self.broker.replayed()
        assert dump(world) == dump(self.broker.world)
        assert list(plan(world)) == list(plan(self.broker.world))
        lines = list(serialization.dump(world))
        assert lines == list(serialization.dump(self.broker.world))
        loaded = serialization.load([b"".join(line + b"\n" for line in lines)])
        loaded.check()
        assert list(serialization.dump(loaded)) == lines
        assert list(plan(loaded)) == list(plan(world))
        assert next_deadline(loaded) == next_deadline(world)

    @invariant()
    def what_is_in_doubt_is_asked_and_not_typed(self) -> None:
        owed = list(plan(self.broker.world))
        asked = {effect.delivery_id for effect in owed if isinstance(effect, Ask)}
        typed = [effect.delivery_id for effect in owed if isinstance(effect, Type)]
        assert not asked & set(typed)
        assert len({e.agent for e in owed if isinstance(e, Type)}) == len(typed)

    def teardown(self) -> None:
        check_every_decision_is_made_again(self.broker)
        check_redaction_changes_no_decision(self.broker)
        check_an_unchanged_policy_changes_nothing(self.broker)
        check_another_policy_gives_a_sound_world(self.broker)
        check_every_removal_has_one_record(self.broker)
        check_first_in_first_out(self.broker)
        check_no_attempt_is_intended_twice(self.broker)
        list(explained(self.broker))


def check_every_decision_is_made_again(broker: Simulated) -> None:
    world = World()
    for found in check(world, map(decode, broker.lines)):
        assert found is None
    assert dump(world) == dump(broker.world)


def check_redaction_changes_no_decision(broker: Simulated) -> None:
    for after in (0, len(broker.lines) // 3, 2 * len(broker.lines) // 3):
        assert checked_redacted(broker, after) == []


def check_an_unchanged_policy_changes_nothing(broker: Simulated) -> None:
    other = elsewhere(map(decode, broker.lines))
    assert other.fates.differences == []
    assert other.fates.recorded.counts == other.fates.other.counts
    assert other.assumed == 0
    assert dump(other.there) == dump(other.here) == dump(broker.world)


def check_another_policy_gives_a_sound_world(broker: Simulated) -> None:
    for other in ({"queue_length_max": 1_000, "window_ms": 1}, {"throttle_ms_min": 9_000}):
        made = elsewhere(map(decode, broker.lines), **other)
        made.there.check()
        for side in (made.fates.recorded, made.fates.other):
            assert not side.ended
            assert not side.open
        if "queue_length_max" in other:
            assert made.fates.other.counts["evicted"] == 0


def check_every_removal_has_one_record(broker: Simulated) -> None:
    ends: dict[str, str] = {}
    for entry, kind in zip(broker.entries, broker.kinds(), strict=True):
        fact: Any = entry.fact
        gone = {fact.delivery_id: REMOVALS[kind]} if kind in REMOVALS else {}
        if kind == "agent.released":
            gone = {ref.delivery_id: "released" for ref in fact.dropped}
        assert not set(gone) & set(ends), "a delivery left its queue twice"
        ends |= gone
    counts = Counter(ends.values())
    enqueued = {r.delivery_id for f in broker.facts(MessageEnqueued) for r in f.deliveries}
    enqueued |= {fact.new_delivery_id for fact in broker.facts(DeliveryRedelivered)}
    assert set(ends) | set(broker.world.deliveries) == enqueued
    assert {k: n for k, n in broker.world.counts.items() if k != "enqueued"} == dict(counts)


def check_first_in_first_out(broker: Simulated) -> None:
    """Among what is typed for the first time, per agent and priority, the order of joining.

    A flush lets older ones pass newer ones, never the other way round.
    """
    joined: dict[str, tuple[int, int]] = {}
    last: dict[tuple[str, int], int] = defaultdict(int)
    for entry in broker.entries:
        match entry.fact:
            case MessageEnqueued() as fact:
                joined |= {r.delivery_id: (entry.seq, fact.priority) for r in fact.deliveries}
            case DeliveryRedelivered() as fact:
                joined[fact.new_delivery_id] = (entry.seq, fact.priority)
            case DeliveryAttempted() as fact if fact.attempt == 1:
                seq, priority = joined[fact.delivery_id]
                assert seq > last[fact.agent, priority]
                last[fact.agent, priority] = seq


def check_no_attempt_is_intended_twice(broker: Simulated) -> None:
    attempts = [(f.delivery_id, f.attempt) for f in broker.facts(DeliveryAttempted)]
    assert len(attempts) == len(set(attempts))


def explained(broker: Simulated) -> Iterator[tuple[object, ...]]:
    """The story of every delivery says what the ledger knows: its state and reason, the record that
    settled it, whether it was typed, and what kept its queue since when and by whom.

    Gives the outcome of each, so that it can be seen what was there to explain.
    """
    ledger = Ledger()
    for decision in broker.decisions():
        ledger.hear(decision)
    for delivery_id in ledger.accounts:
        expected = ledger.expected(delivery_id)
        story = broker.story(delivery_id)
        assert story is not None
        told = story.to_dict()
        assert {key: told[key] for key in expected} == expected, story.sentence
        assert story.sentence.startswith(delivery_id)
        assert story.sentence.endswith(".")
        wait: Any = expected["wait"] or {}
        yield story.state, story.reason, expected["typed"], wait.get("kind"), wait.get("reason")
    for event_id, (reason, _) in ledger.refused.items():
        refusal = broker.story(event_id)
        assert refusal is not None
        assert (refusal.state, refusal.reason) == ("refused", reason)
        yield "refused", reason


Broker.TestCase.settings = settings(
    max_examples=200, stateful_step_count=50, deadline=None, print_blob=True
)
TestBroker = Broker.TestCase
