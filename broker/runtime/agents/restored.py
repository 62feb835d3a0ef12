"""Restored: whether holders know more than the journal, so that it was put back from a copy.

A holder is told that an attempt is settled only when the record of that is durable, and obeys an
epoch only once it stands in the journal. So one that has settled what is still open here, that
knows ids from after the last record, or that has obeyed a later epoch, was there when this journal
went on. It is asked before the first record of this run is written, since from there on ids have to
be others than those that were given then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.runtime.agents.holder_link import HolderLink, LinkLost, LinkRefused, connect
from ackbook.broker.runtime.system.processes import started_at
from ackbook.broker.wire.attempts import TYPED
from ackbook.broker.wire.frames import Hello, Welcome
from ackbook.projections.ids import lineage_of, position_of
from ackbook.projections.world.fold import World

log = logging.getLogger("ackbook.holders")

LINEAGE_BYTES = 4
"""Of randomness in the tag of a history: two that go on from one backup have the same one once in
four thousand million times."""

ASK_S_MAX = 3.0
"""A holder that is silent for longer is no witness now; if it knows more, it refuses later."""


class Witnesses:
    """The holders that were asked. Their links stay open: one that has not been named yet ends with
    the link to its broker. `because`: what shows that the journal was put back, if it was;
    `lineage`: then the tag of the history that begins here."""

    def __init__(self, epoch: int, journal_id: str, instance: str, world: World) -> None:
        self.because = ""
        self.lineage = ""
        self._hello = Hello(
            epoch=epoch,
            journal_id=journal_id,
            instance=instance,
            lineages=world.lineages,
            pid=os.getpid(),
            started=started_at(os.getpid()),
        )
        self._world = world
        self._met: dict[Path, tuple[HolderLink, Welcome]] = {}

    async def ask(self, paths: Iterable[Path]) -> None:
        """Ask whoever listens there, all at once."""
        await asyncio.gather(*(self._ask(path) for path in paths))
        if self.because:
            self.lineage = secrets.token_hex(LINEAGE_BYTES)
            log.warning("this journal was put back from a copy: %s", self.because)

    def hello(self) -> Hello:
        """How this broker introduces itself from here on: in a history of its own, where another
        one has gone on from the same record."""
        if not self.lineage:
            return self._hello
        lineages = (*self._world.lineages, self.lineage)
        return msgspec.structs.replace(self._hello, lineages=lineages)

    def take(self, path: Path) -> tuple[HolderLink, Welcome] | None:
        """The link to who listens there, to be used. None where nobody answered, and where the
        first words have to be said anew, since they were those of the history before."""
        return None if self.because else self._met.pop(path, None)

    def agent_in(self, session: int) -> str | None:
        """The agent of this journal whose program opened this session, by what those say that were
        asked; None where it is nobody's."""
        for _, welcome in self._met.values():
            if welcome.pid == session:
                agent = self._world.generation(welcome.name, welcome.generation)
                return None if agent is None else agent.name
        return None

    def close(self) -> None:
        """Everybody who is kept has another link by now."""
        for link, _ in self._met.values():
            link.close()

    async def _ask(self, path: Path) -> None:
        try:
            async with asyncio.timeout(ASK_S_MAX):
                link, welcome = await connect(str(path), self._hello)
        except LinkRefused as refused:
            if refused.epoch >= (mine := self._hello.epoch):
                self.because = f"{path.name} obeyed epoch {refused.epoch}, and this is {mine}"
        except (OSError, LinkLost):  # TimeoutError is one
            return
        else:
            self._met[path] = link, welcome
            if ids := lost(self._world, (*welcome.reports, *welcome.settled)):
                self.because = f"{welcome.name} was given {ids[0].delivery_id}, which is not here"
            elif unsettled(self._world, welcome):
                self.because = f"{welcome.name} was told that what is open here is settled"


def lost(world: World, reports: Iterable[Report]) -> list[Report]:
    """Those of deliveries that came after the last record, or in a history that is none of this
    one's: no record of this journal can name them."""
    known = {"", *world.lineages}
    return [
        report
        for report in reports
        if (position_of(report.delivery_id) or 0) > world.seq
        or lineage_of(report.delivery_id) not in known
    ]


def unsettled(world: World, welcome: Welcome) -> list[Report]:
    """Those of texts that were typed and settled, of deliveries that are open here."""
    return [
        report
        for report in welcome.settled
        if report.phase in TYPED and report.delivery_id in world.deliveries
    ]


def to_record(world: World, welcome: Welcome) -> list[Report]:
    """The settled reports that this journal has still to hear: of what is in that terminal by its
    last record, and of what it lost, which is recorded as such."""
    agent = world.generation(welcome.name, welcome.generation)
    flowing = None if agent is None else agent.flowing
    here = [
        report
        for report in welcome.settled
        if flowing is not None
        and (report.delivery_id, report.attempt) == (flowing.delivery_id, flowing.attempt)
    ]
    return [*here, *(each for each in lost(world, welcome.settled) if each.phase in TYPED)]
