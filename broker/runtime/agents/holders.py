"""Holders: all sessions of this broker, and the hands that do what the world owes to agents.

At start every socket of this journal is asked who listens there: the holder of an agent that the
world calls living is adopted, one that nobody named or that was to end is ended, and one that obeys
somebody else, or that another history named, is named; an agent for whom nobody answers has ended
with its broker. So no holder is ever left over, and none is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from ackbook.broker.core.commands import ReportEnded
from ackbook.broker.core.effects import AnyEffect, Ask, End, Find, Start, Type
from ackbook.broker.history.journal_entries import body_at
from ackbook.broker.runtime.agents.holder_launch import Launched
from ackbook.broker.runtime.agents.holder_link import HolderLink, LinkLost, LinkRefused
from ackbook.broker.runtime.agents.holder_session import Audience, HolderSession
from ackbook.broker.runtime.agents.holder_sockets import HolderSocket, HolderSockets
from ackbook.broker.runtime.agents.restored import Witnesses
from ackbook.broker.runtime.agents.strays import Stranger, is_to_end, living
from ackbook.broker.runtime.engine.effect_dispatch import EffectDispatch
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.broker.runtime.engine.inbox import OutcomeUnknown, Stopped
from ackbook.broker.runtime.system.processes import kill_session, stat
from ackbook.broker.runtime.system.shortage import shortage
from ackbook.broker.wire import frames
from ackbook.broker.wire.frames import Hello, Welcome
from ackbook.journal import Files
from ackbook.projections.world.fold import key_of

log = logging.getLogger("ackbook.holders")

END_S_MAX = 15.0
"""A holder kills its program after 2 s; one that has not gone by now hangs, and is killed."""

KILLED_S_MAX = 5.0
"""How long an end waits for what was killed to be gone."""

SHORT_S = 1.0
"""How soon a text is read again that could not be read for lack of a descriptor."""

SETTLE_S_MAX = 10.0
"""How long a start waits for holders that are there and do not answer."""


class Holders:
    """The sessions by agent and generation. Implements `EffectHandler`."""

    def __init__(
        self,
        sockets: HolderSockets,
        journal: Path,
        hello: Hello,
        audience: Audience,
        files: Files | None = None,
    ) -> None:
        self._strangers: list[Stranger] = []
        self.sockets = sockets
        self.dispatch = EffectDispatch(self)
        self.restart: Callable[[Start], None] = lambda start: None
        self._journal, self._files = journal, files
        self._hello = hello
        self._audience = audience
        self._sessions: dict[tuple[str, int], HolderSession] = {}
        self._engine: Engine | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._unfound: list[End] | None = []
        """Who is to end and has no session, while strays are not looked at yet: one may be it."""

    def work_for(self, engine: Engine, tasks: asyncio.TaskGroup) -> None:
        """Report to this engine; every session lives in this task group."""
        self._engine, self._tasks = engine, tasks

    def session(self, name: str, generation: int | None = None) -> HolderSession | None:
        """The session of this generation; of the latest one, where none is named."""
        if generation is not None:
            return self._sessions.get((key_of(name), generation))
        mine = [n for key, n in self._sessions if key == key_of(name)]
        return self._sessions[key_of(name), max(mine)] if mine else None

    def in_session(self, leader: int) -> HolderSession | None:
        """The one whose program opened this session; None where it is nobody's."""
        return next((each for each in self if each.pid == leader), None)

    def __iter__(self) -> Iterator[HolderSession]:
        return iter(tuple(self._sessions.values()))

    @property
    def strangers(self) -> list[Stranger]:
        """The holders of programs that no record of this journal names, as long as they live."""
        return [each for each in self._strangers if stat(each.holder_pid) is not None]

    # --- coming and going

    async def meet(self, socket: HolderSocket) -> tuple[HolderLink, Welcome]:
        """The first words with a holder. Raises what `HolderSocket.connect` raises."""
        return await socket.connect(self._hello)

    def keep(
        self,
        name: str,
        generation: int,
        socket: HolderSocket,
        first: tuple[HolderLink, Welcome] | None = None,
        launched: Launched | None = None,
    ) -> HolderSession:
        """Keep a holder from here on. One that was not `launched` by this broker is
        adopted; `first` is the link to it, where there is one already."""
        assert self._engine is not None
        assert self._tasks is not None
        session = HolderSession(
            engine=self._engine,
            hello=self._hello,
            name=name,
            generation=generation,
            socket=socket,
            audience=self._audience,
            again=self._again,
            launched=launched,
        )
        if first is not None and launched is not None:
            session.pid = first[1].pid  # at once: its program may have asked for something already
        self._sessions[key_of(name), generation] = session
        self._tasks.create_task(self._keep(session, first))
        return session

    async def adopt(self, met: Witnesses) -> None:
        """Find the holders that an earlier broker left: adopt those of living agents, end those
        that were to end. One that another history named is left and listed: see `strays`. Returns
        when each agent is known to live or to have ended."""
        assert self._engine is not None
        alive = await self._engine.ask(living)
        for name, generation, holder in alive:
            socket = self.sockets.called(holder or "none")
            self.keep(name, generation, socket, met.take(socket))
        named = {holder for _, _, holder in alive}
        strays = [each for each in self.sockets.found() if each.name not in named]
        async with asyncio.TaskGroup() as tasks:
            for socket in strays:
                tasks.create_task(self._end_stray(socket, met.take(socket)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S_MAX):
                for session in self:
                    await session.settled_in.wait()
        met.close()
        unfound, self._unfound = self._unfound or [], None
        for effect in unfound:
            self._end(effect)

    async def end_all(self, reason: str) -> None:
        """End every program, and wait until each end is durable.

        A holder that hangs is killed, and everything in its program's session with it.
        """
        for session in self:
            session.end(reason)
        await self._all_gone(END_S_MAX)
        for session in self._obedient():
            log.error("the holder of %s does not end; killing it", session.name)
            with contextlib.suppress(OSError):
                if session.pid is not None:  # while the holder is there the pid is its program's
                    kill_session(session.pid)
                session.socket.kill()
        await self._all_gone(KILLED_S_MAX)

    def _obedient(self) -> list[HolderSession]:
        """All but those whose holders obey somebody else: they are not ours to end."""
        return [session for session in self if not session.refused]

    async def _all_gone(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while sessions := self._obedient():
                    await asyncio.gather(*(session.gone.wait() for session in sessions))

    # --- what the world owes

    def begin(self, effect: AnyEffect) -> None:
        """Begin an effect; what cannot be begun now is owed again when its holder is back."""
        match effect:
            case Type():
                self._type(effect)
            case Ask() | Find():
                # `adopt` looks for all holders at once, and each link begins with an answer to
                # every question: the holder says all that it knows, and then what changes.
                pass
            case Start():
                self.restart(effect)
            case End():
                self._end(effect)

    def _type(self, effect: Type) -> None:
        session = self.session(effect.agent, effect.generation)
        if session is None:
            return
        try:
            session.type(self._order(effect))
        except OSError as error:
            if (what := shortage(error)) is None:
                raise
            log.error("%s is not typed to now: %s", effect.agent, what)
            asyncio.get_running_loop().call_later(SHORT_S, self._again, effect.agent)

    def _order(self, effect: Type) -> frames.TypeOrder:
        return frames.TypeOrder(
            delivery_id=effect.delivery_id,
            event_id=effect.event_id,
            attempt=effect.attempt,
            generation=effect.generation,
            header=effect.header,
            body=body_at(self._journal, effect.body_seq, self._files)
            if effect.body is None
            else effect.body,
            hint=effect.hint,
            mode=effect.mode,
            window_ms=effect.window_ms,
            settle_ms=effect.settle_ms,
            override=effect.override,
        )

    def _end(self, effect: End) -> None:
        session = self.session(effect.agent, effect.generation)
        if session is not None:
            session.end()
            return
        if self._unfound is not None:
            self._unfound.append(effect)
            return
        assert self._engine is not None
        with contextlib.suppress(Stopped):
            self._engine.post(
                ReportEnded(name=effect.agent, generation=effect.generation, reason="holder_lost")
            )

    # --- in the background

    async def _keep(self, session: HolderSession, first: tuple[HolderLink, Welcome] | None) -> None:
        try:
            await session.run(first)
            # Not when this broker ends before its holder: the next one has to find it.
            session.socket.remove_left()
        finally:
            self._sessions.pop((key_of(session.name), session.generation), None)
            session.gone.set()

    def _again(self, name: str) -> None:
        assert self._tasks is not None
        self._tasks.create_task(self._say_again(name))

    async def _say_again(self, name: str) -> None:
        assert self._engine is not None
        with contextlib.suppress(Stopped, OutcomeUnknown):
            await self._engine.ask(lambda world, at: self.dispatch.again(world, name))

    async def _end_stray(
        self, socket: HolderSocket, met: tuple[HolderLink, Welcome] | None
    ) -> None:
        """End a holder that is to end, and wait until it has gone."""
        try:
            link, welcome = met or await self.meet(socket)
        except OSError:
            socket.remove_left()
            return
        except LinkLost:
            log.error("whoever listens at %s does not answer", socket.name)
            return
        except LinkRefused as refused:
            self._obeys_another(socket, refused)
            return
        assert self._engine is not None
        if not await is_to_end(self._engine, self._journal, self._files, socket.name, welcome):
            self._name(Stranger(welcome.name, welcome.pid, welcome.holder_pid))
            link.close()
            return
        log.info("ending the holder of %s (%d), which has no agent", welcome.name, welcome.pid)
        link.send(frames.EndOrder())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(link.pump(lambda frame: None), END_S_MAX)
        link.close()

    def _obeys_another(self, socket: HolderSocket, refused: LinkRefused) -> None:
        """A copy's holders are that copy's affair; who has nobody else is named here."""
        said = refused.refusal
        if said.obeys or said.home_is not in ((0, 0), self._hello.home_is):
            log.info("the holder at %s belongs to a copy of this journal: %s", socket.name, refused)
        else:
            self._name(Stranger(said.name or socket.name, said.pid, said.holder_pid))

    def _name(self, stranger: Stranger) -> None:
        log.error("the program of %s (%d) is of another history", stranger.name, stranger.pid)
        self._strangers.append(stranger)
