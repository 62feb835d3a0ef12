"""A simulated broker whose records are written to a real journal as well, record by record."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from broker.core.commands import Verdict, Wish
from journal import Draft, open_log
from projections.codec import encode, kind_of
from projections.facts import Policy
from tests.support.past import SMALL
from tests.support.simulated import Simulated

ROOM = 40 * 1024
"""For the records of one decision."""


class Journaled(Simulated):
    """One broker on one journal with small segments. Leaving the block closes it cleanly.

    The journal puts records of its own between those of decisions, so a seq is no index here.
    """

    def __init__(self, directory: Path, policy: Policy | None = None) -> None:
        self.log = open_log(directory, limits=SMALL)
        super().__init__(policy)

    def __enter__(self) -> Journaled:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.log.close()

    def do(self, command: Wish) -> Verdict:
        """Carry out one command and make its records durable."""
        assert self.log.secure(ROOM, reserve=True)
        self.at = max(self.at, self.log.now())
        before, known = self.world.seq, len(self.entries)
        self.world.seq = self.log.next_seq - 1
        verdict = super().do(command)
        new = self.entries[known:]
        if new:
            drafts = [
                Draft(kind_of(each), encode(each.fact), bytes(each.by) or None, each.cause)  # type: ignore[arg-type]
                for each in new
            ]
            self.log.stage(drafts, self.at, expect=new[0].seq)
            self.log.commit()
        else:
            self.world.seq = before
        return verdict
