"""Restored: whether holders know more than the journal, so that it was put back from a copy.

The journal may know that itself (`journal.recovery.put_back`): then it has begun a history of its
own already, and what holders know besides is no reason for another one.

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

import msgspec

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.runtime.agents.holder_link import HolderLink, LinkLost, LinkRefused
from ackbook.broker.runtime.agents.holder_sockets import HolderSocket
from ackbook.broker.runtime.system.home import Home
from ackbook.broker.runtime.system.processes import started_at
from ackbook.broker.wire.attempts import TYPED
from ackbook.broker.wire.frames import Hello, Welcome
from ackbook.journal.limits import LINEAGE_BYTES
from ackbook.projections.ids import lineage_of, position_of
from ackbook.projections.world.fold import World

log = logging.getLogger("ackbook.holders")

ASK_S_MAX = 3.0
"""A holder that is silent for longer is no witness now; if it knows more, it refuses later."""


class Witnesses:
    """The holders that were asked. Their links stay open: one that has not been named yet ends with
    the link to its broker. `because`: what shows that the journal was put back, if it was, and it
    is known before them where the journal itself says so; `lineage`: the tag of the history that
    begins here because of them."""

    def __init__(
        self,
        epoch: int,
        journal_id: str,
        instance: str,
        world: World,
        home: Home,
        because: str = "",
    ) -> None:
        self.because = because
        self.lineage = ""
        self._begun = bool(because)
        self._hello = Hello(
            epoch=epoch,
            journal_id=journal_id,
            instance=instance,
            lineages=world.lineages,
            pid=os.getpid(),
            started=started_at(os.getpid()),
            home=str(home.directory),
            home_is=home.identity,
        )
        self._world = world
        self._met: dict[str, tuple[HolderLink, Welcome]] = {}

    async def ask(self, sockets: Iterable[HolderSocket]) -> None:
        """Ask whoever listens there, all at once."""
        await asyncio.gather(*(self._ask(each) for each in sockets))
        if self.because and not self._begun:
            self.lineage = secrets.token_hex(LINEAGE_BYTES)
        if self.because:
            log.warning("this journal was put back from a copy: %s", self.because)

    def hello(self) -> Hello:
        """How this broker introduces itself from here on: in a history of its own, where another
        one has gone on from the same record."""
        if not self.lineage:
            return self._hello
        lineages = (*self._world.lineages, self.lineage)
        return msgspec.structs.replace(self._hello, lineages=lineages)

    def take(self, socket: HolderSocket) -> tuple[HolderLink, Welcome] | None:
        """The link to who listens there, to be used. None where nobody answered, and where the
        first words have to be said anew, since they were those of the history before."""
        return None if self.lineage else self._met.pop(socket.name, None)

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

    async def _ask(self, socket: HolderSocket) -> None:
        try:
            async with asyncio.timeout(ASK_S_MAX):
                link, welcome = await socket.connect(self._hello)
        except LinkRefused as refused:
            refusal, mine = refused.refusal, self._hello.epoch
            if not refusal.obeys and refusal.epoch >= mine:
                self._testify(f"{socket.name} obeyed epoch {refusal.epoch}, and this is {mine}")
        except (OSError, LinkLost):  # TimeoutError is one
            return
        else:
            self._met[socket.name] = link, welcome
            if ids := lost(self._world, (*welcome.reports, *welcome.settled)):
                self._testify(f"{welcome.name} was given {ids[0].delivery_id}, which is not here")
            elif unsettled(self._world, welcome):
                self._testify(f"{welcome.name} was told that what is open here is settled")

    def _testify(self, because: str) -> None:
        if not self._begun:
            self.because = because


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


def irreconcilable(hello: Hello, welcome: Welcome) -> str:
    """Why it cannot be known what was typed into that terminal since the copy was made from which
    this journal was put back; empty where it can."""
    if not hello.lineages or "settled" in welcome.speaks:
        return ""
    return "it is of an older version and cannot say what it typed before the journal was put back"


def to_record(world: World, welcome: Welcome) -> list[Report]:
    """The settled reports that this journal has still to hear: of what is on its way into that
    terminal, or stands in its input, by its last record; and of what it lost, which is recorded as
    such."""
    inside = set()
    if (agent := world.generation(welcome.name, welcome.generation)) is not None:
        if (flowing := agent.flowing) is not None:
            inside.add((flowing.delivery_id, flowing.attempt))
        if agent.occupied is not None and (stands := world.settled.get(agent.occupied)) is not None:
            inside.add((stands.delivery_id, stands.attempt))
    here = [report for report in welcome.settled if (report.delivery_id, report.attempt) in inside]
    return [*here, *(each for each in lost(world, welcome.settled) if each.phase in TYPED)]
