"""Terminals: what stands on one now, and keystrokes and sizes for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Literal, TypeVar

from starlette.requests import Request

from ackbook.broker.runtime.agents.holder_link import LinkBusy, LinkLost
from ackbook.broker.runtime.api.callers import caller_of, check_door
from ackbook.broker.runtime.api.handler import name_of
from ackbook.broker.runtime.api.service import Service
from ackbook.broker.wire import frames, views
from ackbook.broker.wire.agent_bodies import InputBody, ResizeBody, ScreenBody
from ackbook.broker.wire.problems import Problem
from ackbook.broker.wire.requests import Fields

T = TypeVar("T")

TERMINAL_S_MAX = 10.0
"""How long a terminal may take to show itself or to take keystrokes."""


async def snapshot(service: Service, request: Request) -> ScreenBody:
    """What stands on the screen.

    Raises `Problem`: `invalid_format` for another than `plain` and `ansi`; `agent_not_found`,
    `worker_disappeared` and `worker_timeout` where there is no terminal that could show it.
    """
    form = _screen_form(request.query_params.get("format", "plain"))
    link = await service.link(name_of(request))
    return views.screen(await _from_terminal(link.screen(form)))


async def write_input(service: Service, request: Request) -> InputBody:
    """Give keystrokes to the terminal; answered after they were written.

    Raises `Problem` as `snapshot` does for a terminal that is not there, `invalid_request` where
    there are none, and `pty_write_queue_full` where the program does not read: then some of them
    may have been typed.
    """
    name = name_of(request)
    await check_door(service, await caller_of(service, request), "input")
    data = Fields(await request.body()).need_text("data").encode()
    link = await service.link(name)
    done = await _from_terminal(link.write_input(data))
    if done.bytes_written < len(data):
        raise Problem("pty_write_queue_full", done.error or "the program does not read")
    return InputBody(name=name, bytes_written=done.bytes_written)


async def resize(service: Service, request: Request) -> ResizeBody:
    """Change the size of the terminal, in characters. Raises `Problem`: `invalid_request` where
    `rows` or `cols` is missing or not from 1 to 1000, `not_allowed`, what `caller_of` raises, and
    as `Service.link` does."""
    name, fields = name_of(request), Fields(await request.body())
    await check_door(service, await caller_of(service, request), "input", name)
    rows = fields.number("rows", least=1, most=1_000)
    cols = fields.number("cols", least=1, most=1_000)
    if rows is None or cols is None:
        raise Problem("invalid_request", "rows and cols are needed")
    (await service.link(name)).send(frames.Resize(rows=rows, cols=cols))
    return ResizeBody(name=name, rows=rows, cols=cols)


def _screen_form(text: str) -> Literal["plain", "ansi"]:
    match text:
        case "plain" | "ansi":
            return text
        case _:
            raise Problem("invalid_format", f"{text!r} is neither `plain` nor `ansi`")


async def _from_terminal(answer: Awaitable[T]) -> T:
    """What a holder answers. Raises `Problem` where it does not, or takes too long for it."""
    try:
        return await asyncio.wait_for(answer, TERMINAL_S_MAX)
    except TimeoutError as error:
        raise Problem("worker_timeout", "the terminal did not answer in time") from error
    except LinkLost as error:
        raise Problem("worker_disappeared", "the holder went away") from error
    except LinkBusy as error:
        raise Problem("pty_write_queue_full", "the program does not read") from error
