"""A loop whose time passes only when nothing else can happen, so that a night takes no time.

Whatever is due at one moment happens in one order: the same seed and the same calls give the same
history. It meets no file, no socket and no thread; what has to wait there waits for the time.
"""

from __future__ import annotations

import asyncio
from random import Random

from tests.support.simulated import START_AT

LOOK_US_MAX = 1_500
"""What a look at the clock costs at most: syncs are as slow as on a disk, so that commits are
waited for and other things happen meanwhile."""


BEGIN_S = 1_000.0
END_S = BEGIN_S + 3_600
"""No history takes so long; what looks again and again would look for ever."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """Close it like any other."""

    def __init__(self) -> None:
        super().__init__()
        self._now = BEGIN_S
        self._selector = self

    def time(self) -> float:
        return self._now

    def pass_by(self, seconds: float) -> None:
        """Time passes while somebody is busy."""
        self._now += seconds

    def select(self, timeout: float | None) -> list[object]:
        """What a loop does while nothing is ready: wait for what comes next."""
        assert timeout is not None, "somebody waits for what never comes"
        assert self._now < END_S, "somebody waits for what never happens"
        self._now += timeout
        return []

    def _process_events(self, event_list: list[object]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """It is awake."""


class LoopClock:
    """Implements `ackbook.journal.storage.clock.Clock`: the time of the loop, and each look takes a
    little of it."""

    def __init__(self, loop: SimulatedLoop, random: Random) -> None:
        self._loop = loop
        self._random = random

    def wall(self) -> int:
        return START_AT + self._microseconds()

    def boot(self) -> int:
        self._loop.pass_by(self._random.randrange(1, LOOK_US_MAX) / 1e6)
        return self._microseconds()

    def _microseconds(self) -> int:
        return int(self._loop.time() * 1e6)
