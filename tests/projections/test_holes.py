"""Records that are lost, and somebody accepted that: the rest still folds."""

from __future__ import annotations

import pytest

from ackbook.broker.core.commands import Release
from ackbook.projections.analysis.rows import pending_rows
from ackbook.projections.facts import AgentName
from ackbook.projections.world.fold import World, fold_all
from ackbook.projections.world.serialization import dump, load
from tests.projections.test_serialization import lived
from tests.support.orders import deliver, message, spawn
from tests.support.simulated import Simulated


def ended() -> Simulated:
    """The story of a world with everything in it, told to its end."""
    broker = lived()
    spawn(broker, "dan")
    broker.sent(message("dan", "typed"))
    deliver(broker, broker.typed()[-1])
    broker.sent(message("dan", "in flight"))
    for name in ("bob", "Amy", "dan"):
        broker.ask(Release(name=AgentName(name)))
    return broker


ENTRIES = ended().entries


@pytest.mark.parametrize("length", range(1, 12))
def test_what_is_left_of_a_history_with_a_hole_is_a_world(length: int) -> None:
    for first in range(len(ENTRIES)):
        world = World()
        fold_all(world, ENTRIES[:first])
        fold_all(world, ENTRIES[first + length :])
        assert all(row.state for row in pending_rows(world))
        lines = list(dump(world))
        assert list(dump(load([b"".join(line + b"\n" for line in lines)]))) == lines
