"""A dumped world, loaded again, is the same world: it dumps alike and goes on alike."""

from __future__ import annotations

import pytest

from ackbook.broker.core.commands import Redeliver, SetMode
from ackbook.projections.codec import decode
from ackbook.projections.facts import AgentName, Policy
from ackbook.projections.world.fold import World, fold
from ackbook.projections.world.serialization import UnreadableWorld, dump, load
from tests.support.orders import become, deliver, ended, message, report_of, spawn
from tests.support.simulated import Simulated, line_of


def lived() -> Simulated:
    """A broker with something of everything in its world."""
    broker = Simulated(Policy(queue_length_max=4, dead_letters_max=5))
    for name in ("bob", "Amy", "cid"):
        spawn(broker, name, "dev")
    broker.sent(message("bob", "in flight", key="k"))
    broker.sent(message("bob", "behind", priority=0, ttl_ms=60_000))
    broker.sent(message("#dev", "to all", sender="cid"))
    deliver(broker, next(e for e in broker.typed() if e.agent == "Amy"))
    become(broker, "Amy", "blocked", "dialog")
    broker.sent(message("amy", "held"))
    broker.ask(SetMode(name=AgentName("cid"), mode="manual_flush"))
    for number in range(6):
        broker.do(message("cid", f"parked {number}", priority=2 - number % 3))
    effect = next(e for e in broker.typed() if e.agent == "bob")
    broker.ask(report_of(effect, "not_written"))
    broker.wait(1_100)
    ended(broker, "bob")
    spawn(broker, "bob", ready=False)
    broker.ask(Redeliver())
    return broker


def test_a_world_dumps_and_loads_to_the_same_lines() -> None:
    lines = list(dump(lived().world))
    block = b"".join(line + b"\n" for line in lines)
    world = load([block])
    world.check()
    assert list(dump(world)) == lines
    middle = len(lines) // 2
    pieces = [b"".join(line + b"\n" for line in part) for part in (lines[:middle], lines[middle:])]
    assert list(dump(load(pieces))) == lines


def test_the_dump_of_a_live_world_is_that_of_its_replay() -> None:
    broker = lived()
    assert list(dump(broker.world)) == list(dump(broker.replayed()))


@pytest.mark.parametrize("at", range(0, 60, 7))
def test_a_loaded_world_goes_on_as_the_whole_history_does(at: int) -> None:
    broker = lived()
    world = World()
    for entry in broker.entries[:at]:
        fold(world, decode(line_of(entry)))
    loaded = load([b"".join(line + b"\n" for line in dump(world))])
    for entry in broker.entries[at:]:
        fold(loaded, decode(line_of(entry)))
    loaded.check()
    assert list(dump(loaded)) == list(dump(broker.world))


def test_what_is_no_dump_is_not_loaded() -> None:
    lines = list(dump(lived().world))
    for wrong in (b"{}", b'{"entity":"nothing"}', lines[1].replace(b'"generation"', b'"g"')):
        with pytest.raises(UnreadableWorld, match="version"):
            load([wrong + b"\n"])
    orphan = next(line for line in lines if b'"entity":"delivery"' in line)
    with pytest.raises(UnreadableWorld):
        load([lines[0] + b"\n" + orphan + b"\n"])
