"""The two clocks that a writer reads: one says what time it is, the other only how much passed.

A record's `at` starts from the first and moves with the second, so that a wall clock that is set
while the writer runs moves no record. What follows from that is `Log.now`.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Both in microseconds."""

    def wall(self) -> int:
        """Microseconds since 1970, UTC, as the machine believes at the moment."""
        ...

    def boot(self) -> int:
        """Microseconds since the machine started, its sleep included; never goes back."""
        ...


class OsClock:
    """The clocks of this machine."""

    def wall(self) -> int:
        return time.time_ns() // 1000

    def boot(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Ticker:
    """The rule for `at`: where a writer starts, and how it goes on.

    It starts at the wall clock or the last `at` of the journal, whichever is later, and moves with
    elapsed boot time: it neither leaps nor stands still nor goes back.
    """

    __slots__ = ("_clock", "_offset")

    def __init__(self, clock: Clock, last_at: int) -> None:
        self._clock = clock
        self._offset = max(clock.wall(), last_at) - clock.boot()

    def now(self) -> int:
        """The `at` for the next decision."""
        return self._clock.boot() + self._offset

    def wall_apart(self, distance_us_min: int) -> int | None:
        """The wall clock when it is further than this from `now`, else None."""
        wall = self._clock.wall()
        return wall if abs(wall - self.now()) > distance_us_min else None
