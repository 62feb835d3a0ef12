"""Tells followers in this process that there is something new, so that they need not wait to see.

Whoever waits says how many rings it has heard; a ring that came in between wakes it at once, so
none is missed. A ring is a hint: it says nothing of what is new, and who hears none looks again
when its time is up. Threads and loops may wait side by side.
"""

import asyncio
import contextlib
from collections.abc import Callable
from threading import Event, Lock

_Wake = Callable[[], object]


class Notifier:
    """Rung by one journal; a notifier that nobody rings is a way to sleep."""

    __slots__ = ("_lock", "_waiting", "closed", "rings")

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: list[_Wake] = []
        self.rings = 0
        self.closed = False
        """Nothing new will come."""

    def ring(self) -> None:
        """Wake everyone; from any thread."""
        with self._lock:
            self.rings += 1
            waiting, self._waiting = self._waiting, []
        for wake in waiting:
            # A loop that is closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                wake()

    def close(self) -> None:
        """Ring for the last time."""
        self.closed = True
        self.ring()

    def wait(self, heard: int, pause_s: float) -> None:
        """Block this thread until there is a ring after the first `heard`, or for so long."""
        rung = Event()
        if self._join(heard, rung.set):
            rung.wait(pause_s)
            self._leave(rung.set)

    async def wait_async(self, heard: int, pause_s: float) -> None:
        """The same for a task."""
        loop, rung = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(rung.set)

        if self._join(heard, wake):
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await rung.wait()
            finally:
                self._leave(wake)

    def _join(self, heard: int, wake: _Wake) -> bool:
        with self._lock:
            if self.rings != heard:
                return False
            self._waiting.append(wake)
            return True

    def _leave(self, wake: _Wake) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._waiting.remove(wake)
