"""Spawning: from an order to a program in a terminal with a durable name.

The holder is started first and named last: it says hello with the pid of its program, `Spawn` makes
that durable, and only `Named` lets it outlive this broker. Whatever fails in between ends the
holder, so there is never a program that no record names. One order a name at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ackbook.broker.core.commands import Refused
from ackbook.broker.core.effects import Start
from ackbook.broker.core.lifecycle import wrong_name
from ackbook.broker.core.spelling import agent_called, spelled
from ackbook.broker.runtime.agents.holder_launch import (
    Launched,
    LaunchFailed,
    NoHolder,
    NoResources,
    clean_environment,
    launch,
)
from ackbook.broker.runtime.agents.holder_link import LinkLost, LinkRefused
from ackbook.broker.runtime.agents.holder_sockets import socket_name
from ackbook.broker.runtime.agents.holders import Holders
from ackbook.broker.runtime.agents.launch_spec import Order, again, recorded
from ackbook.broker.runtime.engine.agent_tokens import AgentTokens
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.broker.runtime.engine.state_waiter import QUIET_S_MAX, StateWaiter
from ackbook.broker.runtime.system import package_version
from ackbook.broker.runtime.system.home import Home
from ackbook.broker.runtime.system.shortage import shortage
from ackbook.broker.wire import frames
from ackbook.broker.wire.identity import NAME_VARIABLE, TOKEN_VARIABLE
from ackbook.projections.facts import AgentName, AgentSpawned
from ackbook.projections.names import match_key
from ackbook.projections.world.fold import World, key_of

log = logging.getLogger("ackbook.spawning")

RESTART_S_MAX = 20.0
"""How long a restart waits for the old program to end; its holder kills it after 2 s."""


TOKEN_BYTES = 16
"""Of chance in a token: nobody guesses it."""

SHORT_S = 2.0
"""How soon a restart is tried again where the machine had nothing to run it with."""


class Spawned(msgspec.Struct, frozen=True):
    """It runs, and its record is durable."""

    name: str
    generation: int
    pid: int


class Spawner:
    """Carries out orders. `environment` is what programs inherit besides their own values, and
    `umask` what they begin with.

    What cannot be done is a `Refused`, with the reason. Whatever asks the engine raises what
    `Engine.post` raises; no program runs then that was not named.
    """

    def __init__(
        self,
        engine: Engine,
        holders: Holders,
        waiter: StateWaiter,
        tokens: AgentTokens,
        home: Home,
        environment: Mapping[str, str],
        umask: int,
    ) -> None:
        self._engine = engine
        self._waiter = waiter
        self._holders = holders
        self._tokens = tokens
        self._home = home
        self._directory = home.directory
        self._environment = clean_environment(environment)
        self._umask = umask
        self._busy: dict[str, asyncio.Lock] = {}
        self._values: dict[str, dict[str, str]] = {}

    async def spawn(self, order: Order) -> Spawned | Refused:
        """Start a program under a name that is free."""
        async with self._turn(order.program.name):
            return await self._spawn(order)

    async def restart(self, name: str, commander: str = "") -> Spawned | Refused:
        """End the program, where it runs, and start it with its recorded command.

        A program that might not come back is not ended: with another version of the package on
        disk nobody knows whether its holder can be started.
        """
        if what := package_version.changed():
            message = f"{what}: {package_version.RESTART}; {name} runs on"
            return Refused(reason="version_changed", message=message)
        async with self._turn(name):
            spawned = await self._engine.ask(lambda world, at: _last(world, name))
            if spawned is None:
                message = f'Agent "{name}" not found; `ackbook ls` lists those there are'
                return Refused(reason="agent_not_found", message=message)
            name = spawned.name
            session = self._holders.session(name, spawned.generation)
            if session is not None and session.refused:
                return Refused(reason="elsewhere", message=session.elsewhere)
            if session is not None:
                await session.leave("restarted")
                await self._waiter.until_quiet(self._engine, name, QUIET_S_MAX)
                session.end("restarted")
                try:
                    await asyncio.wait_for(session.gone.wait(), RESTART_S_MAX)
                except TimeoutError:
                    message = f"{name} does not end: its holder is silent"
                    return Refused(reason="invalid", message=message)
            return await self._spawn(self._again(spawned, "human", 0, commander))

    async def start_again(self, start: Start, now: int) -> None:
        """Carry out a restart that the world owes, once it is due and if it is still owed."""
        await asyncio.sleep(max(0, start.due_at - now) / 1_000_000)
        while not await self._started_again(start):  # noqa: ASYNC110 - the machine tells nobody
            await asyncio.sleep(SHORT_S)

    async def _started_again(self, start: Start) -> bool:
        """Whether nothing is left to be tried: only a shortage passes by itself."""
        async with self._turn(start.agent):
            if not await self._engine.ask(lambda world, at: _still_owed(world, start)):
                return True
            order = self._again(start.spawned, "restart", start.restart_count)
            spawned = await self._spawn(order)
            _tell_failure(order, spawned)
            return not isinstance(spawned, Refused) or spawned.reason != "no_resources"

    async def respawn(self) -> None:
        """Start again every agent that ended with its broker or machine."""
        for spawned in await self._engine.ask(_ended_with_broker):
            order = self._again(spawned, "respawn", spawned.restart_count)
            _tell_failure(order, await self.spawn(order))

    def _turn(self, name: str) -> asyncio.Lock:
        return self._busy.setdefault(match_key(name), asyncio.Lock())

    def _again(self, spawned: AgentSpawned, source: str, count: int, commander: str = "") -> Order:
        """The recorded command. Values of its environment are in memory if anywhere."""
        values = self._values.get(key_of(spawned.name))
        if values is None:
            values = {n: os.environ[n] for n in spawned.env_names if n in os.environ}
        return again(spawned, values, source, count, commander)

    async def _spawn(self, order: Order) -> Spawned | Refused:
        program = order.program
        cwd = program.cwd or os.getcwd()
        wrong = wrong_name(program.name) or _wrong_directory(cwd)
        if wrong is not None:
            return Refused(reason="invalid", message=wrong)
        known = await self._engine.ask(lambda world, at: _place(world, program.name))
        if isinstance(known, Refused):
            return known
        name, generation = known
        path = self._directory / "holders" / socket_name(name, generation)
        frame = self._launch(order, name, generation, cwd, path)
        with self._tokens.coming(frame.env[TOKEN_VARIABLE]):
            return await self._start(order, frame, path)

    async def _start(self, order: Order, frame: frames.Launch, path: Path) -> Spawned | Refused:
        try:
            log_path = self._directory / "logs" / f"{path.stem}.log"
            launched = await launch(frame, log_path, self._home)
        except NoHolder as error:
            return _no_holder(str(error))
        except NoResources as short:
            return _no_resources(order.program.name, str(short))
        except LaunchFailed as error:
            return Refused(reason="invalid", message=str(error))
        return await self._name(order, frame, path, launched)

    async def _name(
        self, order: Order, frame: frames.Launch, path: Path, launched: Launched
    ) -> Spawned | Refused:
        """The program runs; make its name durable, or end it."""
        try:
            socket = self._holders.sockets.called(path.name)
            link, welcome = await self._holders.meet(socket)
            verdict = await self._engine.carry(recorded(order, frame, path, welcome.pid))
        except (OSError, LinkLost, LinkRefused) as error:
            await launched.abandon()
            if what := shortage(error):
                return _no_resources(order.program.name, what)
            return _no_holder(f"the program of {order.program.name} ended at once")
        except BaseException:
            await asyncio.shield(launched.abandon())
            raise
        if isinstance(verdict, Refused):
            link.close()
            await launched.abandon()
            return verdict
        self._values[key_of(order.program.name)] = order.env
        first = (link, welcome)
        self._holders.keep(frame.name, frame.generation, socket, first, launched).named()
        return Spawned(frame.name, frame.generation, welcome.pid)

    def _launch(
        self, order: Order, name: str, generation: int, cwd: str, path: Path
    ) -> frames.Launch:
        program = order.program
        token = order.token or f"agt_{secrets.token_hex(TOKEN_BYTES)}"
        place = {"ACKBOOK_DIR": str(self._directory)}
        own = {**place, NAME_VARIABLE: name, TOKEN_VARIABLE: token}
        terminal = {"TERM": "xterm-256color"}
        return frames.Launch(
            name=AgentName(name),
            generation=generation,
            command=program.command,
            args=program.args,
            cwd=cwd,
            env=self._environment | terminal | order.env | own,
            socket=str(path),
            spool=str(self._directory / "spool"),
            screens=str(self._directory / "screens" / f"{path.stem}.jsonl"),
            rows=program.rows,
            cols=program.cols,
            profile=program.profile,
            idle_threshold_s=order.idle_threshold_s,
            umask=self._umask,
            home=str(self._directory),
            listing=self._holders.sockets.listing,
        )


def _no_holder(why: str) -> Refused:
    """Where another version is on disk, that is what stood in the way, and no program's fault."""
    explanation = package_version.explained(why)
    if explanation == why:
        return Refused(reason="invalid", message=why)
    log.error("%s", explanation)
    return Refused(reason="version_changed", message=explanation)


def _no_resources(name: str, what: str) -> Refused:
    return Refused(reason="no_resources", message=f"{name} was not started: {what}")


def _tell_failure(order: Order, spawned: Spawned | Refused) -> None:
    """Nobody waits for this answer but the operator."""
    if isinstance(spawned, Refused):
        log.error("%s was not started again: %s", order.program.name, spawned.message)


def _wrong_directory(cwd: str) -> str | None:
    return None if os.path.isdir(cwd) else f"the directory {cwd} does not exist"


def _place(world: World, name: str) -> tuple[str, int] | Refused:
    agent = agent_called(world, name)
    if agent is not None and agent.alive:
        return Refused(
            reason="agent_exists",
            message=f'Agent "{agent.name}" already exists; release it first, or take another name',
        )
    known = spelled(world, name)
    return known, world.generations.get(key_of(known), 0) + 1


def _last(world: World, name: str) -> AgentSpawned | None:
    agent = agent_called(world, name)
    return None if agent is None else agent.spawned


def _still_owed(world: World, start: Start) -> bool:
    agent = world.generation(start.agent, start.generation - 1)
    return agent is not None and agent.state == "restarting"


def _ended_with_broker(world: World, at: int) -> list[AgentSpawned]:
    return [
        agent.spawned
        for agent in world.agents.values()
        if agent.exited is not None
        and agent.exited.reason in ("ended_with_broker", "broker_stopped")
    ]
