"""Handlers: one function a route. Each turns a request into a command or a question, and the
answer into JSON; rules are in the core, shapes in `wire`, and what streams is in `streams`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from starlette.requests import Request

from broker.core.commands import (
    Cancel,
    Cancelled,
    Channels,
    Flush,
    Flushed,
    ModeAnswer,
    Redeliver,
    Redelivery,
    Refused,
    Release,
    Send,
    Sent,
    SetMode,
    Subscribe,
    Unsubscribe,
)
from broker.runtime import history
from broker.runtime.link import LinkBusy, LinkLost
from broker.runtime.service import Service
from broker.runtime.spawning import Order, Spawned, command_line
from broker.wire import frames, requests, views
from broker.wire.problems import Problem, refusal
from broker.wire.requests import Fields
from projections import reports
from projections.facts import AgentName, DeliveryId
from projections.reports import Row
from projections.world import World, key_of

T = TypeVar("T")

Handler = Callable[[Service, Request], Awaitable[Row]]

TERMINAL_S_MAX = 10.0
"""How long a terminal may take to show itself or to take keystrokes."""

EVENTS_MAX = 10_000
"""Events in one answer; whoever wants more asks again from the last."""


# --- the session


async def health(service: Service, request: Request) -> Row:
    return await service.engine.ask(
        lambda world, at: views.health(world, at, service.version, service.uptime_ms())
    )


async def session(service: Service, request: Request) -> Row:
    return {
        "broker_version": service.version,
        "protocol_version": views.PROTOCOL_VERSION,
        "workspace_key": None,
        "default_workspace_id": None,
        "mode": "persist",
        "uptime_secs": service.uptime_ms() // 1_000,
        "directory": str(service.directory),
    }


async def renew_session(service: Service, request: Request) -> Row:
    return {"renewed": True, "expires_in_secs": None, "persist": True}


async def config(service: Service, request: Request) -> Row:
    return {"workspaceKey": None, "defaultWorkspaceId": None, "memberships": []}


async def status(service: Service, request: Request) -> Row:
    return await service.engine.ask(views.status)


async def shutdown(service: Service, request: Request) -> Row:
    keep = Fields(await request.body()).flag("keep_agents", "keepAgents")
    service.shutdown(keep)
    return {"status": "shutting_down"}


# --- agents


async def spawn(service: Service, request: Request) -> Row:
    wish = requests.spawn_request(await request.body())
    try:
        command, args = (wish.cli, wish.args) if wish.exact else command_line(wish.cli, wish.args)
    except ValueError as error:
        raise Problem("invalid_request", f"cli cannot be read: {error}") from error
    order = Order(
        name=wish.name,
        command=command,
        args=args,
        cwd=wish.cwd,
        env=wish.env,
        channels=wish.channels,
        cli=wish.cli,
        model=wish.model,
        session_id=wish.session_id,
        team=wish.team,
        parent=wish.parent,
        source=wish.source,
        rows=wish.rows,
        cols=wish.cols,
        idle_threshold_s=wish.idle_threshold_s,
        restart=wish.restart,
    )
    spawned = await service.spawner.spawn(order)
    if isinstance(spawned, Refused):
        raise refusal(spawned)
    warning = None
    if wish.task:
        sender = wish.parent or "human"
        verdict = await service.engine.carry(
            Send(sender=sender, target=spawned.name, body=wish.task)
        )
        warning = verdict.message if isinstance(verdict, Refused) else None
    return await _spawned(service, spawned, wish.wait_ms, warning)


async def restart(service: Service, request: Request) -> Row:
    fields = Fields(await request.body())
    wait_ms = fields.number("wait_ms", "waitMs", most=requests.WAIT_MS_MAX) or 0
    spawned = await service.spawner.restart(_name(request))
    if isinstance(spawned, Refused):
        raise refusal(spawned)
    return await _spawned(service, spawned, wait_ms, None)


async def _spawned(service: Service, spawned: Spawned, wait_ms: int, warning: str | None) -> Row:
    """The answer to a spawn, once it is ready or the time is over."""

    def row(world: World, at: int) -> Row | None:
        agent = world.generation(spawned.name, spawned.generation)
        return None if agent is None else views.spawned_row(agent, at)

    def settled(world: World, at: int) -> bool | None:
        agent = world.generation(spawned.name, spawned.generation)
        return True if agent is None or agent.was_ready or not agent.alive else None

    if wait_ms:
        key = key_of(spawned.name)
        await service.bell.until(service.engine, (key,), settled, wait_ms / 1_000)
    known = await service.engine.ask(row) or {"state": "gone"}
    return {
        **known,
        "success": True,
        "name": spawned.name,
        "pid": spawned.pid,
        "generation": str(spawned.generation),
        "warning": warning,
    }


async def list_spawned(service: Service, request: Request) -> Row:
    return {"agents": await service.engine.ask(views.spawned_rows)}


async def show_spawned(service: Service, request: Request) -> Row:
    name = _name(request)

    def row(world: World, at: int) -> Row | None:
        agent = world.agent(name)
        return None if agent is None else views.spawned_row(agent, at)

    return await service.engine.ask(row) or _unknown(name)


async def release(service: Service, request: Request) -> Row:
    name = _name(request)
    reason = Fields(await request.body()).text("reason") or ""
    verdict = await service.engine.carry(Release(name=AgentName(name), reason=reason))
    if isinstance(verdict, Refused) and verdict.reason != "agent_not_found":
        raise refusal(verdict)
    return {"success": True, "name": name, "released": not isinstance(verdict, Refused)}


async def show_mode(service: Service, request: Request) -> Row:
    name = _name(request)

    def ask(world: World, at: int) -> ModeAnswer | None:
        agent = world.agent(name)
        if agent is None:
            return None
        return ModeAnswer(mode=agent.mode, revision=agent.revision, matched=True)

    answer = await service.engine.ask(ask)
    return _unknown(name) if answer is None else views.mode(answer)


async def set_mode(service: Service, request: Request) -> Row:
    wish = requests.mode_request(await request.body())
    answer = await service.carry(
        SetMode(
            name=AgentName(_name(request)),
            mode=wish.mode,
            expected_mode=wish.expected_mode,
            expected_revision=wish.expected_revision,
            by=request.headers.get("x-relay-agent", ""),
        )
    )
    assert isinstance(answer, ModeAnswer)
    return views.mode(answer)


async def pending_of(service: Service, request: Request) -> Row:
    name = _name(request)

    def waiting(world: World, at: int) -> list[Row] | None:
        agent = world.agent(name)
        if agent is None:
            return None
        return [
            views.parked_row(d, history.body_of(service.journal, d.message)) for d in agent.queue
        ]

    rows = await service.engine.ask(waiting)
    return _unknown(name) if rows is None else {"pending": rows}


async def flush(service: Service, request: Request) -> Row:
    answer = await service.carry(Flush(name=AgentName(_name(request))))
    assert isinstance(answer, Flushed)
    return {"flushed": answer.count}


async def subscribe(service: Service, request: Request) -> Row:
    name, channels = _name(request), Fields(await request.body()).texts("channels") or ()
    answer = await service.carry(Subscribe(name=AgentName(name), channels=channels))
    assert isinstance(answer, Channels)
    return {"name": name, "channels": list(answer.channels)}


async def unsubscribe(service: Service, request: Request) -> Row:
    name, channels = _name(request), Fields(await request.body()).texts("channels") or ()
    answer = await service.carry(Unsubscribe(name=AgentName(name), channels=channels))
    assert isinstance(answer, Channels)
    return {"name": name, "channels": list(answer.channels)}


# --- terminals


async def snapshot(service: Service, request: Request) -> Row:
    form = _screen_form(request.query_params.get("format", "plain"))
    link = await service.link(_name(request))
    return views.screen(await _from_terminal(link.screen(form)))


async def write_input(service: Service, request: Request) -> Row:
    name = _name(request)
    data = Fields(await request.body()).need_text("data").encode()
    link = await service.link(name)
    done = await _from_terminal(link.write_input(data))
    if done.bytes_written < len(data):
        raise Problem("pty_write_queue_full", done.error or "the program does not read")
    return {"name": name, "bytes_written": done.bytes_written}


async def resize(service: Service, request: Request) -> Row:
    name, fields = _name(request), Fields(await request.body())
    rows = fields.number("rows", least=1, most=1_000)
    cols = fields.number("cols", least=1, most=1_000)
    if rows is None or cols is None:
        raise Problem("invalid_request", "rows and cols are needed")
    (await service.link(name)).send(frames.Resize(rows=rows, cols=cols))
    return {"name": name, "rows": rows, "cols": cols, "applied": True, "reason": None}


# --- messages


async def send(service: Service, request: Request) -> Row:
    key = request.headers.get("idempotency-key")
    wish = requests.send_request(await request.body(), key)
    answer = await service.carry(wish.command)
    assert isinstance(answer, Sent)
    if not wish.wait_ms:
        rows = [views.just_queued(each, agent) for each, agent in answer.deliveries]
        return views.sent(answer, rows, None)
    need = wish.command.need
    ids = [each for each, _ in answer.deliveries]
    known = await service.bell.until(
        service.engine, ids, lambda world, at: views.waited(world, answer, need), wish.wait_ms / 1e3
    )
    outcome, rows = known or await service.engine.ask(
        lambda world, at: views.waited_in_vain(world, answer, need)
    )
    return views.sent(answer, rows, outcome)


async def pending(service: Service, request: Request) -> Row:
    return {"pending": await service.engine.ask(reports.pending_rows)}


async def cancel(service: Service, request: Request) -> Row:
    answer = await service.carry(Cancel(id=request.path_params["id"], by="api"))
    assert isinstance(answer, Cancelled)
    kept = [{"delivery_id": each, "state": state} for each, state in answer.kept]
    return {"success": True, "cancelled": list(answer.cancelled), "kept": kept}


async def dead_letters(service: Service, request: Request) -> Row:
    rows = await service.engine.ask(reports.dead_letter_rows)
    return {"count": len(rows), "dead_letters": rows}


async def redeliver(service: Service, request: Request) -> Row:
    fields = Fields(await request.body())
    wanted = fields.text("id", "delivery_id", "deliveryId")
    if wanted is None and not fields.flag("all"):
        raise Problem("invalid_request", "id or all is needed")
    ids = () if wanted is None else (DeliveryId(wanted),)
    missing = await service.engine.ask(lambda world, at: [i for i in ids if _ended(world, i)])
    originals = [o for i in missing if (o := await history.original(service, i)) is not None]
    answer = await service.carry(Redeliver(ids=ids, originals=tuple(originals)))
    assert isinstance(answer, Redelivery)
    if wanted is not None and not answer.redelivered:
        reasons = [reason for _, _, reason in answer.skipped]
        if reasons == ["not found"]:
            raise Problem("dead_letter_not_found", f"nothing that ended has the id {wanted}")
    return {"success": True, **views.redelivered(answer)}


# --- what happened


async def replay_events(service: Service, request: Request) -> Row:
    since = _cursor(request.query_params.get("sinceSeq", "0"))
    return await history.replay(service, since, EVENTS_MAX)


async def why(service: Service, request: Request) -> Row:
    asked = request.path_params["id"]
    story = await history.why(service, asked)
    if story is None:
        raise Problem("not_found", f"no message or delivery has the id {asked}")
    return story


# --- shared


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name


def _unknown(name: str) -> Row:
    raise Problem("agent_not_found", f'Agent "{name}" not found')


def _ended(world: World, delivery_id: DeliveryId) -> bool:
    """Whether only the journal can tell what a redelivery would need."""
    return delivery_id not in world.dead_letters and delivery_id not in world.deliveries


def _cursor(text: str) -> int:
    if not text.isdecimal() or int(text) > requests.RECORDED_INTEGER_MAX:
        raise Problem("invalid_request", f"{text!r} is no cursor")
    return int(text)


def _screen_form(text: str) -> Literal["plain", "ansi"]:
    match text:
        case "plain" | "ansi":
            return text
        case _:
            raise Problem("invalid_format", f"{text!r} is neither `plain` nor `ansi`")


async def _from_terminal(answer: Awaitable[T]) -> T:
    """What a holder answers. Raises `Problem` where it does not."""
    try:
        return await asyncio.wait_for(answer, TERMINAL_S_MAX)
    except TimeoutError as error:
        raise Problem("worker_timeout", "the terminal did not answer in time") from error
    except LinkLost as error:
        raise Problem("worker_disappeared", "the holder went away") from error
    except LinkBusy as error:
        raise Problem("pty_write_queue_full", "the program does not read") from error
