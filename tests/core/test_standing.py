"""What the standing rules say of the head of a queue, and what the door takes, to the last byte."""

from __future__ import annotations

import pytest

from ackbook.broker.core.commands import Accepted, Refused
from ackbook.broker.wire.attempts import OPEN_MAX, SETTLED_MAX
from ackbook.projections.facts import DeliveryHeld, RestartPolicy
from ackbook.projections.ids import delivery_id
from tests.support.orders import adopt, become, ended, message, spawn
from tests.support.simulated import Simulated


@pytest.fixture
def broker() -> Simulated:
    return Simulated()


def holds(broker: Simulated) -> list[tuple[str, str]]:
    return [(fact.delivery_id, fact.reason) for fact in broker.facts(DeliveryHeld)]


def test_what_was_held_is_said_to_go_on_before_it_is_typed(broker: Simulated) -> None:
    spawn(broker, "bob")
    become(broker, "bob", "blocked", "dialog")
    broker.sent(message("bob"))
    become(broker, "bob", "ready")
    assert broker.kinds()[-4:] == [
        "delivery.held",
        "agent.ready",
        "delivery.resumed",
        "delivery.attempted",
    ]


def test_a_more_urgent_newcomer_is_said_to_be_held_in_its_turn(broker: Simulated) -> None:
    spawn(broker, "bob")
    become(broker, "bob", "blocked", "dialog")
    ((first, _),) = broker.sent(message("bob")).deliveries
    ((urgent, _),) = broker.sent(message("bob", priority=0)).deliveries
    broker.sent(message("bob"))
    assert holds(broker) == [(first, "dialog"), (urgent, "dialog")]


def test_who_waits_for_a_program_that_is_gone_is_told_so(broker: Simulated) -> None:
    spawn(broker, "bob", ready=False)
    ended(broker, "bob")
    ((gone, _),) = broker.sent(message("bob")).deliveries
    assert holds(broker) == [(gone, "agent_gone")]


def test_who_waits_for_a_program_that_starts_again_is_told_so(broker: Simulated) -> None:
    spawn(broker, "bob", restart=RestartPolicy(enabled=True))
    ended(broker, "bob")
    assert broker.kinds()[-1] == "agent.restarting"
    ((waits, _),) = broker.sent(message("bob")).deliveries
    assert holds(broker) == [(waits, "agent_gone")]


def test_every_agent_that_a_message_reaches_is_typed_at_once(broker: Simulated) -> None:
    for name in ("amy", "bob", "cat"):
        spawn(broker, name, "dev")
    broker.sent(message("#dev"))
    assert [effect.agent for effect in broker.typed()] == ["amy", "bob", "cat"]


def test_a_body_may_take_six_times_its_length_in_the_journal(broker: Simulated) -> None:
    spawn(broker, "bob")
    assert isinstance(broker.do(message("bob", "\x01" * 100_000 + "x")), Accepted)


def test_a_holder_may_name_as_many_attempts_as_it_keeps(broker: Simulated) -> None:
    count = OPEN_MAX + SETTLED_MAX
    began = tuple((delivery_id(1 << 40, number), number) for number in range(1, count + 1))
    spawn(broker, "bob")
    broker.start()
    adopt(broker, "bob", *began)
    ended(broker, "bob", began=began)


@pytest.mark.parametrize("field", ["sender", "thread", "key"])
@pytest.mark.parametrize(("fits", "more"), [("x" * 256, "x"), ("é" * 128, "x"), ("€" * 85, "é")])
def test_a_field_takes_256_bytes_and_not_one_more(
    broker: Simulated, field: str, fits: str, more: str
) -> None:
    spawn(broker, "bob")
    assert isinstance(broker.do(message("bob", **{field: fits})), Accepted)
    records = len(broker.lines)
    verdict = broker.do(message("bob", **{field: fits + more}))
    assert isinstance(verdict, Refused)
    assert verdict.reason == "invalid"
    assert len(broker.lines) == records, "such a wish leaves no record"


@pytest.mark.parametrize("field", ["sender", "thread", "key"])
def test_a_field_of_nothing_but_blanks_is_refused(broker: Simulated, field: str) -> None:
    spawn(broker, "bob")
    assert broker.refused(message("bob", **{field: "  "})).reason == "invalid"
