"""How a world is folded over a hole: records that are lost, and somebody accepted that.

A journal that was salvaged has facts about things whose beginning is not in it. A fold never
refuses, so such a fact changes nothing. Whoever was queued in the hole is not in the world; what
ended in it seems to go on. Nothing here guesses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from projections.agents import Agent
from projections.codec import Entry
from projections.mail import Delivery
from projections.state import World, key_of

Live: TypeAlias = tuple[Delivery, Agent]
"""What a fact about a live delivery changes."""

Fold: TypeAlias = Callable[[World, Entry, Any], None]


def of_live(change: Callable[[World, Entry, Any, Live], None]) -> Fold:
    """The fold of a fact about a live delivery; nothing, where that is not known."""

    def fold(world: World, entry: Entry, fact: Any) -> None:
        delivery = world.deliveries.get(fact.delivery_id)
        if delivery is not None:
            change(world, entry, fact, (delivery, world.agents[key_of(delivery.agent)]))

    return fold
