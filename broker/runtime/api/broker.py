"""Session: whether the broker is there, which one it is, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
from starlette.requests import Request

from ackbook.broker.runtime.api.callers import caller_of, check_door
from ackbook.broker.runtime.api.service import Service
from ackbook.broker.runtime.maintenance.compaction_schedule import CompactionRequest, Run
from ackbook.broker.wire import views
from ackbook.broker.wire.bodies import (
    CompactionBody,
    ConfigBody,
    HealthBody,
    RenewalBody,
    SessionBody,
    ShutdownBody,
    StatusBody,
)
from ackbook.broker.wire.problems import Problem
from ackbook.broker.wire.replies import CallerReply
from ackbook.broker.wire.requests import Fields
from ackbook.broker.wire.retention import SPELLINGS, parse_retention


async def health(service: Service, request: Request) -> HealthBody:
    """How the broker stands; open to everybody."""
    reasons = await service.health.reasons()
    return await service.engine.ask(
        lambda world, at: views.health(world, at, service.version, service.uptime_ms(), reasons)
    )


async def session(service: Service, request: Request) -> SessionBody:
    """Which broker this is."""
    lineage = await service.engine.ask(lambda world, at: world.lineage)
    return SessionBody(
        broker_version=service.version,
        uptime_secs=service.uptime_ms() // 1_000,
        directory=str(service.directory),
        lineage=lineage or msgspec.UNSET,
    )


async def caller(service: Service, request: Request) -> CallerReply:
    """Who asks, and whether a token whose SHA-256 is `token_sha256` is an agent's here: so whoever
    has one finds out without showing it. Raises what `caller_of` raises."""
    who = await caller_of(service, request)
    asked = request.query_params.get("token_sha256", "")
    return CallerReply(
        commander=who.commander, agent=who.agent or None, knows_token=service.tokens.knows(asked)
    )


async def renew_session(service: Service, request: Request) -> RenewalBody:
    """A lease is not needed: this broker stays until it is told to end."""
    return RenewalBody()


async def config(service: Service, request: Request) -> ConfigBody:
    """Workspaces are not offered; clients ask all the same."""
    return ConfigBody()


async def status(service: Service, request: Request) -> StatusBody:
    """Agents and queues at one moment."""
    return await service.engine.ask(views.status)


async def shutdown(service: Service, request: Request) -> ShutdownBody:
    """Begin a graceful end, and say so before it happens. Raises `Problem`, with nothing begun:
    `invalid_request` for a body that cannot be read, `not_allowed` to an agent, and what
    `caller_of` raises."""
    who = await caller_of(service, request)
    await check_door(service, who, "shutdown")
    keep = Fields(await request.body()).flag("keep_agents", "keepAgents")
    service.shutdown(keep, who.commander)
    return ShutdownBody()


WATCH_S = 1.0
"""How long a question about a run waits for its end before it says how far it came."""


async def compact(service: Service, request: Request) -> CompactionBody:
    """Begin a compaction; the answer names the run to ask about. Raises `Problem`, with nothing
    begun: `invalid_request` for a body that cannot be read and for a `keep_audit` that is none of
    the `SPELLINGS`, `not_allowed` to an agent that does not only ask what would go, and what
    `caller_of` raises."""
    fields = Fields(await request.body())
    dry_run = fields.flag("dry_run", "dryRun")
    if not dry_run:
        await check_door(service, await caller_of(service, request), "compact")
    said = fields.text("keep_audit", "keepAudit") or "forever"
    keep = parse_retention(said)
    if keep is None:
        raise Problem("invalid_request", f"keep_audit must be {SPELLINGS}, not {said!r}")
    return _show(service.compactor.begin(CompactionRequest(keep, dry_run)))


async def show_compaction(service: Service, request: Request) -> CompactionBody:
    """How far a run came, told when it is over or after `WATCH_S`. Raises `Problem` (`not_found`)
    for a number that no run has, or had: only the last few are remembered."""
    number = request.query_params.get("run", "")
    run = service.compactor.find(int(number)) if number.isdecimal() else None
    if run is None:
        raise Problem("not_found", f"there is no compaction {number!r}, or it is long over")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WATCH_S):
            await run.over.wait()
    return _show(run)


def _show(run: Run) -> CompactionBody:
    return CompactionBody(
        run=run.number,
        over=run.over.is_set(),
        done=run.done,
        total=run.total,
        failed=run.failed or None,
        report=run.report,
    )
