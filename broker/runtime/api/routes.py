"""Routes: every address of the API in one table, each with the function that answers there.

A route is one of three kinds, by what its function makes: an answer in JSON, a response that does
not end by itself, or a conversation over a socket. A function of another kind does not pass the
type checker. This module knows no server: `server` turns each kind into a route of its own.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import msgspec

from ackbook.broker.runtime.api import agents, broker, messages, streams, terminals
from ackbook.broker.runtime.api.handler import Handler, Socket, Streamer

Method = Literal["GET", "POST", "PUT", "DELETE"]


class JsonRoute(msgspec.Struct, frozen=True):
    """One address that answers with one JSON value."""

    method: Method
    path: str
    handler: Handler


class StreamRoute(msgspec.Struct, frozen=True):
    """One address that answers with a response of its own, which may go on for long."""

    method: Method
    path: str
    handler: Streamer


class SocketRoute(msgspec.Struct, frozen=True):
    """One address of a WebSocket; as a method that is written `WS`."""

    method: ClassVar[Literal["WS"]] = "WS"
    path: str
    handler: Socket


Route: TypeAlias = JsonRoute | StreamRoute | SocketRoute

OPEN_PATHS = frozenset({"/health"})
"""What is answered without a key, and while the broker starts."""

ROUTES: tuple[Route, ...] = (
    # the two that are asked most come first: the table is searched in order
    JsonRoute("POST", "/api/send", messages.send),
    JsonRoute("GET", "/health", broker.health),
    # the broker
    JsonRoute("GET", "/api/session", broker.session),
    JsonRoute("GET", "/api/caller", broker.caller),
    JsonRoute("POST", "/api/session/renew", broker.renew_session),
    JsonRoute("GET", "/api/config", broker.config),
    JsonRoute("GET", "/api/status", broker.status),
    JsonRoute("POST", "/api/shutdown", broker.shutdown),
    # the journal's own upkeep
    JsonRoute("POST", "/api/compact", broker.compact),
    JsonRoute("GET", "/api/compact", broker.show_compaction),
    # agents
    JsonRoute("POST", "/api/spawn", agents.spawn),
    JsonRoute("GET", "/api/spawned", agents.list_spawned),
    JsonRoute("GET", "/api/spawned/{name}", agents.show_spawned),
    JsonRoute("DELETE", "/api/spawned/{name}", agents.release),
    JsonRoute("POST", "/api/spawned/{name}/restart", agents.restart),
    JsonRoute("GET", "/api/spawned/{name}/delivery-mode", agents.show_mode),
    JsonRoute("PUT", "/api/spawned/{name}/delivery-mode", agents.set_mode),
    JsonRoute("GET", "/api/spawned/{name}/pending", agents.pending_of),
    JsonRoute("POST", "/api/spawned/{name}/flush", agents.flush),
    JsonRoute("POST", "/api/spawned/{name}/subscribe", agents.subscribe),
    JsonRoute("POST", "/api/spawned/{name}/unsubscribe", agents.unsubscribe),
    # terminals
    JsonRoute("GET", "/api/spawned/{name}/snapshot", terminals.snapshot),
    JsonRoute("POST", "/api/input/{name}", terminals.write_input),
    JsonRoute("POST", "/api/resize/{name}", terminals.resize),
    SocketRoute("/api/spawned/{name}/attach", streams.attach),
    # messages
    JsonRoute("GET", "/api/pending", messages.pending),
    JsonRoute("POST", "/api/cancel/{id}", messages.cancel),
    JsonRoute("GET", "/api/dead-letters", messages.dead_letters),
    JsonRoute("POST", "/api/dead-letters/redeliver", messages.redeliver),
    # what happened
    StreamRoute("GET", "/api/events", streams.stream_events),
    JsonRoute("GET", "/api/events/replay", messages.replay_events),
    SocketRoute("/ws", streams.watch_events),
    JsonRoute("GET", "/api/why", messages.why_asked),
    JsonRoute("GET", "/api/why/{id}", messages.why),
    StreamRoute("GET", "/api/journal", streams.journal),
)
