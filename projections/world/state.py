"""The world's state, and the few small moves that its folds share.

Everything here is rebuilt from the journal; nothing is stored beside it. What the world remembers
of the past is bounded: a settled delivery is kept while it is among the last `SETTLED_MAX`, since a
late report may still raise its level; older ones are only in the journal.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from ackbook.projections.facts import AgentName, DeliveryId, Evidence, Level, Policy, Verification
from ackbook.projections.names import canonical
from ackbook.projections.ways_out import EndedState
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deadlines import Agenda
from ackbook.projections.world.deliveries import (
    DeadLetter,
    Delivery,
    KeyAnswer,
    Message,
    SettledDelivery,
)

SETTLED_MAX = 10_000
"""Settled deliveries remembered: minutes of traffic at full speed, about 4 MB."""

SETTLED_AT_ONCE = 1_000
"""So many of the oldest are forgotten together."""

REDELIVERED_MAX = 10_000
"""Redeliveries remembered, so that none is made twice by two callers at once."""


key_of: Final[Callable[[str], str]] = str.casefold
"""Names compare without case."""


class World:
    """The fold of all entries up to `seq`. Times are microseconds UTC.

    `agents` and `generations` are keyed by `key_of(name)`. `leaving`: released generations whose
    holder has not ended yet. `lineages`: the tags of the histories that this one went through, the
    present one last; empty for a journal that was never put back. `forks`: for each of them the
    last record that it has in common with the one before. `counts`: deliveries by how they ended,
    and `enqueued`, ever."""

    def __init__(self) -> None:
        self.seq = 0
        self.at = 0
        self.policy = Policy()
        self.epoch = 0
        self.running = False
        self.started_at = 0
        self.clock_ahead_us = 0
        self.lineages: tuple[str, ...] = ()
        self.forks: tuple[int, ...] = ()
        self.agents: dict[str, Agent] = {}
        self.generations: dict[str, int] = {}
        self.leaving: dict[tuple[AgentName, int], int] = {}
        self.deliveries: dict[DeliveryId, Delivery] = {}
        self.dead_letters: dict[DeliveryId, DeadLetter] = {}
        self.settled: dict[DeliveryId, SettledDelivery] = {}
        self.redelivered: OrderedDict[DeliveryId, DeliveryId] = OrderedDict()
        self.keys: OrderedDict[tuple[str, str], KeyAnswer] = OrderedDict()
        self.counts: dict[str, int] = {"enqueued": 0}
        self.deadlines = Agenda()
        """Written by the folds; `agenda` is what the rules read."""
        self.moved: dict[AgentName, Agent] = {}
        """Agents whose deadline (the earliest moment at which a rule may have to act) may have
        moved since: it is worked out again before anybody reads it."""

    @property
    def agenda(self) -> Agenda:
        """What has a deadline, and when. A replay asks for none, so it works out none."""
        if self.moved:
            self._reschedule()
        return self.deadlines

    @property
    def lineage(self) -> str:
        """What ids that are made now end in."""
        return self.lineages[-1] if self.lineages else ""

    def agent(self, name: str) -> Agent | None:
        """The agent of this name, in any case."""
        return self.agents.get(key_of(name))

    def generation(self, name: str, generation: int) -> Agent | None:
        """The agent of this name if that generation is its present one."""
        agent = self.agents.get(key_of(name))
        return agent if agent is not None and agent.generation == generation else None

    def recipients(self, channel: str) -> Iterator[Agent]:
        """The agents subscribed to a channel (without `#`), in the order of their names."""
        wanted = canonical(channel)
        for key in sorted(self.agents):
            heard = self.agents[key].channels
            if channel in heard or (
                not channel.isascii() and any(canonical(each) == wanted for each in heard)
            ):
                yield self.agents[key]

    def messages(self) -> Iterator[Message]:
        """Those that a delivery or a dead letter refers to, each once, in the order of these."""
        found: dict[int, Message] = {}
        for delivery in self.deliveries.values():
            found[id(delivery.message)] = delivery.message
        for letter in self.dead_letters.values():
            found[id(letter.message)] = letter.message
        yield from found.values()

    def remember(
        self,
        delivery: Delivery,
        state: EndedState,
        seq: int,
        reason: str | None,
        level: Level = "recorded",
        verification: Verification | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        """Take a live delivery out of the world, and remember how it ended in the record `seq`."""
        delivery_id, message = delivery.delivery_id, delivery.message
        del self.deliveries[delivery_id]
        self.counts[state] = self.counts.get(state, 0) + 1
        if delivery.expires_at is not None:
            self.deadlines.put(("ttl", delivery_id), None)
        self.settled[delivery_id] = SettledDelivery(
            delivery_id,
            message.event_id,
            delivery.agent,
            message.sender,
            message.target,
            delivery.attempt,
            delivery.generation,
            state,
            seq,
            level,
            verification,
            reason,
            evidence,
        )
        if len(self.settled) > SETTLED_MAX:
            for oldest in list(islice(self.settled, SETTLED_AT_ONCE)):
                del self.settled[oldest]

    def check(self) -> None:
        """Assert everything that must hold at every seq, above all that counts are conserved."""
        ended = sum(n for name, n in self.counts.items() if name != "enqueued")
        assert self.counts["enqueued"] == len(self.deliveries) + ended
        waiting = {d.delivery_id for agent in self.agents.values() for d in agent.queue}
        flowing = {
            agent.flowing.delivery_id for agent in self.agents.values() if agent.flowing is not None
        }
        assert not waiting & flowing
        assert waiting | flowing == set(self.deliveries)
        for agent in self.agents.values():
            agent.queue.check()
            assert agent.flowing is None or not agent.flowing.waiting
        self.agenda.check()

    def _reschedule(self) -> None:
        for agent in self.moved.values():
            key = key_of(agent.name)
            if self.agents.get(key) is agent:
                full = len(agent.queue) > self.policy.queue_length_max
                self.deadlines.put(("agent", key), 0 if full else _deadline(agent))
        self.moved.clear()


def _deadline(agent: Agent) -> int | None:
    times: list[int] = []
    flowing, head = agent.flowing, agent.head()
    if flowing is not None and flowing.state == "awaiting" and not flowing.doubt:
        times.append(flowing.running.window_until)
    if agent.state == "blocked" and agent.blocked_until is not None and flowing is None:
        times.append(agent.blocked_until)
    if agent.state == "ready" and agent.occupied_until is not None and flowing is None:
        times.append(agent.occupied_until)
    if agent.state == "gone" and agent.hold_until is not None and len(agent.queue):
        times.append(agent.hold_until)
    free = agent.state == "ready" and flowing is None and agent.occupied is None
    if free and head is not None and not agent.parked(head):
        times.append(max(head.due_at, agent.throttle.next_at))
    return min(times, default=None)
