"""Agents: programs that are started, shown, let go, and what may be typed into them when."""

from __future__ import annotations

import msgspec
from starlette.requests import Request

from ackbook.broker.core.commands import (
    Channels,
    Flush,
    Flushed,
    ModeAnswer,
    Refused,
    Release,
    Send,
    SetMode,
    Subscribe,
    Unsubscribe,
)
from ackbook.broker.core.spelling import agent_called
from ackbook.broker.history.journal_entries import body_at
from ackbook.broker.runtime.agents.launch_spec import Order, command_line
from ackbook.broker.runtime.agents.spawning import Spawned
from ackbook.broker.runtime.api.callers import caller_of, check_claim, check_door
from ackbook.broker.runtime.api.handler import name_of, no_agent
from ackbook.broker.runtime.api.service import Service
from ackbook.broker.wire import requests, views
from ackbook.broker.wire.agent_bodies import (
    ChannelsBody,
    ModeBody,
    ParkedBody,
    ParkedRow,
    ReleaseBody,
    SpawnedRow,
    StartedBody,
    VanishedBody,
)
from ackbook.broker.wire.problems import Problem, refusal
from ackbook.broker.wire.replies import AgentsReply, FlushReply
from ackbook.broker.wire.requests import Fields
from ackbook.projections.facts import AgentName, Program
from ackbook.projections.world.deliveries import Message
from ackbook.projections.world.fold import World, key_of


async def spawn(service: Service, request: Request) -> StartedBody | VanishedBody:
    """Start a program under a name; with `wait_ms`, answer once it is ready.

    Raises `Problem`: `invalid_request` for a body or a command line that cannot be read, and where
    the program cannot be started; `agent_exists` where one of this name runs; `version_changed`
    where only a restart of the broker helps; `no_resources` where the machine has nothing to run it
    with; `not_allowed` for another's name as `parent`, and what `caller_of` raises. A task that is
    refused is a warning in the answer.
    """
    asked, who = requests.spawn_request(await request.body()), await caller_of(service, request)
    if asked.parent is not None:
        check_claim(who, "parent", asked.parent)
    try:
        command, args = (
            (asked.cli, asked.args) if asked.exact else command_line(asked.cli, asked.args)
        )
    except ValueError as error:
        raise Problem("invalid_request", f"cli cannot be read: {error}") from error
    program = Program(
        name=AgentName(asked.name),
        generation=0,
        pid=0,
        command=command,
        args=args,
        cwd=asked.cwd or "",
        channels=asked.channels,
        cli=asked.cli,
        model=asked.model,
        session_id=asked.session_id,
        team=asked.team,
        parent=asked.parent or who.agent or None,
        source=asked.source,
        profile=asked.profile,
        rows=asked.rows,
        cols=asked.cols,
        restart=asked.restart,
        commander=who.commander,
    )
    order = Order(
        program=program,
        env=asked.env,
        idle_threshold_s=asked.idle_threshold_s,
        token=asked.token or "",
    )
    spawned = await service.spawner.spawn(order)
    if isinstance(spawned, Refused):
        raise refusal(spawned)
    warning = None
    if asked.task:
        task = Send(
            sender=program.parent or "human",
            target=spawned.name,
            body=asked.task,
            commander=who.commander,
        )
        verdict = await service.engine.carry(task)
        warning = verdict.message if isinstance(verdict, Refused) else None
    return await _spawned(service, spawned, asked.wait_ms, warning)


async def restart(service: Service, request: Request) -> StartedBody | VanishedBody:
    """End the program and start it with its recorded command.

    Raises `Problem`: `agent_not_found`; `version_changed`, and then the program runs on;
    `invalid_request` for a body that cannot be read, a program that does not end, or one that
    cannot be started again; `not_allowed`, and what `caller_of` raises.
    """
    fields, name = Fields(await request.body()), name_of(request)
    wait_ms = fields.number("wait_ms", "waitMs", most=requests.WAIT_MS_MAX) or 0
    who = await caller_of(service, request)
    await check_door(service, who, "release", name)
    spawned = await service.spawner.restart(name, who.commander)
    if isinstance(spawned, Refused):
        raise refusal(spawned)
    return await _spawned(service, spawned, wait_ms, None)


async def _spawned(
    service: Service, spawned: Spawned, wait_ms: int, warning: str | None
) -> StartedBody | VanishedBody:
    """The answer to a spawn, once it is ready or the time is over."""

    def row(world: World, at: int) -> SpawnedRow | None:
        agent = world.generation(spawned.name, spawned.generation)
        return None if agent is None else views.spawned_row(agent, at)

    def settled(world: World, at: int) -> bool | None:
        agent = world.generation(spawned.name, spawned.generation)
        return True if agent is None or agent.was_ready or not agent.alive else None

    if wait_ms:
        key = key_of(spawned.name)
        await service.waiter.until(service.engine, (key,), settled, wait_ms / 1_000)
    name, pid, generation = spawned.name, spawned.pid, str(spawned.generation)
    known = await service.engine.ask(row)
    if known is None:
        return VanishedBody(name=name, pid=pid, generation=generation, warning=warning)
    begun = {"name": name, "pid": pid, "generation": generation, "warning": warning}
    return StartedBody(**(msgspec.structs.asdict(known) | begun))


async def list_spawned(service: Service, request: Request) -> AgentsReply:
    """Every agent."""
    rows = await service.engine.ask(views.spawned_rows)
    return AgentsReply(agents=[_where_it_is(service, row) for row in rows])


async def show_spawned(service: Service, request: Request) -> SpawnedRow:
    """One agent. Raises `Problem` (`agent_not_found`)."""
    name = name_of(request)

    def row(world: World, at: int) -> SpawnedRow | None:
        agent = agent_called(world, name)
        return None if agent is None else views.spawned_row(agent, at)

    row_of = await service.engine.ask(row)
    if row_of is None:
        raise no_agent(name)
    return _where_it_is(service, row_of)


def _where_it_is(service: Service, row: SpawnedRow) -> SpawnedRow:
    """No record says that a holder obeys the broker of another directory: it may end any moment."""
    session = service.holders.session(row.name, row.generation)
    obeys = session is not None and session.obeys
    return msgspec.structs.replace(row, state="elsewhere") if obeys else row


async def release(service: Service, request: Request) -> ReleaseBody:
    """Let an agent go. One that is not there is gone already, which is no error. Raises `Problem`
    for a body that cannot be read, where the rules refuse it for another reason, `not_allowed`, and
    what `caller_of` raises."""
    name, who = name_of(request), await caller_of(service, request)
    await check_door(service, who, "release", name)
    reason = Fields(await request.body()).text("reason") or ""
    verdict = await service.engine.carry(
        Release(name=AgentName(name), reason=reason, commander=who.commander)
    )
    if isinstance(verdict, Refused) and verdict.reason != "agent_not_found":
        raise refusal(verdict)
    return ReleaseBody(name=name, released=not isinstance(verdict, Refused))


async def show_mode(service: Service, request: Request) -> ModeBody:
    """Whether messages are typed as they come. Raises `Problem` (`agent_not_found`)."""
    name = name_of(request)

    def ask(world: World, at: int) -> ModeAnswer | None:
        agent = agent_called(world, name)
        if agent is None:
            return None
        return ModeAnswer(mode=agent.mode, revision=agent.revision, matched=True)

    answer = await service.engine.ask(ask)
    if answer is None:
        raise no_agent(name)
    return views.mode(answer)


async def set_mode(service: Service, request: Request) -> ModeBody:
    """Change that. An expectation that is not met is an answer, not an error. Raises `Problem`:
    `agent_not_found`, `not_allowed`, for a body as `mode_request` does, and what `caller_of`
    raises."""
    asked, who = requests.mode_request(await request.body()), await caller_of(service, request)
    await check_door(service, who, "hold", name_of(request))
    said = request.headers.get("x-relay-agent", who.agent)
    if said:
        check_claim(who, "X-Relay-Agent", said)
    answer = await service.carry(
        SetMode(
            name=AgentName(name_of(request)),
            mode=asked.mode,
            expected_mode=asked.expected_mode,
            expected_revision=asked.expected_revision,
            by=said,
        ),
        who,
    )
    assert isinstance(answer, ModeAnswer)
    return views.mode(answer)


async def pending_of(service: Service, request: Request) -> ParkedBody:
    """What waits for one agent, with the bodies. Raises `Problem` (`agent_not_found`)."""
    name = name_of(request)

    def waiting(world: World, at: int) -> list[ParkedRow] | None:
        agent = agent_called(world, name)
        if agent is None:
            return None
        return [views.parked_row(d, _body(service, d.message)) for d in agent.queue]

    rows = await service.engine.ask(waiting)
    if rows is None:
        raise no_agent(name)
    return ParkedBody(pending=rows)


def _body(service: Service, message: Message) -> str:
    return body_at(service.journal, message.seq) if message.body is None else message.body


async def flush(service: Service, request: Request) -> FlushReply:
    """Type what waits now. Raises `Problem`: `agent_not_found`, `not_allowed`, and what `caller_of`
    raises."""
    who, name = await caller_of(service, request), name_of(request)
    await check_door(service, who, "flush", name)
    answer = await service.carry(Flush(name=AgentName(name)), who)
    assert isinstance(answer, Flushed)
    return FlushReply(flushed=answer.count)


async def subscribe(service: Service, request: Request) -> ChannelsBody:
    """Add channels. Raises `Problem`: `agent_not_found`, `invalid_request` for a body that cannot
    be read or a name that no channel can have, `not_allowed`, and what `caller_of` raises."""
    name, channels = name_of(request), requests.channels_request(await request.body())
    who = await caller_of(service, request)
    await check_door(service, who, "subscribe", name)
    answer = await service.carry(Subscribe(name=AgentName(name), channels=channels), who)
    assert isinstance(answer, Channels)
    return ChannelsBody(name=name, channels=list(answer.channels))


async def unsubscribe(service: Service, request: Request) -> ChannelsBody:
    """Take channels away. Raises `Problem`: `agent_not_found`, `invalid_request` for a body that
    cannot be read, `not_allowed`, and what `caller_of` raises."""
    name, channels = name_of(request), Fields(await request.body()).texts("channels") or ()
    who = await caller_of(service, request)
    await check_door(service, who, "subscribe", name)
    answer = await service.carry(Unsubscribe(name=AgentName(name), channels=channels), who)
    assert isinstance(answer, Channels)
    return ChannelsBody(name=name, channels=list(answer.channels))
