"""A small HTTP/1.1 client over one kept connection, since it shares the machine with the broker."""

from __future__ import annotations

import asyncio
from types import TracebackType

from .broker import Broker


class Line:
    """One connection to a broker; one request at a time. Use it as an async context."""

    def __init__(self, broker: Broker) -> None:
        self._connection = broker.connection
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Line:
        self._streams = await asyncio.open_connection("127.0.0.1", self._connection.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        assert self._streams
        self._streams[1].close()
        await self._streams[1].wait_closed()

    async def post(self, path: str, body: bytes) -> bytes:
        """The body of the answer, which has to be a success."""
        assert self._streams
        reader, writer = self._streams
        writer.write(
            b"POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
            b"X-API-Key: %s\r\nContent-Length: %d\r\n\r\n%s"
            % (
                path.encode(),
                self._connection.port,
                self._connection.api_key.encode(),
                len(body),
                body,
            )
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        answer = await reader.readexactly(length)
        assert head.startswith(b"HTTP/1.1 200"), head + answer
        return answer
