"""The timeline: why a message or a delivery is where it is, as a chain of causes and one sentence.

`why` reads the entries once, folds the world along with them, and keeps what concerns one id. The
sentence names the rule, its numbers, the other message, who held the queue and since when, and what
to do next. It says nothing that a record does not say, and never quotes a body.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from projections.agents import Agent
from projections.codec import Entry, kind_of
from projections.facts import (
    AgentReleased,
    DeliveryId,
    DeliveryRedelivered,
    MessageEnqueued,
    MessageRefused,
    Ref,
)
from projections.sentences import Ended, Holding, live_sentence, sentence_of
from projections.state import World
from projections.world import fold

_BODILESS = frozenset({"body", "data", "deliveries"})

CONTEXT_MAX = 10_000
"""Entries about agents kept, newest last, to show those that a later record names as its cause."""

SETTLED_ORDER = (
    "queued",
    "held",
    "in_doubt",
    "typing",
    "awaiting",
    "dead_letter",
    "dropped",
    "evicted",
    "expired",
    "cancelled",
    "released",
    "refused",
    "acked",
    "redelivered",
)
"""States from the least settled to the most: a message is where its least settled delivery is."""


class Fate(msgspec.Struct, kw_only=True):
    """One delivery of the story: where it is and why."""

    delivery_id: DeliveryId
    agent: str
    state: str = "queued"
    reason: str | None = None
    sentence: str = ""
    ended: Ended | None = None


class Story(msgspec.Struct, kw_only=True):
    """The answer to `why`. `timeline`: rows of seq, at (microseconds UTC), kind and the fields."""

    id: str
    is_message: bool
    state: str
    reason: str | None
    sentence: str
    timeline: list[dict[str, object]]
    deliveries: list[Fate]

    def to_dict(self) -> dict[str, object]:
        """The shape of `ackbook why --json`."""
        told: dict[str, object] = {
            "id": self.id,
            "state": self.state,
            "reason": self.reason,
            "sentence": self.sentence,
            "timeline": self.timeline,
        }
        if self.is_message:
            told["deliveries"] = [
                {
                    "delivery_id": fate.delivery_id,
                    "agent": fate.agent,
                    "state": fate.state,
                    "reason": fate.reason,
                    "sentence": fate.sentence,
                }
                for fate in self.deliveries
            ]
        return told


def why(entries: Iterable[Entry], wanted: str, world: World | None = None) -> Story | None:
    """The story of a message (`evt_...`) or delivery (`del_...`); None where no entry names it.

    The entries are those of a whole journal, in order, up to the moment that is asked about. Where
    the beginning of one is gone, `world` is the state at some later record: what is told before
    that record is not folded.
    """
    teller = _Teller(wanted, World() if world is None else world)
    for entry in entries:
        teller.hear(entry)
    return teller.tell()


class _Teller:
    """Listens to the entries, and remembers what concerns one id."""

    def __init__(self, wanted: str, world: World) -> None:
        self.wanted = wanted
        self.world = world
        self.is_message = wanted.startswith("evt_")
        self.rows: list[dict[str, object]] = []
        self.told: set[int] = set()
        self.fates: dict[DeliveryId, Fate] = {}
        self.refused: MessageRefused | None = None
        self.refused_seq = 0
        self.context: dict[int, Entry] = {}

    def hear(self, entry: Entry) -> None:
        if self._concerns(entry):
            self._note(entry)
        if entry.seq > self.world.seq:
            fold(self.world, entry)
        if kind_of(entry).startswith("agent."):
            self.context[entry.seq] = entry
            if len(self.context) > CONTEXT_MAX:
                del self.context[next(iter(self.context))]

    def tell(self) -> Story | None:
        if self.refused is not None:
            fact = self.refused
            sentence = (
                f"{self.wanted} was refused at seq {self.refused_seq}: {fact.detail}."
                " Nothing of it waits anywhere."
            )
            return self._story("refused", fact.reason, sentence)
        if not self.fates:
            return None
        for fate in self.fates.values():
            self._close(fate)
        fates = list(self.fates.values())
        least = min(fates, key=lambda f: SETTLED_ORDER.index(f.state))
        sentence = least.sentence
        if len(fates) > 1:
            settled = sum(1 for f in fates if f.state == "acked")
            sentence = (
                f"{self.wanted} has {len(fates)} deliveries, {settled} of them acked;"
                f" the least settled: {least.sentence}"
            )
        return self._story(least.state, least.reason, sentence)

    def _story(self, state: str, reason: str | None, sentence: str) -> Story:
        return Story(
            id=self.wanted,
            is_message=self.is_message,
            state=state,
            reason=reason,
            sentence=sentence,
            timeline=sorted(self.rows, key=lambda row: int(str(row["seq"]))),
            deliveries=list(self.fates.values()),
        )

    def _concerns(self, entry: Entry) -> bool:
        fact = entry.fact
        match fact:
            case MessageEnqueued():
                return self._follows(fact.event_id, *[r.delivery_id for r in fact.deliveries])
            case MessageRefused():
                return self._follows(fact.event_id)
            case DeliveryRedelivered():
                return self._follows(fact.event_id, fact.delivery_id, fact.new_delivery_id)
            case Ref():
                return self._follows(fact.event_id, fact.delivery_id)
            case AgentReleased():
                return any(self._follows(r.event_id, r.delivery_id) for r in fact.dropped)
            case _:
                return False

    def _follows(self, *ids: str) -> bool:
        return self.wanted in ids

    def _note(self, entry: Entry) -> None:
        """Keep the entry, the causes that speak of agents, and what it does to a fate."""
        for seq in entry.cause:
            cause = self.context.get(seq)
            if cause is not None:
                self._row(cause)
        self._row(entry)
        fact = entry.fact
        match fact:
            case MessageEnqueued():
                for recipient in fact.deliveries:
                    if self._follows(fact.event_id, recipient.delivery_id):
                        self._begin(recipient.delivery_id, recipient.agent)
            case MessageRefused():
                self.refused, self.refused_seq = fact, entry.seq
            case DeliveryRedelivered():
                if fact.delivery_id in self.fates:
                    self._end(self.fates[fact.delivery_id], entry)
                if self._follows(fact.event_id, fact.new_delivery_id):
                    self._begin(fact.new_delivery_id, fact.agent)
            case AgentReleased():
                for ref in fact.dropped:
                    if ref.delivery_id in self.fates:
                        self._end(self.fates[ref.delivery_id], entry)
            case Ref():
                if fact.delivery_id in self.fates:
                    self._end(self.fates[fact.delivery_id], entry)
            case _:
                pass

    def _begin(self, delivery_id: DeliveryId, agent: str) -> None:
        self.fates[delivery_id] = Fate(delivery_id=delivery_id, agent=agent)

    def _end(self, fate: Fate, entry: Entry) -> None:
        agent = self.world.agent(fate.agent)
        ended = sentence_of(fate.delivery_id, entry, _holding(self, agent))
        if ended is not None:
            fate.ended = ended if fate.ended is None else fate.ended.then(ended)

    def _close(self, fate: Fate) -> None:
        delivery = self.world.deliveries.get(fate.delivery_id)
        if delivery is not None:
            agent = self.world.agent(fate.agent)
            assert agent is not None
            fate.state, fate.reason, fate.sentence = live_sentence(
                agent, delivery, self.world.at, _holding(self, agent)
            )
        elif fate.ended is not None:
            assert fate.ended.state is not None
            fate.state, fate.reason = fate.ended.state, fate.ended.reason
            fate.sentence = fate.ended.sentence

    def _row(self, entry: Entry) -> None:
        if entry.seq in self.told:
            return
        self.told.add(entry.seq)
        fields = msgspec.json.decode(msgspec.json.encode(entry.fact))
        shown = {key: value for key, value in fields.items() if key not in _BODILESS}
        if isinstance(entry.fact, MessageEnqueued):
            shown["body_bytes"] = len(entry.fact.body.encode())
            shown["deliveries"] = [r.delivery_id for r in entry.fact.deliveries]
        self.rows.append(
            {
                "seq": entry.seq,
                "at": entry.at,
                "kind": kind_of(entry),
                "cause": list(entry.cause),
                **shown,
            }
        )


def _holding(teller: _Teller, agent: Agent | None) -> Holding | None:
    """What the agent's queue waits for at this moment, and who made it so."""
    if agent is None or agent.held is None:
        return None
    by = ""
    since_seq, since_at = agent.held.seq, agent.held.at
    if agent.mode == "manual_flush" and agent.held.reason == "manual_flush":
        changed = teller.context.get(agent.mode_seq)
        if changed is not None:
            by = getattr(changed.fact, "by", "")
            since_seq, since_at = changed.seq, changed.at
    elif agent.state_seq:
        since_seq, since_at = agent.state_seq, agent.state_at
    return Holding(agent.held.delivery_id, agent.held.reason, since_seq, since_at, by)
