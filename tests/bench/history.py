"""A long past, made fast: real facts in a real journal, without waiting for anything to happen.

A message that arrives is four records: enqueued, attempted, written, acked; about 300 bytes each.
Eight agents take turns. Each fact is built and encoded by the codec once, with placeholders for
what differs, and from then on only filled in; so what stands in the journal is what a broker would
have written. `pend` adds messages that wait.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from ackbook.journal import Draft, open_log
from ackbook.projections.codec import encode
from ackbook.projections.facts import (
    KINDS,
    AgentName,
    AgentReady,
    AgentSpawned,
    BrokerStarted,
    DeliveryAcked,
    DeliveryAttempted,
    DeliveryWritten,
    Evidence,
    Fact,
    MessageEnqueued,
    Policy,
    PolicyChanged,
    Recipient,
    Throttle,
)
from ackbook.projections.ids import delivery_id, event_id

AGENTS = tuple(f"worker-{number}" for number in range(8))
MESSAGES_A_BATCH = 1_000
PENDING_MAX = 1_000_000

_SEQ = 0xABCDE0
"""A placeholder that stands nowhere else in an encoded fact."""

_BY = b'{"command":"send"}'
_BODY = "Please look at the failing test of the parser, find the cause and say what you found. " * 2


class Past:
    """One journal being filled. Leaving the block closes it cleanly."""

    def __init__(self, directory: Path) -> None:
        self.log = open_log(directory, kinds=KINDS | {"x.bench"}, trusted=True)

    def __enter__(self) -> Past:
        if self.log.epoch == 1:
            self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.log.close()

    def arrive(self, messages: int) -> None:
        """So many messages that were delivered, four records each."""
        for begun in range(0, messages, MESSAGES_A_BATCH):
            drafts: list[Draft] = []
            seq = self.log.next_seq
            for number in range(begun, min(begun + MESSAGES_A_BATCH, messages)):
                enqueued, story = _ARRIVALS[number % len(AGENTS)]
                first = b"%x" % seq
                drafts.append(Draft(MessageEnqueued.KIND, enqueued % (first, first), _BY))
                drafts += [
                    Draft(kind, data % (first, first), None, (seq + before,))
                    for before, (kind, data) in enumerate(story)
                ]
                seq += 4
            self._write(drafts)

    def pend(self, messages: int, body: str = _BODY) -> None:
        """So many messages that wait, one record each."""
        patterns = [_pattern(_enqueued(AgentName(agent), body)) for agent in AGENTS]
        for begun in range(0, messages, MESSAGES_A_BATCH):
            seq = self.log.next_seq
            self._write(
                [
                    Draft(
                        MessageEnqueued.KIND,
                        patterns[number % len(AGENTS)] % ((b"%x" % (seq + place),) * 2),
                        _BY,
                    )
                    for place, number in enumerate(
                        range(begun, min(begun + MESSAGES_A_BATCH, messages))
                    )
                ]
            )

    def _begin(self) -> None:
        facts: list[Fact] = [
            BrokerStarted(epoch=1, pid=1, version="bench"),
            PolicyChanged(policy=Policy(queue_length_max=PENDING_MAX)),
        ]
        for agent in AGENTS:
            name = AgentName(agent)
            facts.append(
                AgentSpawned(name=name, generation=1, pid=2, command="cat", args=(), cwd="/")
            )
            facts.append(AgentReady(name=name, generation=1, how="prompt", first=True))
        self._write([Draft(fact.KIND, encode(fact)) for fact in facts])

    def _write(self, drafts: list[Draft]) -> None:
        log = self.log
        assert log.secure(sum(map(log.measure, drafts)))
        log.stage(drafts, log.now(), expect=log.next_seq)
        log.commit()


def _enqueued(agent: AgentName, body: str) -> MessageEnqueued:
    return MessageEnqueued(
        event_id=event_id(_SEQ),
        sender="human",
        target=agent,
        body=body,
        deliveries=(Recipient(delivery_id=delivery_id(_SEQ, 1), agent=agent),),
        content="5d41402abc4b2a76b9719d911017c592",
    )


def _arrival(agent: AgentName) -> list[Fact]:
    ref = {
        "delivery_id": delivery_id(_SEQ, 1),
        "event_id": event_id(_SEQ),
        "agent": agent,
        "sender": "human",
        "target": agent,
    }
    return [
        _enqueued(agent, _BODY),
        DeliveryAttempted(**ref, attempt=1, generation=1, window_ms=5_000, settle_ms=2_000),
        DeliveryWritten(
            **ref,
            attempt=1,
            generation=1,
            bytes_written=173,
            offset=123_456,
            window_until=1_763_800_000_000_000,
            salt="f00dcafe",
            salted_body="b94d27b9934d3e08",
            salted_typed="a52d1f0bb94d27b9",
        ),
        DeliveryAcked(
            **ref,
            attempt=1,
            generation=1,
            level="submitted",
            verification="echo",
            throttle=Throttle(delay_ms=100, failures=0, successes=1, next_at=0),
            evidence=Evidence(how="echo_line", offset_from=123_456, offset_to=123_629),
        ),
    ]


def _pattern(fact: Fact) -> bytes:
    return encode(fact).replace(b"%", b"%%").replace(b"%x" % _SEQ, b"%b")


def _patterns(agent: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    first, *rest = _arrival(AgentName(agent))
    return _pattern(first), [(fact.KIND, _pattern(fact)) for fact in rest]


_ARRIVALS = tuple(_patterns(agent) for agent in AGENTS)
