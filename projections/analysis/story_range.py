"""The extent of a story: from which record to which a history has to be read to explain one id.

It holds the records that name the message or delivery, those that they name as causes, and those
that put the agent's queue into the state that it was in. Between the first and the last of them
everything belongs to it, since a fold goes over no hole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from ackbook.projections.codec import Entry
from ackbook.projections.facts import DeliveryHeld
from ackbook.projections.subjects import agents_of, ids_of
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.fold import fold
from ackbook.projections.world.state import World

REACH_BACK_MAX = 50_000
"""Records between the first one that names the id and an older one that is taken along. What put an
agent on hold long ago is then in the state at the start of the extent, without its record."""


Holds: TypeAlias = dict[int, tuple[int, ...]]
"""The causes that each record of a hold names, by its seq."""


class Extent(msgspec.Struct, frozen=True):
    """Records `first` to `last`. `left_out`: older ones that the story leans on, too far back."""

    first: int
    last: int
    left_out: tuple[int, ...] = ()


def extent_of(
    entries: Iterable[Entry],
    wanted: str,
    world: World | None = None,
    reach_back: int = REACH_BACK_MAX,
) -> Extent | None:
    """The extent of a message's or delivery's story; None where no entry names it. The entries go
    on where `world` ends, an empty one unless given: nothing changes when it lies `reach_back`
    before the first entry that names it, but that causes of what is left out are not known."""
    world = World() if world is None else world
    own: list[int] = []
    begun = world.seq + 1
    leans_on: set[int] = set()
    names: set[str] = set()
    decisions: list[int] = []
    holds: Holds = {}
    for entry in entries:
        concerned = wanted in ids_of(entry.fact)
        if concerned:
            own.append(entry.seq)
            leans_on.update(entry.cause)
            names.update(agents_of(entry.fact) or ())
        fold(world, entry)
        if isinstance(entry.fact, DeliveryHeld):
            holds[entry.seq] = entry.cause
        if concerned:
            leans_on.update(_conditions(world, names, holds))
            decisions.append(entry.seq)
        elif decisions and decisions[-1] == entry.seq - 1 and not bytes(entry.by):
            decisions.append(entry.seq)
    lives = any(
        wanted in (each.delivery_id, each.message.event_id) for each in world.deliveries.values()
    )
    if not own:
        return Extent(begun, world.seq) if lives and begun <= world.seq else None
    if lives:
        leans_on.update(_conditions(world, names, holds))
    last = world.seq if lives else decisions[-1]
    old = sorted(seq for seq in leans_on if 0 < seq < own[0])
    near = [seq for seq in old if own[0] - seq <= reach_back]
    first = min(near, default=own[0])
    return Extent(first, last, tuple(seq for seq in old if seq < first))


def _conditions(world: World, names: Iterable[str], holds: Holds) -> Iterator[int]:
    """The records that made these agents what they are at this moment."""
    for agent in filter(None, map(world.agent, names)):
        yield from _made_by(agent, holds)


def _made_by(agent: Agent, holds: Holds) -> Iterator[int]:
    """What keeps its queue, or did until now; that it is ready and takes messages needs no word."""
    if agent.state != "ready":
        yield agent.state_seq
    if agent.mode == "manual_flush":
        yield agent.mode_seq
    if agent.held is not None:
        yield agent.held.seq
        yield from holds.get(agent.held.seq, ())
    if agent.flowing is not None:
        yield agent.flowing.running.written_seq or agent.flowing.running.seq
