"""Effect dispatch: what the world owes, less what has been begun.

After each batch the agents that it touched are asked what they are owed; what was not owed before
is handed to `EffectHandler`, once. What is no longer owed is forgotten, so this is as small as the
world.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ackbook.broker.core.effects import AnyEffect, End
from ackbook.broker.core.plan import plan_for
from ackbook.projections.codec import Entry
from ackbook.projections.world.fold import World, key_of


class EffectHandler(Protocol):
    """Whoever does what is owed. Called on the loop; must not wait, and reports by commands."""

    def begin(self, owed: AnyEffect) -> None:
        """Begin this effect."""
        ...


class EffectDispatch:
    """A watcher of the engine."""

    def __init__(self, hands: EffectHandler) -> None:
        self._hands = hands
        self._begun: dict[str, frozenset[AnyEffect]] = {}
        self._ending: frozenset[End] = frozenset()

    def committed(self, world: World, entries: Sequence[Entry], touched: frozenset[str]) -> None:
        """Begin what these entries made due."""
        self._begin(plan_for(world, touched), touched)
        self._begin_ends(world)

    def again(self, world: World, name: str) -> None:
        """Begin everything owed to this agent once more: its holder may not have heard of it."""
        key = key_of(name)
        self._begun.pop(key, None)
        self._begin(plan_for(world, (key,)), (key,))
        self._ending = frozenset(end for end in self._ending if key_of(end.agent) != key)
        self._begin_ends(world)

    def _begin(self, owed: Iterable[AnyEffect], keys: Iterable[str]) -> None:
        due: dict[str, list[AnyEffect]] = {key: [] for key in keys}
        for effect in owed:
            due[key_of(effect.agent)].append(effect)
        for key, effects in due.items():
            begun = self._begun.pop(key, frozenset())
            if effects:
                self._begun[key] = frozenset(effects)
            for effect in effects:
                if effect not in begun:
                    self._hands.begin(effect)

    def _begin_ends(self, world: World) -> None:
        """Released generations belong to no agent any more, and there are few of them."""
        if not world.leaving and not self._ending:
            return
        ends = frozenset(End(agent=name, generation=n) for name, n in world.leaving)
        for end in ends - self._ending:
            self._hands.begin(end)
        self._ending = ends
