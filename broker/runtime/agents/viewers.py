"""Attachments: who looks at which terminal, and what they are shown of it.

A terminal's output goes to the terminals that are attached to it and, as `worker_stream`, to the
subscribers of the feed that want it. Holders are asked for output only while somebody looks. Who
reads too slowly for a flood is told that there is a gap and repaints; nothing grows meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque

import orjson

from ackbook.broker.runtime.engine.feed import Feed
from ackbook.projections.facts import AgentName
from ackbook.projections.world.fold import key_of

WAITING_BYTES_MAX = 1024 * 1024
"""Output that may wait for one attached terminal; a full repaint costs a fraction of it."""


class Viewer:
    """One attached terminal. `human`: it can type, too."""

    def __init__(self, name: str, *, human: bool) -> None:
        self.key = key_of(name)
        self.human = human
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._gap = False
        self._news = asyncio.Event()

    def push(self, offset: int, data: bytes) -> None:
        """Output up to `offset`."""
        self._news.set()
        if self._gap or self._bytes + len(data) > WAITING_BYTES_MAX:
            self._gap = True
            self._waiting.clear()
            self._bytes = 0
            return
        self._waiting.append((offset, data))
        self._bytes += len(data)

    def nudge(self) -> None:
        """Something other than output happened: look."""
        self._news.set()

    async def read(self) -> list[tuple[int, bytes]] | None:
        """What came since the last call, as (offset after it, bytes); None: a gap, repaint."""
        await self._news.wait()
        self._news.clear()
        if self._gap:
            self._gap = False
            return None
        output = list(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        return output


class Attachments:
    """All viewers. The `Audience` of the sessions."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._viewers: dict[str, set[Viewer]] = {}

    def output(self, name: AgentName, offset: int, data: bytes, text: str) -> None:
        """Show a terminal's output to everybody who looks."""
        for viewer in self._viewers.get(key_of(name), ()):
            viewer.push(offset, data)
        if text and self._feed.has_ephemeral():
            event = {
                "kind": "worker_stream",
                "name": name,
                "stream": "stdout",
                "chunk": text,
                "offset": offset,
            }
            self._feed.broadcast(orjson.dumps(event))

    def add(self, viewer: Viewer) -> None:
        """Somebody looks."""
        self._viewers.setdefault(viewer.key, set()).add(viewer)

    def remove(self, viewer: Viewer) -> None:
        """Somebody left."""
        mine = self._viewers.get(viewer.key, set())
        mine.discard(viewer)
        if not mine:
            self._viewers.pop(viewer.key, None)

    def wanted(self, name: str) -> tuple[bool, bool]:
        """Whether this terminal's output is wanted, and whether a person may answer its queries."""
        mine = self._viewers.get(key_of(name), set())
        return bool(mine) or self._feed.has_ephemeral(), any(viewer.human for viewer in mine)

    def everyone(self) -> list[Viewer]:
        """All viewers."""
        return [viewer for mine in self._viewers.values() for viewer in mine]
