"""A link: the broker's end of the socket to one holder, frames in and out.

`connect` says `Hello` and answers with the `Welcome`; from then on every frame of the holder goes
to `on_frame` in the order in which it came, except the answers to requests (a screen, keystrokes),
which go to whoever asked. It knows nothing of the world: what frames mean is in `holders`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import msgspec

from ackbook.broker.runtime.system import unix_sockets
from ackbook.broker.wire import frames
from ackbook.broker.wire.frames import (
    BrokerFrame,
    Hello,
    HolderFrame,
    InputDone,
    ScreenShown,
    Welcome,
)

WELCOME_S_MAX = 10.0
"""A holder answers `Hello` from memory; one that does not within this is treated as silent."""

UNSENT_BYTES_MAX = 4 * 1024 * 1024
"""Frames that a holder has not taken; keystrokes beyond this are refused to whoever sends them."""


class LinkLost(Exception):
    """The connection to the holder ended; a holder that lives can be reached again."""


class LinkRefused(Exception):
    """The holder does not obey this broker, and said so in `refusal`. Its program lives."""

    def __init__(self, refusal: frames.EpochRefusal) -> None:
        super().__init__(refusal.detail or refusal.reason)
        self.refusal = refusal


class LinkBusy(Exception):
    """The holder does not take what it is sent; nothing of this was, so try again later."""


class HolderLink:
    """One connection. After `connect`, `pump` has to run until it returns: the link is lost."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._requests: dict[int, asyncio.Future[InputDone | ScreenShown]] = {}
        self._last_request = 0

    def send(self, frame: BrokerFrame) -> None:
        """Hand a frame to the holder; on a lost link it goes nowhere, and `pump` has returned."""
        if not self._writer.is_closing():
            self._writer.write(frames.encode(frame))

    async def write_input(self, data: bytes) -> InputDone:
        """Give keystrokes to the terminal; answered after they were written.

        Raises `LinkBusy`, with nothing sent, where the holder does not take what it was sent
        before, and `LinkLost` where the connection ends: then they were typed or not, and only the
        screen can tell.
        """
        transport = self._writer.transport
        if transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            raise LinkBusy
        request, answer = self._request()
        self.send(frames.Input(request=request, data=data))
        done = await answer
        assert isinstance(done, InputDone)
        return done

    async def screen(self, form: Literal["plain", "ansi"]) -> ScreenShown:
        """What stands on the terminal's screen now. Raises `LinkLost` where the connection ends
        before the answer: ask the next link."""
        request, answer = self._request()
        self.send(frames.ScreenAsked(request=request, format=form))
        shown = await answer
        assert isinstance(shown, ScreenShown)
        return shown

    async def pump(self, on_frame: Callable[[HolderFrame], None]) -> None:
        """Hand over what the holder says until the connection ends."""
        try:
            while line := await self._reader.readline():
                frame = frames.decode_holder(line)
                if isinstance(frame, InputDone | ScreenShown):
                    self._answer(frame)
                else:
                    on_frame(frame)
        except (OSError, ValueError, msgspec.DecodeError):
            # A cut connection, a frame beyond its maximum, or one that is none: the link is of
            # no more use, and the next one starts from what the holder knows.
            return
        finally:
            self.close()

    def close(self) -> None:
        """End the connection; whoever still waits for an answer learns that it is lost."""
        self._writer.close()
        for answer in self._requests.values():
            if not answer.done():
                answer.set_exception(LinkLost())
        self._requests.clear()

    def _request(self) -> tuple[int, asyncio.Future[InputDone | ScreenShown]]:
        if self._writer.is_closing():
            raise LinkLost
        self._last_request += 1
        answer: asyncio.Future[InputDone | ScreenShown]
        answer = asyncio.get_running_loop().create_future()
        self._requests[self._last_request] = answer
        return self._last_request, answer

    def _answer(self, frame: InputDone | ScreenShown) -> None:
        answer = self._requests.pop(frame.request, None)
        if answer is not None and not answer.done():
            answer.set_result(frame)


async def connect(path: str, hello: Hello) -> tuple[HolderLink, Welcome]:
    """Reach the holder that listens at `path`.

    Raises `OSError` where nobody listens, and what `greet` raises.
    """
    sock = unix_sockets.connect(path)
    reader, writer = await asyncio.open_unix_connection(sock=sock, limit=frames.FRAME_BYTES_MAX)
    return await greet(reader, writer, hello)


async def greet(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: Hello
) -> tuple[HolderLink, Welcome]:
    """The first words on a connection, which is closed where nothing comes of them.

    Raises `OSError` where it breaks, `LinkLost` where somebody listens but does not answer, and
    `LinkRefused` where the holder obeys another broker.
    """
    try:
        writer.write(frames.encode(hello))
        # Not `wait_for`: in Python 3.11 it forgets a cancellation when the answer is there.
        async with asyncio.timeout(WELCOME_S_MAX):
            line = await reader.readline()
        if not line:
            raise LinkLost
        answer = frames.decode_holder(line)
        if isinstance(answer, frames.EpochRefusal):
            raise LinkRefused(answer)
        if not isinstance(answer, Welcome):
            raise LinkLost
    except (TimeoutError, ValueError, msgspec.DecodeError) as error:
        writer.close()
        raise LinkLost from error
    except BaseException:
        writer.close()
        raise
    return HolderLink(reader, writer), answer
