"""Each way out of a queue is in every table, and all of them call it by the same words."""

from __future__ import annotations

from typing import get_args

import pytest

from ackbook.projections.analysis.audit import lives
from ackbook.projections.codec import Entry, entry_of
from ackbook.projections.events.derive import derive
from ackbook.projections.facts import (
    FACTS,
    AgentSpawned,
    DeliveryHeld,
    Departure,
    DepartureFact,
    Fact,
    MessageEnqueued,
    Ref,
    Remark,
    RemarkFact,
    SettlingFact,
)
from ackbook.projections.subjects import deliveries_of
from ackbook.projections.ways_out import (
    SETTLING,
    DepartedState,
    EndedState,
    departure_of,
    ended_by,
    is_loss,
    outcome_in,
    reason_by,
)
from ackbook.projections.why.outcome_sentences import EndingContext, ended
from ackbook.projections.why.partial_state import UNKNOWN, PartialState
from ackbook.projections.why.story import SETTLED_ORDER
from ackbook.projections.world.deliveries import SettledDelivery
from ackbook.projections.world.fold import World, fold_all
from tests.projections.examples import AT, EXAMPLES

BY_TYPE = {type(example): example for example in EXAMPLES}
assert set(SETTLING) <= BY_TYPE.keys(), (
    "a new one needs its example in tests/projections/examples.py"
)
SPAWNED, ENQUEUED = BY_TYPE[AgentSpawned], BY_TYPE[MessageEnqueued]
HELD = BY_TYPE[DeliveryHeld]
[(DELIVERY, AGENT), *_] = deliveries_of(ENQUEUED)
SETTLINGS = [BY_TYPE[each] for each in SETTLING]

settling = pytest.mark.parametrize("fact", SETTLINGS, ids=lambda fact: fact.KIND)


def told_of(*facts: Fact) -> list[Entry]:
    """A history in which bob is spawned, a message is queued for him, and then these."""
    return [
        entry_of(seq, AT + seq, fact, (), b"{}")
        for seq, fact in enumerate((SPAWNED, ENQUEUED, *facts), 1)
    ]


def settled_by(fact: SettlingFact) -> SettledDelivery:
    world = World()
    fold_all(world, told_of(fact))
    world.check()
    assert DELIVERY not in world.deliveries
    return world.settled[DELIVERY]


@settling
def test_a_way_out_leaves_the_world_by_the_word_of_the_table(fact: SettlingFact) -> None:
    settled = settled_by(fact)
    assert outcome_in(settled.state, settled.verification) == ended_by(fact) is not None
    assert settled.reason == reason_by(fact)


@settling
def test_a_way_out_ends_the_life_of_its_delivery(fact: SettlingFact) -> None:
    [life] = [life for life in lives(told_of(fact)) if life.delivery_id == DELIVERY]
    assert (life.outcome, life.reason) == (ended_by(fact), reason_by(fact))
    assert life.ended_seq == 3


@settling
def test_a_way_out_has_a_sentence(fact: SettlingFact) -> None:
    entry = told_of(fact)[-1]
    ending = EndingContext(entry=entry, wait=None, typed="no", attempts=0, queued_at=None)
    told = ended(DELIVERY, ending, record=lambda seq: None)
    settled = settled_by(fact)
    assert told is not None
    assert (told.state, told.reason) == (settled.state, settled.reason)
    assert DELIVERY in told.sentence


@settling
def test_a_way_out_has_an_event_that_names_the_delivery(fact: SettlingFact) -> None:
    events = derive(told_of(fact)[-1])
    named = [event.fields for event in events if DELIVERY in repr(event.fields)]
    assert named
    if isinstance(fact, Departure):
        assert [fields["reason"] for fields in named] == [departure_of(fact).told]


@settling
def test_what_has_gone_out_keeps_no_queue_behind_a_hole(fact: SettlingFact) -> None:
    said = PartialState()
    *_, held, entry = told_of(HELD, fact)
    said.hear(held)
    assert said.wait(AGENT).delivery_id == DELIVERY
    said.hear(entry)
    assert said.wait(AGENT) == UNKNOWN


def test_each_departure_has_a_word_of_its_own() -> None:
    rows = [departure_of(fact) for fact in SETTLINGS if isinstance(fact, Departure)]
    assert sorted(row.state for row in rows) == sorted(get_args(DepartedState))
    assert len({row.told for row in rows}) == len(rows)


@pytest.mark.parametrize(("base", "union"), [(Departure, DepartureFact), (Remark, RemarkFact)])
def test_what_facts_have_in_common_is_said_of_all_of_their_union(
    base: type[Ref], union: object
) -> None:
    assert {fact for fact in FACTS if issubclass(fact, base)} == set(get_args(union))
    assert set(base.__subclasses__()) == set(get_args(union))


def test_every_end_has_its_place_among_the_states() -> None:
    assert set(get_args(EndedState)) <= set(SETTLED_ORDER)
    assert len(set(SETTLED_ORDER)) == len(SETTLED_ORDER)


def test_a_loss_is_an_end_that_nobody_asked_for() -> None:
    unasked = {"dead_letter", "dropped", "evicted", "expired", "released", "refused"}
    asked = {"acked", "cancelled", "redelivered", "queued", "held", "typing", "awaiting", "ready"}
    assert {state for state in unasked | asked if is_loss(state)} == unasked
