"""Streams: answers that do not end by themselves. The feed over SSE and WebSocket, terminals over
WebSocket, and the journal as it stands.

Each stream has one task that writes and one that listens for the other side to leave; the writer
goes at the pace of its reader, and the feed and the viewers bound what waits meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Literal

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from ackbook.broker.runtime.agents.holder_link import HolderLink, LinkBusy, LinkLost
from ackbook.broker.runtime.agents.holder_session import HolderSession
from ackbook.broker.runtime.agents.viewers import Viewer
from ackbook.broker.runtime.api import history
from ackbook.broker.runtime.api.callers import caller_of, check_door
from ackbook.broker.runtime.api.handler import cursor_of_text
from ackbook.broker.runtime.api.service import Service
from ackbook.broker.runtime.engine.feed import Subscription
from ackbook.broker.wire import frames
from ackbook.broker.wire.bodies import FeedHistory, ReplayGap
from ackbook.broker.wire.feed_cursors import FeedCursor, Histories, read_cursor
from ackbook.broker.wire.problems import Problem
from ackbook.broker.wire.requests import Fields
from ackbook.projections.events.derive import cursor_of

HEARTBEAT_S = 15.0
"""A quiet stream says so, so that neither side nor anything between takes it for dead."""

RETRY_S = 0.2
"""How soon a viewer looks again for a holder that cannot be reached."""

EMPTY_SCREEN = b"\x1b[0m\x1b[H\x1b[2J"
"""A repaint draws on an empty screen; what scrolled off it before is its owner's."""

GOING_AWAY = 1001
"""WebSocket close code of a server that ends."""


# --- server-sent events


async def stream_events(service: Service, request: Request) -> Response:
    """The feed as SSE; `id:` is the cursor, `Last-Event-ID` or `sinceSeq` where to go on.

    Raises `Problem`: `invalid_request` for what is no cursor, `other_history` for one that stands
    for something else here, since the journal was put back from a copy, and `cursor_ahead` for one
    that this journal has not reached: it belongs to another one.
    """
    histories = await service.engine.ask(lambda world, at: Histories.of(world))
    kept = request.headers.get("last-event-id")
    since = _cursor(kept, "") if kept else _asked_cursor(request.query_params, histories)
    match _wrong(service, histories, since):
        case "other_history":
            raise Problem("other_history", _OTHER_HISTORY)
        case "cursor_ahead":
            said = f"cursor {since.position} is ahead of the journal"
            raise Problem("cursor_ahead", f"{said}, at {cursor_of(service.feed.head)}")
        case None:
            pass
    follow = request.query_params.get("follow", "true") != "false"
    return StreamingResponse(
        _sse(service, since.position, histories.present, follow=follow),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _sse(service: Service, since: int, lineage: str, *, follow: bool) -> AsyncIterator[bytes]:
    subscription = service.subscribe(since, ephemeral=False)
    until = cursor_of(service.feed.head)
    position = since
    form = b"id: %d" + f".{lineage}".encode() * bool(lineage) + b"\ndata: %s\n\n"
    try:
        yield b": ackbook\n\n"
        while follow or position < until:
            try:
                messages = await asyncio.wait_for(subscription.read(), HEARTBEAT_S)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            if not messages:
                return
            yield b"".join(form % message for message in messages)
            position = subscription.position
    finally:
        service.unsubscribe(subscription)


# --- the feed over a WebSocket


async def watch_events(service: Service, socket: WebSocket) -> None:
    """The feed as clients of this API know it: events since a cursor, then live."""
    histories = await service.engine.ask(lambda world, at: Histories.of(world))
    try:
        cursor = _asked_cursor(socket.query_params, histories)
    except Problem as problem:
        await socket.send_denial_response(_denial(problem))
        return
    await socket.accept()
    if histories.present:
        await _say(socket, FeedHistory(histories.present))
    since = cursor.position
    if (reason := _wrong(service, histories, cursor)) is not None:
        current = cursor_of(service.feed.head)
        gap = ReplayGap(
            requested_since_seq=since,
            oldest_available=0,
            seq=current,
            dropped_count=0,
            reason=reason,
        )
        await _say(socket, gap)
        since = current
    subscription = service.subscribe(since, ephemeral=True)
    try:
        await _together(_write_events(socket, subscription), _listen(socket))
    finally:
        service.unsubscribe(subscription)
    await _close(socket)


async def _say(socket: WebSocket, message: msgspec.Struct) -> None:
    await socket.send_text(msgspec.json.encode(message).decode())


async def _write_events(socket: WebSocket, subscription: Subscription) -> None:
    while messages := await subscription.read():
        for _, message in messages:
            await socket.send_text(message.decode())


async def _listen(socket: WebSocket) -> None:
    """Clients say nothing here; this returns when they leave."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


# --- where a reader goes on

_OTHER_HISTORY = (
    "this journal was put back from a copy, and what came before that cursor came in another "
    "history: read from the beginning, or from a sinceSeq of this one"
)


def _asked_cursor(query: QueryParams, histories: Histories) -> FeedCursor:
    """A position that somebody names is one of this history. Raises `Problem` as `_cursor` does."""
    return _cursor(query.get("sinceSeq", "0"), histories.present)


def _cursor(text: str, otherwise: str) -> FeedCursor:
    """Raises `Problem` (`invalid_request`) for what is no cursor."""
    cursor = read_cursor(text, otherwise)
    if cursor is None:
        raise Problem("invalid_request", f"{text!r} is no cursor")
    return cursor


def _wrong(
    service: Service, histories: Histories, cursor: FeedCursor
) -> Literal["other_history", "cursor_ahead"] | None:
    """Why the feed cannot go on from there."""
    if not histories.has(cursor):
        return "other_history"
    return "cursor_ahead" if service.feed.ahead(cursor.position) else None


# --- a terminal


async def attach(service: Service, socket: WebSocket) -> None:
    """A terminal: a repaint and then its output as binary frames; keystrokes come as binary frames,
    and `{"type":"resize","rows":R,"cols":C}` as text."""
    name = socket.path_params["name"]
    human = socket.query_params.get("view", "false") != "true"
    try:
        if human:
            await check_door(service, await caller_of(service, socket), "input")
        session = await service.living(name)
    except Problem as problem:
        await socket.send_denial_response(_denial(problem))
        return
    await socket.accept()
    viewer = Viewer(session.name, human=human)
    service.attach(viewer)
    try:
        await _together(_show(socket, session, viewer), _type(socket, session, viewer))
    finally:
        service.detach(viewer)
    await _close(socket)


async def _show(socket: WebSocket, session: HolderSession, viewer: Viewer) -> None:
    """Paint, then pass on; paint again after a gap or a lost link; end with the program."""
    ended = asyncio.create_task(session.gone.wait())
    ended.add_done_callback(lambda _: viewer.nudge())
    try:
        painted = await _paint(socket, session)
        while not session.gone.is_set():
            output = await viewer.read()
            if output is None:
                painted = await _paint(socket, session)
                continue
            for offset, data in output:
                if offset > painted:
                    await socket.send_bytes(data)
    finally:
        ended.cancel()


async def _paint(socket: WebSocket, session: HolderSession) -> int:
    """Send the whole screen; the offset of the output that it shows."""
    while not session.gone.is_set():
        link = session.link
        if link is not None:
            with contextlib.suppress(LinkLost):
                shown = await link.screen("ansi")
                await socket.send_bytes(EMPTY_SCREEN + shown.text.encode())
                return shown.offset
        await asyncio.sleep(RETRY_S)
    return 0


async def _type(socket: WebSocket, session: HolderSession, viewer: Viewer) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        link = session.link
        if link is None or not viewer.human:
            continue
        if (keys := message.get("bytes")) is not None:
            with contextlib.suppress(LinkLost, LinkBusy):
                await link.write_input(keys)
        elif (text := message.get("text")) is not None:
            _control(link, text.encode())


def _control(link: HolderLink, text: bytes) -> None:
    with contextlib.suppress(Problem):
        fields = Fields(text)
        rows = fields.number("rows", least=1, most=1_000)
        cols = fields.number("cols", least=1, most=1_000)
        if fields.text("type") == "resize" and rows is not None and cols is not None:
            link.send(frames.Resize(rows=rows, cols=cols))


# --- the journal


async def journal(service: Service, request: Request) -> Response:
    """The records from a seq through what is durable now, one a line, byte for byte. Raises
    `Problem` (`invalid_request`) where `from` is no position."""
    first = cursor_of_text(request.query_params.get("from", "1"))
    through = service.feed.head
    return StreamingResponse(
        history.raw_blocks(service.journal, first, through), media_type="application/x-ndjson"
    )


# --- shared


async def _together(*parts: Coroutine[object, object, None]) -> None:
    """Run both until one of them ends; a side that leaves is no error."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _close(socket: WebSocket) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await socket.close(GOING_AWAY)


def _denial(problem: Problem) -> Response:
    return Response(
        msgspec.json.encode(problem.body()), problem.status, media_type="application/json"
    )
