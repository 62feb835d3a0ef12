"""Routes: every address of the API in one table.

A handler is named here by module and function of `ackbook.broker.runtime.api`, which joins the two
when the server is built: a name without a function does not get that far.
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
    # the two that are asked most come first: the table is searched in order
    Route("POST", "/api/send", "messages.send"),
    Route("GET", "/health", "broker.health"),
    # the broker
    Route("GET", "/api/session", "broker.session"),
    Route("POST", "/api/session/renew", "broker.renew_session"),
    Route("GET", "/api/config", "broker.config"),
    Route("GET", "/api/status", "broker.status"),
    Route("POST", "/api/shutdown", "broker.shutdown"),
    # the journal's own upkeep
    Route("POST", "/api/compact", "broker.compact"),
    Route("GET", "/api/compact", "broker.show_compaction"),
    # agents
    Route("POST", "/api/spawn", "agents.spawn"),
    Route("GET", "/api/spawned", "agents.list_spawned"),
    Route("GET", "/api/spawned/{name}", "agents.show_spawned"),
    Route("DELETE", "/api/spawned/{name}", "agents.release"),
    Route("POST", "/api/spawned/{name}/restart", "agents.restart"),
    Route("GET", "/api/spawned/{name}/delivery-mode", "agents.show_mode"),
    Route("PUT", "/api/spawned/{name}/delivery-mode", "agents.set_mode"),
    Route("GET", "/api/spawned/{name}/pending", "agents.pending_of"),
    Route("POST", "/api/spawned/{name}/flush", "agents.flush"),
    Route("POST", "/api/spawned/{name}/subscribe", "agents.subscribe"),
    Route("POST", "/api/spawned/{name}/unsubscribe", "agents.unsubscribe"),
    # terminals
    Route("GET", "/api/spawned/{name}/snapshot", "terminals.snapshot"),
    Route("POST", "/api/input/{name}", "terminals.write_input"),
    Route("POST", "/api/resize/{name}", "terminals.resize"),
    Route("WS", "/api/spawned/{name}/attach", "streams.attach"),
    # messages
    Route("GET", "/api/pending", "messages.pending"),
    Route("POST", "/api/cancel/{id}", "messages.cancel"),
    Route("GET", "/api/dead-letters", "messages.dead_letters"),
    Route("POST", "/api/dead-letters/redeliver", "messages.redeliver"),
    # what happened
    Route("GET", "/api/events", "streams.stream_events"),
    Route("GET", "/api/events/replay", "messages.replay_events"),
    Route("WS", "/ws", "streams.watch_events"),
    Route("GET", "/api/why", "messages.why_asked"),
    Route("GET", "/api/why/{id}", "messages.why"),
    Route("GET", "/api/journal", "streams.journal"),
)
