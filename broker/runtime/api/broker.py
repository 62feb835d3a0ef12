"""Session: whether the broker is there, which one it is, and how it ends."""

from __future__ import annotations

from starlette.requests import Request

from ackbook.broker.runtime.api.service import Service
from ackbook.broker.wire import views
from ackbook.broker.wire.requests import Fields
from ackbook.projections.analysis.rows import Row


async def health(service: Service, request: Request) -> Row:
    """How the broker stands; open to everybody."""
    reasons = await service.health.reasons()
    return await service.engine.ask(
        lambda world, at: views.health(world, at, service.version, service.uptime_ms(), reasons)
    )


async def session(service: Service, request: Request) -> Row:
    """Which broker this is."""
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
    """A lease is not needed: this broker stays until it is told to end."""
    return {"renewed": True, "expires_in_secs": None, "persist": True}


async def config(service: Service, request: Request) -> Row:
    """Workspaces are not offered; clients ask all the same."""
    return {"workspaceKey": None, "defaultWorkspaceId": None, "memberships": []}


async def status(service: Service, request: Request) -> Row:
    """Agents and queues at one moment."""
    return await service.engine.ask(views.status)


async def shutdown(service: Service, request: Request) -> Row:
    """Begin a graceful end, and say so before it happens."""
    keep = Fields(await request.body()).flag("keep_agents", "keepAgents")
    service.shutdown(keep)
    return {"status": "shutting_down"}
