"""The broker's directory, held by a descriptor, for those who make and find files in it.

A path may come to mean another directory while a broker or a holder lives (`mv a b; mkdir a`): then
nothing of theirs may be written there, nor anything of somebody else's be removed. `inside` gives
the path to use, which leads into the directory that is held, wherever it is by now; `named` what to
tell a program that is to open it: what it is called at this moment.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class Home:
    """`directory` is what it is called by its user, `descriptor` is the directory itself, which
    belongs to this from now on. Without a descriptor paths are used as they are."""

    def __init__(self, directory: Path, descriptor: int | None) -> None:
        self.directory = directory
        self._descriptor = descriptor
        self.here = directory if descriptor is None else Path(f"/proc/self/fd/{descriptor}")

    @classmethod
    def hold(cls, directory: Path) -> Home:
        """The one that has this name now. Raises OSError."""
        return cls(directory, os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def inside(self, path: str | Path) -> Path:
        """The path to use for one that is named below `directory`; any other as it is."""
        path = Path(path)
        if not path.is_relative_to(self.directory):
            return path
        return self.here / path.relative_to(self.directory)

    def named(self, path: str | Path) -> str:
        """What a file is called now that was named below `directory`; as it was where the
        directory has no name any more."""
        path = Path(path)
        if self._descriptor is None or not path.is_relative_to(self.directory):
            return str(path)
        with contextlib.suppress(OSError):
            now = Path(os.readlink(self.here))
            if os.path.samestat(os.stat(now), os.fstat(self._descriptor)):
                return str(now / path.relative_to(self.directory))
        return str(path)
