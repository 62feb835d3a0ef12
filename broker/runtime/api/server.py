"""The server: the table of routes as an application, behind the guard, on a socket of ours.

It makes a route of each kind in the table, turns refusals into answers in one place, and runs
uvicorn without its ways to log, to handle signals or to open sockets. It knows no route by itself.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import assert_never

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from ackbook.broker.runtime.api import routes
from ackbook.broker.runtime.api.handler import Handler, Socket, Streamer
from ackbook.broker.runtime.api.peers import LocalConnection
from ackbook.broker.runtime.api.service import Service
from ackbook.broker.runtime.engine.inbox import OutcomeUnknown, Stopped
from ackbook.broker.runtime.system.shortage import shortage
from ackbook.broker.wire.problems import Problem

log = logging.getLogger("ackbook.server")

_encoder = msgspec.json.Encoder()

PING_S = 30.0
"""Between pings of a WebSocket, as clients of this API expect."""

FRAME_BYTES_MAX = 2 * 1024 * 1024
"""Of a WebSocket message of a client: keystrokes."""

CLOSE_S_MAX = 5
"""How long a graceful end waits for connections that are being answered."""


def application(service: Callable[[], Service]) -> ASGIApp:
    """All routes of the table. `service` is asked at each request: there is none at first."""
    return Starlette(
        routes=[_route(route, service) for route in routes.ROUTES],
        exception_handlers={HTTPException: _no_route, Exception: _broken},
    )


class ApiServer(uvicorn.Server):
    """Uvicorn on a socket that is already listening; `stop` ends it gracefully."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=LocalConnection if listener.family == socket.AF_UNIX else "httptools",
                ws="websockets-sansio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws_ping_interval=PING_S,
                ws_ping_timeout=None,
                ws_max_size=FRAME_BYTES_MAX,
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=CLOSE_S_MAX,
            )
        )
        self._listener = listener

    async def run_here(self) -> None:
        """Serve on this loop until `stop`."""
        await self._serve([self._listener])

    def stop(self) -> None:
        """Answer what was asked, close what is idle, and return from `run_here`."""
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the business of `app`."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError, `EADDRINUSE` where the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _route(route: routes.Route, service: Callable[[], Service]) -> BaseRoute:
    match route:
        case routes.JsonRoute():
            return Route(route.path, _with_json(route.handler, service), methods=[route.method])
        case routes.StreamRoute():
            return Route(route.path, _streaming(route.handler, service), methods=[route.method])
        case routes.SocketRoute():
            return WebSocketRoute(route.path, _over_socket(route.handler, service))
    assert_never(route)


def _with_json(
    handler: Handler, service: Callable[[], Service]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return _json(await handler(service(), request))

    return _refusing(answer)


def _streaming(
    streamer: Streamer, service: Callable[[], Service]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await streamer(service(), request)

    return _refusing(answer)


def _over_socket(
    handler: Socket, service: Callable[[], Service]
) -> Callable[[WebSocket], Awaitable[None]]:
    async def speak(websocket: WebSocket) -> None:
        await handler(service(), websocket)

    return speak


def _refusing(
    answer: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def refusing(request: Request) -> Response:
        try:
            return await answer(request)
        except Problem as refused:
            problem = refused
        except Stopped:
            problem = Problem("shutting_down", "the broker is shutting down")
        except OutcomeUnknown:
            said = "outcome unknown: the disk failed while this was being written"
            problem = Problem("outcome_unknown", said)
        except (OSError, RuntimeError, MemoryError) as error:
            if (what := shortage(error)) is None:
                raise
            problem = Problem("no_resources", what)
        return _json(problem.body(), problem.status)

    return refusing


def _json(content: object, status: int = 200) -> Response:
    return Response(_encoder.encode(content), status, media_type="application/json")


def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "method_not_allowed" if error.status_code == 405 else "not_found"
    message = f"{request.method} {request.url.path} is not served"
    return _json(Problem(code, message).body(), error.status_code)


def _broken(request: Request, error: Exception) -> Response:
    """A bug: said to the client as such, and to the operator with all that is known."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    problem = Problem("internal_error", f"{type(error).__name__}: see the broker's log")
    return _json(problem.body(), problem.status)
