"""What a journal that was put back from a copy has still to hear of the holders that lived on."""

from __future__ import annotations

from ackbook.broker.core.commands import ReportAttempt
from ackbook.broker.core.effects import Type
from ackbook.broker.runtime.agents.restored import to_record
from ackbook.broker.wire.frames import TerminalCondition, Welcome
from ackbook.projections.facts import AgentName
from tests.support.orders import message, report_of, spawn
from tests.support.simulated import Simulated


def welcome(*said: ReportAttempt) -> Welcome:
    """A holder that was told that the records of these are durable."""
    return Welcome(
        name=AgentName("bob"),
        generation=1,
        holder_pid=1,
        pid=2,
        named=True,
        offset=0,
        condition=TerminalCondition(state="ready"),
        settled=tuple(each.report for each in said),
    )


def typed(broker: Simulated, body: str) -> Type:
    """A message whose text is on its way into the terminal."""
    broker.sent(message("bob", body))
    [effect] = broker.typed()
    broker.ask(report_of(effect, "typing"))
    return effect


def test_a_text_that_stood_in_the_input_when_the_copy_was_made_and_left_it_since_is_heard_of() -> (
    None
):
    broker = Simulated()
    spawn(broker, "bob")
    effect = typed(broker, "unconfirmed")
    broker.ask(report_of(effect))
    broker.wait(6_000)
    agent = broker.world.agents["bob"]
    assert agent.occupied == effect.delivery_id
    broker.sent(message("bob", "behind it"))
    assert broker.typed() == []
    since = report_of(effect, seen=True, submitted=True, input_empty=True)
    [heard] = to_record(broker.world, welcome(since))
    broker.ask(ReportAttempt(agent=AgentName("bob"), report=heard))
    [following] = broker.typed()
    assert following.body == "behind it"


def test_what_was_on_its_way_is_heard_of_and_no_other_attempt_is() -> None:
    broker = Simulated()
    spawn(broker, "bob")
    first = typed(broker, "long done")
    broker.ask(done := report_of(first, seen=True, submitted=True, input_empty=True))
    broker.wait(5_000)
    second = report_of(typed(broker, "in flight"), seen=True, submitted=True, input_empty=True)
    assert to_record(broker.world, welcome(done, second)) == [second.report]
