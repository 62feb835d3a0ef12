"""Spool: files for bodies that no input line takes; the text that is typed names them.

A file is made new, for its owner only, and is whole before its name is typed. The files are the
agent's, to read when it likes; only the oldest of very many are removed, and all with the holder.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from pathlib import Path

from ackbook.broker.runtime.system.home import Home
from ackbook.broker.runtime.system.private_paths import make_private

FILES_MAX = 256
"""An agent that has not read a message after this many later ones will not."""


class Spool:
    """The spool files of one holder, in `directory`, which is made when it is needed, below the
    directory that `home` holds."""

    def __init__(self, directory: str, home: Home | None = None) -> None:
        self._home = home or Home(Path(directory), None)
        self._named = directory
        self._directory = str(self._home.inside(directory))
        self._made: deque[str] = deque()

    def path(self, delivery_id: str, attempt: int) -> str:
        """Where the body of this attempt would be, as its program may open it now."""
        return os.path.join(self._home.named(self._named), f"{delivery_id}-{attempt}.txt")

    def write(self, path: str, content: bytes) -> None:
        """Make the file that `path` gave the name of. Raises OSError; then there is none."""
        path = os.path.join(self._directory, os.path.basename(path))
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        make_private(Path(self._directory))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(path, "wb", opener=lambda name, _: os.open(name, flags, 0o600)) as file:
            self._made.append(path)
            try:
                file.write(content)
                file.flush()
            except OSError:
                self._remove(self._made.pop())
                raise
        if len(self._made) > FILES_MAX:
            self._remove(self._made.popleft())

    def clear(self) -> None:
        """Remove every file of this holder."""
        while self._made:
            self._remove(self._made.popleft())

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
