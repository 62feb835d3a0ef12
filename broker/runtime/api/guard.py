"""The guard: what every request passes before anything looks at its path.

In this order: the address that the client believes it talks to (against DNS rebinding), the key (in
constant time), whether the broker is ready, whether the path can be read in one way only, the size
of the body. So an unknown path without a key is a 401 and says nothing about what exists.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ackbook.broker.runtime.api.routes import OPEN_PATHS
from ackbook.broker.wire.problems import UNAUTHORIZED, Problem
from ackbook.projections.facts import Policy

BODY_BYTES_MAX = 2 * 1024 * 1024
"""Of a request. Four times the largest message body, since JSON escapes."""

DRAINED_BYTES_MAX = 64 * 1024 * 1024
"""Of a body that is too large: read and thrown away, so that its sender gets to the answer."""


class Guard:
    """The outermost application. `closed` says why nothing but `/health` is served, where that is
    so: the broker is starting, or shutting down."""

    def __init__(self, app: ASGIApp, key: str | None, hosts: Iterable[str]) -> None:
        """`key` is None where only the owner of the directory can be heard, on its socket."""
        self._app = app
        self._key = None if key is None else key.encode()
        self._hosts = frozenset(host.lower() for host in hosts) | {"localhost"}
        self.closed = "starting"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        is_open = scope["path"] in OPEN_PATHS
        if not self._trusts(headers):
            problem = Problem("forbidden", "this address is not served here")
            await _answer(scope, receive, send, problem.status, problem.body())
        elif not is_open and not self._has_key(headers):
            await _answer(scope, receive, send, 401, UNAUTHORIZED)
        elif self.closed:
            await self._answer_closed(scope, receive, send, is_open=is_open)
        elif b"%2f" in scope.get("raw_path", b"").partition(b"?")[0].lower():
            problem = Problem("invalid_request", "a path has no encoded slash: no name has one")
            await _answer(scope, receive, send, problem.status, problem.body())
        else:
            await self._pass(scope, receive, send, headers)

    async def _pass(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes]
    ) -> None:
        if scope["type"] == "http":
            length = headers.get(b"content-length", b"0")
            if length.isdigit() and int(length) > BODY_BYTES_MAX:
                await _drain(receive, 0)
                problem = _too_large()
                await _answer(scope, receive, send, problem.status, problem.body())
                return
            receive = _Bounded(receive)
        await self._app(scope, receive, send)

    def _trusts(self, headers: dict[bytes, bytes]) -> bool:
        """A page of another site can reach this port, but not make its browser lie about that."""
        if not self._is_here(f"//{headers.get(b'host', b'').decode('latin-1')}"):
            return False
        origin = headers.get(b"origin")
        return origin is None or self._is_here(origin.decode("latin-1"))

    def _is_here(self, url: str) -> bool:
        """A name could be made to point here by anybody; an address of the loopback could not."""
        try:
            host = (urlsplit(url).hostname or "").lower()
        except ValueError:
            return False
        if host in self._hosts:
            return True
        with suppress(ValueError):
            return ipaddress.ip_address(host).is_loopback
        return False

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        if self._key is None:
            return True
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        given = headers.get(b"x-api-key") or (token if scheme.lower() == b"bearer" else b"")
        return hmac.compare_digest(given.strip(), self._key)

    async def _answer_closed(
        self, scope: Scope, receive: Receive, send: Send, *, is_open: bool
    ) -> None:
        if is_open:
            await _answer(scope, receive, send, 200, {"status": self.closed, "service": "ackbook"})
        else:
            await _answer(scope, receive, send, 503, f"the broker is {self.closed}")


class _Bounded:
    """A `receive` that counts the bytes of a body that did not say how long it is."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes > BODY_BYTES_MAX:
            if message.get("more_body"):
                await _drain(self._receive, self._bytes)
            raise _too_large()
        return message


async def _drain(receive: Receive, read: int) -> None:
    while read < DRAINED_BYTES_MAX:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return
        read += len(message.get("body", b""))


def _too_large() -> Problem:
    text_max = Policy().body_bytes_max
    return Problem(
        "too_large",
        f"a request has at most {BODY_BYTES_MAX} bytes, and the text of a message {text_max}",
    )


async def _answer(
    scope: Scope, receive: Receive, send: Send, status: int, content: dict[str, object] | str
) -> None:
    """Answer without upgrading, be it a request or an attempt to open a WebSocket."""
    is_text = isinstance(content, str)
    body = content.encode() if isinstance(content, str) else orjson.dumps(content)
    media = b"text/plain; charset=utf-8" if is_text else b"application/json"
    prefix = "websocket." if scope["type"] == "websocket" else ""
    if prefix:
        await receive()
    headers = [(b"content-type", media), (b"content-length", str(len(body)).encode())]
    await send({"type": f"{prefix}http.response.start", "status": status, "headers": headers})
    await send({"type": f"{prefix}http.response.body", "body": body})
