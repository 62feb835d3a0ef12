"""A past for tests: commands put to the real rules and written to a real journal, without a broker.

Each told command is durable when `tell` returns. The story that `a_busy_day` tells has something of
everything that the offline tools show: deliveries that arrived, one unconfirmed, some that wait,
one evicted, one dead letter.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from ackbook.broker.core.attempt_report import Report, Written
from ackbook.broker.core.commands import (
    Accepted,
    AnyCommand,
    Cancel,
    ReportAttempt,
    ReportCondition,
    ReportEnded,
    Send,
    Sent,
    SetMode,
    Spawn,
    StartBroker,
)
from ackbook.broker.core.decide import Decision, carry_out
from ackbook.journal import Draft, Limits, Position, Reader, open_log, write_snapshot
from ackbook.projections import codec
from ackbook.projections.facts import AgentName, DeliveryId, Evidence, Policy
from ackbook.projections.world import serialization
from ackbook.projections.world.fold import World, fold, fold_all
from ackbook.projections.world.serialization import FOLD_VERSION
from tests.support.orders import program

SMALL = Limits(segment_bytes_max=4096, room_bytes_min=64 * 1024, reserve_bytes=48 * 1024)
"""A segment rolls after a dozen records."""

ROOM = 32 * 1024


class Past:
    """One journal being written. Leaving the block closes it cleanly."""

    def __init__(self, directory: Path, limits: Limits = Limits()) -> None:  # noqa: B008
        self.log = open_log(directory, limits=limits)
        self.world = World()
        for block in Reader(directory).blocks():
            fold_all(self.world, codec.decode_block(block))

    def __enter__(self) -> Past:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.log.close()

    def tell(self, command: AnyCommand) -> Decision:
        """Decide, fold, and make it durable."""
        assert self.log.secure(ROOM, reserve=True)
        self.world.seq = self.log.next_seq - 1
        at = self.log.now()
        outcome = carry_out(self.world, command, at)
        drafts = [
            Draft(codec.kind_of(e), codec.encode(e.fact), bytes(e.by) or None, e.cause)
            for e in outcome.entries
        ]
        if drafts:
            self.log.stage(drafts, at, expect=outcome.entries[0].seq)
            self.log.commit()
        return outcome

    def send(self, target: str, body: str, sender: str = "human") -> Sent:
        verdict = self.tell(Send(sender=sender, target=target, body=body)).verdict
        assert isinstance(verdict, Accepted), verdict
        assert isinstance(verdict.answer, Sent)
        return verdict.answer

    def spawn(self, name: str, pid: int = 4711, channels: tuple[str, ...] = ()) -> None:
        agent = AgentName(name)
        self.tell(
            Spawn(
                program=program(
                    name, pid=pid, args=("-u",), channels=channels, holder=f"{name}.sock"
                )
            )
        )
        self.tell(ReportCondition(name=agent, generation=1, state="ready", how="prompt"))

    def arrives(self, name: str, *, seen: bool = True) -> None:
        """The delivery that is being typed for this agent was written, and perhaps seen."""
        agent = self.world.agent(name)
        assert agent is not None
        assert agent.flowing is not None
        evidence = Evidence(how="echo_line", offset_from=10, offset_to=40)
        self._report(agent.name, agent.flowing.delivery_id, agent.flowing.attempt, evidence, seen)

    def _report(
        self, name: AgentName, delivery_id: DeliveryId, attempt: int, found: Evidence, seen: bool
    ) -> None:
        report = Report(
            delivery_id=delivery_id,
            attempt=attempt,
            generation=1,
            phase="written",
            written=Written(bytes_written=30, offset=10),
            seen=found if seen else None,
            submitted=Evidence(how="input_emptied") if seen else None,
            input_empty=seen,
        )
        self.tell(ReportAttempt(agent=name, report=report))

    def start(self, policy: Policy = Policy()) -> None:  # noqa: B008
        epoch = self.log.epoch
        self.tell(StartBroker(epoch=epoch, pid=1, version="0.0.0", instance="past", policy=policy))


def a_busy_day(directory: Path, limits: Limits = SMALL) -> dict[str, str]:
    """Write it; the ids of its deliveries and messages by what became of them."""
    ids: dict[str, str] = {}
    with Past(directory, limits) as past:
        past.start(Policy(queue_length_max=2))
        past.spawn("bob", channels=("all",))
        past.spawn("Ann", channels=("all",))
        fan_out = past.send("#all", "to everybody\nin two lines")
        ids["message"] = fan_out.event_id
        ids["arrived"] = fan_out.deliveries[1][0]
        past.arrives("Ann")
        past.arrives("bob")
        past.tell(SetMode(name=AgentName("bob"), mode="manual_flush", by="tester"))
        for number, fate in enumerate(("evicted", "first", "second")):
            ids[fate] = past.send("bob", f"waits {number}").deliveries[0][0]
        ids["cancelled"] = ids["second"]
        past.tell(Cancel(id=ids["cancelled"], by="tester"))
        ids["waits"] = ids["first"]
        past.spawn("eve")
        lost = past.send("eve", "being typed when the program ended")
        ids["dead"] = lost.deliveries[0][0]
        past.tell(ReportEnded(name=AgentName("eve"), generation=1, reason="signalled", signal=9))
    return ids


def make_snapshot(directory: Path, seq: int) -> None:
    """A snapshot of the world at this record."""
    reader, world = Reader(directory), World()
    lines = list(reader.lines(through=seq))
    for line in lines:
        fold(world, codec.decode(line.raw))
    write_snapshot(
        directory,
        journal_id=reader.journal_id or "",
        position=Position(seq, lines[-1].at, lines[-1].crc),
        fold_version=FOLD_VERSION,
        lines=serialization.dump(world),
    )
