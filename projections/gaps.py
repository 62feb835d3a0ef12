"""Gaps: records that cannot be read, and what is known around them all the same.

Behind a hole no world is known, since a fold that goes over one makes up what it does not know.
What knows it again is a snapshot, or a record that says where its delivery is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, get_args

import msgspec

from ackbook.projections.facts import (
    AgentReleased,
    DeliveryReportRefused,
    PlacingFact,
    Ref,
)
from ackbook.projections.world.state import World

Remembered: TypeAlias = Callable[[int], World | None]
"""The world after this record, where something besides the records knows it; each belongs to
whoever asked."""


_PLACING = get_args(PlacingFact)


class Hole(msgspec.Struct, frozen=True):
    """Records that cannot be read."""

    first: int
    last: int

    @property
    def is_beginning(self) -> bool:
        """Whether the history as it is left begins behind them."""
        return self.first == 1

    def __str__(self) -> str:
        many = self.first < self.last
        records = f"records {self.first} to {self.last}" if many else f"record {self.first}"
        if self.is_beginning:
            return f"{records} {'are' if many else 'is'} no longer there"
        return f"{records} cannot be read"


def nothing_remembered(seq: int) -> World | None:
    """Only records know."""
    return None


def holes_told(holes: Sequence[Hole]) -> str:
    """The holes in one clause, for the middle of a sentence."""
    return " and ".join(map(str, holes))


def refs_of(fact: object) -> tuple[Ref, ...]:
    """The deliveries that a fact is about, each as it was then. A report that was refused may speak
    of none that there is."""
    match fact:
        case AgentReleased():
            return fact.dropped
        case DeliveryReportRefused():
            return ()
        case Ref():
            return (fact,)
        case _:
            return ()


def is_placed(fact: Ref) -> bool:
    """Whether this fact says that its delivery is not settled, and where it is."""
    return isinstance(fact, _PLACING)
