"""What people use instead of a journal, each at its fastest with one sync under every answer.

Each peer starts in a directory of its own, on a socket or port of its own, and is ended by its pid.
`run` has so many producers store so many records, each waiting for its answer before the next.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

VALUE = b"x" * 190
"""What remains of a line of 300 bytes without its framing: each peer adds its own."""


class Peer(Protocol):
    """One that is running."""

    version: str

    @property
    def pids(self) -> list[int]:
        """The processes whose syncs count."""
        ...

    def run(self, producers: int, records: int) -> float:
        """Records a second."""
        ...


Start = Callable[[Path], AbstractContextManager[Peer]]
"""Starts in this directory. Raises `Missing` where the program is not installed."""


class Missing(Exception):
    """The program or library of a peer is not here; its row is left out and said so."""
