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

    @property
    def is_held(self) -> bool:
        """Whether the directory itself is known, and not its path alone."""
        return self._descriptor is not None

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode of the directory; zeros where it was removed, or none is held."""
        if self._descriptor is None:
            return 0, 0
        found = os.fstat(self._descriptor)
        return (found.st_dev, found.st_ino) if found.st_nlink else (0, 0)

    def follow(self, directory: str, identity: tuple[int, int]) -> None:
        """Hold another directory from here on: the one of this name, if that is `identity`. Paths
        that were given keep their meaning in it."""
        if self._descriptor is None or identity == self.identity:
            return
        with contextlib.suppress(OSError):
            other = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            found = os.fstat(other)
            if (found.st_dev, found.st_ino) == identity:
                os.dup2(other, self._descriptor, inheritable=False)
            os.close(other)

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
