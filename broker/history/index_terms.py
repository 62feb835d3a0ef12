"""Index terms: by what a record can be asked for, besides the seq that its own id tells.

An id says in which record its story begins, so the index of a segment need only know the ids that
began before it and are mentioned in it; then the idempotency keys, and the agents that were sent
something. A word is kept as a code of 32 bits: two words may share one, which only costs time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from zlib import crc32

from ackbook.projections.codec import Entry
from ackbook.projections.facts import (
    AgentReleased,
    DeliveryRedelivered,
    MessageEnqueued,
    MessageRefused,
    Ref,
)
from ackbook.projections.ids import position_of
from ackbook.projections.names import match_key


class Words:
    """Collects the words that lead to a segment."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._others: set[str] = set()

    def take(self, entries: Iterable[Entry]) -> None:
        """Read what these entries mention."""
        ids, others = self._ids, self._others
        for entry in entries:
            fact = entry.fact
            if isinstance(fact, Ref):
                ids.add(fact.delivery_id)
                ids.add(fact.event_id)
                if isinstance(fact, DeliveryRedelivered):
                    others.add(agent_word(fact.agent))
            elif isinstance(fact, MessageEnqueued | MessageRefused):
                if fact.key is not None:
                    others.add(key_word(fact.key))
                if isinstance(fact, MessageEnqueued):
                    others.update([agent_word(each.agent) for each in fact.deliveries])
            elif isinstance(fact, AgentReleased):
                ids.update(
                    [each for ref in fact.dropped for each in (ref.delivery_id, ref.event_id)]
                )

    def before(self, base: int) -> bytes:
        """Sorted codes of all words, without the ids that say themselves that they begin here."""
        earlier = {each for each in self._ids if (position_of(each) or base) < base}
        return array("I", sorted({code_of(each) for each in earlier | self._others})).tobytes()


def key_word(key: str) -> str:
    """The word of an idempotency key."""
    return f"key {key}"


def agent_word(name: str) -> str:
    """The word of an agent that was sent something."""
    return f"agent {match_key(name)}"


def code_of(word: str) -> int:
    """The code under which a word is kept."""
    return crc32(word.encode())
