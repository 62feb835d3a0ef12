"""A simulated broker whose records stand in a real journal, so that offline tools can be put to it.

Its time is the simulated one: the journal's clock is told it. Each start closes the journal and
opens it again, so that there are several epochs, and segments are small. `journalled` is what a
reader has to find: every record, those of the journal itself included.
"""

from __future__ import annotations

from pathlib import Path

from ackbook.broker.core.commands import AnyCommand, Verdict
from ackbook.broker.core.decide import carry_out
from ackbook.journal import Draft, Limits, Log, Reader, open_log
from ackbook.projections.codec import Entry, decode, encode, kind_of
from ackbook.projections.facts import Policy
from tests.support.simulated import START_AT, Simulated, line_of

LIMITS = Limits(segment_bytes_max=6_000, room_bytes_min=64 * 1024, reserve_bytes=48 * 1024)
"""A segment rolls after about twenty records."""

ROOM = 48 * 1024


class ToldClock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.at = START_AT

    def wall(self) -> int:
        return self.at

    def boot(self) -> int:
        return self.at - START_AT


class Recorded(Simulated):
    """A broker on a journal in a directory. `close` it."""

    def __init__(self, directory: Path, policy: Policy | None = None) -> None:
        self.directory = directory
        self._clock = ToldClock()
        self._log: Log | None = None
        super().__init__(policy)

    def start(self) -> None:
        self.close()
        self._log = open_log(self.directory, limits=LIMITS, clock=self._clock)
        super().start()

    def do(self, command: AnyCommand) -> Verdict:
        log, world = self._log, self.world
        assert log is not None
        assert log.secure(ROOM, reserve=True)
        before = world.seq
        world.seq = log.next_seq - 1
        self._clock.at = self.at
        outcome = carry_out(world, command, self.at)
        if outcome.entries:
            drafts = [
                Draft(kind_of(e), encode(e.fact), bytes(e.by) or None, e.cause)  # type: ignore[arg-type]
                for e in outcome.entries
            ]
            log.stage(drafts, self.at, expect=outcome.entries[0].seq)
            log.commit()
        else:
            world.seq = before
        self.lines += [line_of(entry) for entry in outcome.entries]
        self.entries += outcome.entries
        return outcome.verdict

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def journalled(self) -> list[Entry]:
        return [decode(line.raw) for line in Reader(self.directory).lines()]
