"""Differences and conditions under any history.

A world never differs from itself, all that moved is told, and the first record of a condition is
the one that asking after each record would find.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import settings

from ackbook.projections.analysis.conditions import Condition, Found, SearchedOutcome, first_held
from ackbook.projections.analysis.rows import counts
from ackbook.projections.analysis.world_diff import agent_fields, changes, differences, standing
from ackbook.projections.codec import Entry, kind_of
from ackbook.projections.facts import HeldReason, Policy
from ackbook.projections.world.agents import Agent, AgentState
from ackbook.projections.world.fold import fold
from ackbook.projections.world.serialization import dump, load
from ackbook.projections.world.state import World
from tests.core.test_properties import Broker
from tests.support.orders import become, ended, message, spawn
from tests.support.simulated import Simulated

Past = list[tuple[Entry, World]]

CONDITIONS = [
    condition
    for agent in (None, "AMY", "bob", "nobody")
    for condition in (
        *(Condition(agent=agent, pending_over=number) for number in (0, 1, 2)),
        *(Condition(agent=agent, state=state) for state in get_args(AgentState)),
        *(Condition(agent=agent, held=reason) for reason in get_args(HeldReason)),
        *(Condition(agent=agent, outcome=outcome) for outcome in get_args(SearchedOutcome)),
        *(Condition(agent=agent, dead_letters_over=number) for number in (0, 1)),
        *(Condition(agent=agent, oldest_over_us=us) for us in (0, 1_000_000, 60_000_000)),
        Condition(agent=agent, throttle_over_ms=100),
        Condition(agent=agent, pending_over=1, state="blocked"),
        Condition(agent=agent, pending_over=0, oldest_over_us=5_000, held="dialog"),
        Condition(agent=agent, outcome="evicted", pending_over=1),
    )
]


def past_of(broker: Simulated) -> Past:
    """Every entry, each with a world of its own."""
    world = World()
    told: Past = []
    for entry in broker.entries:
        fold(world, entry)
        told.append((entry, copy_of(world)))
    return told


def copy_of(world: World) -> World:
    return load([b"".join(line + b"\n" for line in dump(world))])


class Explored(Broker):
    """Whatever happens to a broker."""

    def teardown(self) -> None:
        past = past_of(self.broker)
        for condition in CONDITIONS:
            check_the_first_is_what_a_scan_finds(past, condition)
        check_what_moved_is_told([World(), *(world for _, world in past)])


def check_the_first_is_what_a_scan_finds(past: Past, condition: Condition) -> None:
    held = [bool(holds(entry, world, condition)) for entry, world in past]
    after = past[len(past) // 3][0].seq
    for searched_after in (0, after):
        behind = [at for at, (entry, _) in enumerate(past) if entry.seq > searched_after]
        first = next((at for at in behind if held[at]), None)
        expected = None
        if first is not None:
            until = next((at for at in behind if at > first and not held[at]), None)
            expected = Found(
                first=past[first][0],
                until=None if until is None else past[until][0],
                before=behind[0] > 0 and held[behind[0] - 1],
            )
        assert first_held(iter(past), condition, after=searched_after) == expected, condition


def holds(entry: Entry, world: World, asked: Condition) -> bool:
    """The meaning of a condition, said slowly: from the whole world, nothing remembered."""
    name = None if asked.agent is None else asked.agent.casefold()
    agents = [agent for key, agent in world.agents.items() if name in (None, key)]
    of_agents = (asked.pending_over, asked.state, asked.held, asked.throttle_over_ms)
    if {*of_agents, asked.oldest_over_us} != {None} and not any(
        agent_passes(world, agent, asked) for agent in agents
    ):
        return False
    letters = [
        letter for letter in world.dead_letters.values() if name in (None, letter.agent.casefold())
    ]
    if asked.dead_letters_over is not None and len(letters) <= asked.dead_letters_over:
        return False
    whose = {agent.casefold() for agent in ended_now(entry, world, asked.outcome)}
    return asked.outcome is None or (bool(whose) if name is None else name in whose)


def agent_passes(world: World, agent: Agent, asked: Condition) -> bool:
    mine = [d for d in world.deliveries.values() if d.agent == agent.name]
    waiting = [d.queued_at for d in mine if d.state == "queued"]
    held = None if agent.held is None else agent.held.reason
    return (
        (asked.pending_over is None or len(mine) > asked.pending_over)
        and asked.state in (None, agent.state)
        and asked.held in (None, held)
        and (asked.throttle_over_ms is None or agent.throttle.delay_ms > asked.throttle_over_ms)
        and (
            asked.oldest_over_us is None
            or any(world.at - queued_at > asked.oldest_over_us for queued_at in waiting)
        )
    )


def ended_now(entry: Entry, world: World, outcome: SearchedOutcome | None) -> Iterator[str]:
    """Whose delivery or message ended so at this very entry, as the world remembers it."""
    kind, fact = kind_of(entry), entry.fact
    if outcome == "refused" and kind in ("message.refused", "message.enqueued"):
        yield from (refused.agent for refused in fact.refused)  # type: ignore[union-attr]
        if kind == "message.refused":
            yield fact.target  # type: ignore[union-attr]
    if outcome == "redelivered" and kind == "delivery.redelivered":
        yield fact.agent  # type: ignore[union-attr]
    for settled in world.settled.values():
        state: str = settled.state
        if state == "acked":
            state = "verified" if settled.verification == "echo" else "unverified"
        if settled.seq == entry.seq and state == outcome:
            yield settled.agent


def check_what_moved_is_told(worlds: list[World]) -> None:
    for world in worlds[:: max(1, len(worlds) // 8)]:
        assert not differences(world, world)
        assert not differences(world, copy_of(world))
    far = (worlds[0], worlds[-1])
    for a, b in (*pairwise(worlds), far, far[::-1]):
        found = differences(a, b)
        patched = {**counts(a), **{change.field: change.b for change in found.counts}}
        assert {k: n for k, n in patched.items() if n} == {k: n for k, n in counts(b).items() if n}
        assert found.agents == changes(agent_fields(a), agent_fields(b))
        for key, fields in agent_fields(b).items():
            mine = [c for c in found.agents if c.of.casefold() == key]
            was = agent_fields(a).get(key, {})
            now = {**was, **{change.field: change.b for change in mine}}
            assert {k: v for k, v in now.items() if v is not None} == {
                k: v for k, v in fields.items() if v is not None
            }
        told = {moved.delivery_id: (moved.a, moved.b) for moved in found.deliveries}
        for delivery_id in {*a.deliveries, *b.deliveries, *a.dead_letters, *b.dead_letters}:
            sides = standing(a, delivery_id), standing(b, delivery_id)
            assert told.get(delivery_id) == (None if sides[0] == sides[1] else sides)


Explored.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, print_blob=True
)
TestExplored = Explored.TestCase


@pytest.fixture
def broker() -> Simulated:
    broker = Simulated(Policy(queue_length_max=2))
    spawn(broker, "bob")
    return broker


def test_a_condition_that_came_and_went_is_found_where_it_came(broker: Simulated) -> None:
    become(broker, "bob", "blocked", "dialog")
    blocked = broker.entries[-1].seq
    become(broker, "bob", "ready")
    ready = broker.entries[-1].seq
    become(broker, "bob", "blocked", "busy")
    found = first_held(past_of(broker), Condition(agent="Bob", state="blocked"))
    assert found is not None
    assert found.until is not None
    assert (found.first.seq, found.until.seq, found.before) == (blocked, ready, False)
    later = first_held(past_of(broker), Condition(state="blocked"), after=ready)
    assert later is not None
    assert later.first.seq > ready
    assert later.until is None
    within = first_held(past_of(broker), Condition(state="blocked"), after=blocked)
    assert within is not None
    assert within.before


def test_waiting_becomes_too_long_by_time_alone(broker: Simulated) -> None:
    become(broker, "bob", "blocked", "dialog")
    broker.do(message("bob"))
    queued = broker.entries[-1].seq
    spawn(broker, "amy")
    assert first_held(past_of(broker), Condition(oldest_over_us=5_000_000)) is None
    broker.wait(6_000)
    become(broker, "amy", "blocked", "busy")  # says nothing of bob, and yet it is after 6 s
    found = first_held(past_of(broker), Condition(oldest_over_us=5_000_000))
    assert found is not None
    assert found.first.seq > queued
    assert kind_of(found.first) == "agent.blocked"


def test_a_delivery_that_was_evicted_differs_by_its_state_and_reason(broker: Simulated) -> None:
    become(broker, "bob", "blocked", "dialog")
    sent = [broker.sent(message("bob")).deliveries[0][0] for _ in range(2)]
    before = copy_of(broker.world)
    sent.append(broker.sent(message("bob")).deliveries[0][0])
    found = differences(before, broker.world)
    told = {
        moved.delivery_id: [side and (side.state, side.reason) for side in (moved.a, moved.b)]
        for moved in found.deliveries
    }
    assert told[sent[0]] == [("held", "dialog"), ("evicted", "queue_full")]
    assert told[sent[2]] == [None, ("queued", "behind")]
    assert {(c.field, c.a, c.b) for c in found.counts} == {("enqueued", 2, 3), ("evicted", 0, 1)}


def test_agents_that_came_and_went_and_the_policy_differ(broker: Simulated) -> None:
    before = copy_of(broker.world)
    spawn(broker, "amy")
    ended(broker, "bob", "exited")
    broker.policy = Policy(queue_length_max=9)
    broker.start()
    found = differences(before, broker.world)
    assert ("policy", "queue_length_max", 2, 9) in {(c.of, c.field, c.a, c.b) for c in found.broker}
    assert {c.of for c in found.agents} == {"amy", "bob"}
    assert ("bob", "ended", None, "exited") in {(c.of, c.field, c.a, c.b) for c in found.agents}
    back = differences(broker.world, before)
    assert ("amy", "state", None) in {(c.of, c.field, c.b) for c in back.agents}


def test_each_recipient_of_one_message_is_asked_about(broker: Simulated) -> None:
    for name in ("amy", "cid"):
        spawn(broker, name, "dev")
        become(broker, name, "blocked", "dialog")
    broker.do(message("#dev"))
    enqueued = next(e for e in broker.entries if kind_of(e) == "message.enqueued")
    for name in ("amy", "cid"):
        found = first_held(past_of(broker), Condition(agent=name, pending_over=0))
        assert found is not None
        assert found.first == enqueued


def test_dead_letters_are_told_apart_by_agent_and_told_as_different(broker: Simulated) -> None:
    before = copy_of(broker.world)
    sent = broker.sent(message("bob")).deliveries[0][0]
    ended(broker, "bob", "exited")
    [letter] = broker.world.dead_letters.values()
    assert letter.delivery_id == sent
    for name, seq in ((None, letter.seq), ("BOB", letter.seq), ("amy", None)):
        found = first_held(past_of(broker), Condition(agent=name, dead_letters_over=0))
        assert (None if found is None else found.first.seq) == seq
    [moved] = differences(before, broker.world).deliveries
    assert moved.a is None
    assert moved.b is not None
    assert (moved.delivery_id, moved.b.state) == (sent, "dead_letter")


def test_what_there_is_of_a_condition_is_asked_and_no_agent_alone() -> None:
    assert not Condition(agent="bob").asks()
    assert all(condition.asks() for condition in CONDITIONS)
