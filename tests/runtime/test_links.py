"""The first words between a broker and a holder end when they are to."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from ackbook.broker.runtime.agents.holder_link import HolderLink, greet
from ackbook.broker.wire.frames import Hello, TerminalCondition, Welcome, encode
from ackbook.projections.facts import AgentName
from tests.support.simulated_loop import SimulatedLoop
from tests.support.simulated_machine import Machine, Process

WELCOME = Welcome(
    name=AgentName("a"),
    generation=1,
    holder_pid=0,
    pid=0,
    named=True,
    offset=0,
    condition=TerminalCondition(state="ready"),
)


@pytest.mark.parametrize("later", range(6))
def test_a_greeting_that_is_cancelled_while_its_answer_comes_is_over(later: int) -> None:
    """A session that went on all the same would keep its broker from ending."""
    loop = SimulatedLoop()

    async def story() -> None:
        machine = Machine(loop, Random(1))
        machine.listen("a", Process(machine), asyncio.Protocol)
        reader, writer = machine.connect(Process(machine), "a")
        hello = Hello(epoch=1, journal_id="j", instance="one")
        greeting: asyncio.Task[tuple[HolderLink, Welcome]]
        greeting = loop.create_task(greet(reader, writer, hello))
        await asyncio.sleep(1)
        reader.feed_data(encode(WELCOME))
        for _ in range(later):
            await asyncio.sleep(0)
        if greeting.cancel():
            await asyncio.wait({greeting})
            assert greeting.cancelled()
        else:
            assert greeting.result()[1] == WELCOME
        writer.close()

    try:
        loop.run_until_complete(story())
    finally:
        loop.close()
