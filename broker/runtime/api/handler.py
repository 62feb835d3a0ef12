"""Asking: what every handler needs of a request, said once.

A handler takes the service and a request and answers with a reply or a body (`broker.wire`); a
streamer answers with a response of its own, and a socket speaks until one side leaves. What cannot
be done is raised as a `Problem`, which `server` turns into the answer of that name; each handler
says which codes its own can have. What the engine raises goes through all of them unchanged and is
an answer, too: `Stopped` is `shutting_down`, `OutcomeUnknown` is `outcome_unknown`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from ackbook.broker.runtime.api.service import Service
from ackbook.broker.wire.problems import Problem
from ackbook.journal.limits import INTEGER_MAX

Handler = Callable[[Service, Request], Awaitable[msgspec.Struct | dict[str, object]]]
"""A story is a dictionary: `why` tells it as one."""

Streamer = Callable[[Service, Request], Awaitable[Response]]
Socket = Callable[[Service, WebSocket], Awaitable[None]]


def name_of(request: Request) -> str:
    """The agent that the path names, decoded."""
    name: str = request.path_params["name"]
    return name


def no_agent(name: str) -> Problem:
    """The answer where there is no such agent; clients look for these words."""
    return Problem("agent_not_found", f'Agent "{name}" not found')


def cursor_of_text(text: str) -> int:
    """A cursor as it stands in a query or a header. Raises `Problem` (`invalid_request`) for what
    is no decimal number, or a larger one than a journal ever reaches."""
    if not text.isdecimal() or int(text) > INTEGER_MAX:
        raise Problem("invalid_request", f"{text!r} is no cursor")
    return int(text)
