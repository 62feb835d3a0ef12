"""Deadlines: what has a deadline, in the order of the deadlines.

Each key has at most one deadline. Setting, dropping and asking for the next one cost O(log n). The
agenda knows neither what a key means nor what the time is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from sortedcontainers import SortedList

DeadlineKey: TypeAlias = tuple[Literal["agent", "ttl", "keys"], str]
"""`("agent", name)`, `("ttl", delivery_id)` or `("keys", "")`."""


class Agenda:
    """Deadlines by key. Times are microseconds UTC."""

    def __init__(self) -> None:
        self._times: dict[DeadlineKey, int] = {}
        self._order: SortedList[tuple[int, DeadlineKey]] = SortedList()

    def put(self, key: DeadlineKey, time: int | None) -> None:
        """Give `key` this deadline instead of the one it had; None takes it off."""
        old = self._times.get(key)
        if old == time:
            return
        if old is not None:
            self._order.remove((old, key))
            del self._times[key]
        if time is not None:
            self._order.add((time, key))
            self._times[key] = time

    def next(self) -> int | None:
        """The earliest deadline."""
        return self._order[0][0] if self._order else None

    def time_of(self, key: DeadlineKey) -> int | None:
        """The deadline of this key."""
        return self._times.get(key)

    def due(self, at: int) -> Iterator[DeadlineKey]:
        """Every key whose deadline is at or before `at`, earliest first."""
        for time, key in self._order:
            if time > at:
                return
            yield key

    def __len__(self) -> int:
        return len(self._times)

    def check(self) -> None:
        """Assert that both views say the same."""
        assert [(time, key) for key, time in self._times.items()] != [] or not self._order
        assert sorted((time, key) for key, time in self._times.items()) == list(self._order)
