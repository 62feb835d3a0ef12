"""Routes: every address of the API in one table.

A handler is named here and lives in `broker.runtime.handlers` or `broker.runtime.streams`; a test
holds the two together.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Method = Literal["GET", "POST", "PUT", "DELETE", "WS"]


class Route(msgspec.Struct, frozen=True):
    """One address. `WS` is a WebSocket upgrade."""

    method: Method
    path: str
    handler: str


OPEN_PATHS = frozenset({"/health"})
"""What is answered without a key, and while the broker starts."""

ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", "health"),
    # the session
    Route("GET", "/api/session", "session"),
    Route("POST", "/api/session/renew", "renew_session"),
    Route("GET", "/api/config", "config"),
    Route("GET", "/api/status", "status"),
    Route("POST", "/api/shutdown", "shutdown"),
    # agents
    Route("POST", "/api/spawn", "spawn"),
    Route("GET", "/api/spawned", "list_spawned"),
    Route("GET", "/api/spawned/{name}", "show_spawned"),
    Route("DELETE", "/api/spawned/{name}", "release"),
    Route("POST", "/api/spawned/{name}/restart", "restart"),
    Route("GET", "/api/spawned/{name}/delivery-mode", "show_mode"),
    Route("PUT", "/api/spawned/{name}/delivery-mode", "set_mode"),
    Route("GET", "/api/spawned/{name}/pending", "pending_of"),
    Route("POST", "/api/spawned/{name}/flush", "flush"),
    Route("POST", "/api/spawned/{name}/subscribe", "subscribe"),
    Route("POST", "/api/spawned/{name}/unsubscribe", "unsubscribe"),
    # terminals
    Route("GET", "/api/spawned/{name}/snapshot", "snapshot"),
    Route("POST", "/api/input/{name}", "write_input"),
    Route("POST", "/api/resize/{name}", "resize"),
    Route("WS", "/api/spawned/{name}/attach", "attach"),
    # messages
    Route("POST", "/api/send", "send"),
    Route("GET", "/api/pending", "pending"),
    Route("POST", "/api/cancel/{id}", "cancel"),
    Route("GET", "/api/dead-letters", "dead_letters"),
    Route("POST", "/api/dead-letters/redeliver", "redeliver"),
    # what happened
    Route("GET", "/api/events", "stream_events"),
    Route("GET", "/api/events/replay", "replay_events"),
    Route("WS", "/ws", "watch_events"),
    Route("GET", "/api/why/{id}", "why"),
    Route("GET", "/api/journal", "journal"),
)
