"""A directory that is held by a descriptor, so that its name may come to mean another one.

Whoever keeps a directory open for long cannot go by its path: `mv a b; mkdir a`, a restored volume
or a mount over it give the path to somebody else. Here every name in the directory is looked up in
the one that is held, wherever it is by now; nothing is ever read from, written to or removed from
the one that took its place. What people are told is the name that they gave.

Whether the name still means this directory is a question of its own; see `is_named`.
"""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from ackbook.journal.storage.file_status import EntryKind, FileStatus
from ackbook.journal.storage.files import Access, Files, Handle


class HeldDirectory:
    """`files`, for which `directory` and everything below it is what it was when it was opened
    (another name for the same is not known to be one). Implements `Files`. The descriptor is
    closed by `let_go`, or with the last reference to this."""

    __slots__ = ("_files", "_held", "_here", "_lock", "_looking", "_open", "directory", "handle")

    def __init__(self, files: Files, directory: Path, handle: Handle) -> None:
        self._files = files
        self._here = files.inside(handle)
        self.directory = directory
        self.handle = handle
        self._lock = threading.Lock()
        self._looking = 0
        self._held = self._open = True

    @classmethod
    def of(cls, files: Files, directory: Path) -> "HeldDirectory":
        """Hold what this name means now. Raises `OSError` where it means no directory."""
        return cls(files, directory, files.open_dir(directory))

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self.let_go()

    def let_go(self) -> None:
        """Close the descriptor, for a file system that is to be unmounted, say. From now on names
        mean what they mean to everybody. Another thread may be looking a name up: it goes on to the
        end with the descriptor, whose number would mean something else when it is closed."""
        with self._lock:
            self._held, self._here = False, self.directory
        self._close_if_done()

    @property
    def is_named(self) -> bool:
        """Whether its name means this directory still, and not another one or none."""
        return self._files.status(self.handle).is_same(self._files.status_of(self.directory))

    @property
    def others(self) -> Files:
        """The door for which names mean what they mean to everybody else."""
        return self._files

    @property
    def name_now(self) -> Path | None:
        """What it is called by now; None where no name leads to it."""
        return self._files.name_of(self.handle)

    # Everything else is what `files` does, with the names looked up here.

    def make_dir(self, directory: Path) -> None:
        with self._named():
            self._files.make_dir(self.within(directory))

    def entries(self, directory: Path) -> dict[str, EntryKind]:
        with self._named():
            return self._files.entries(self.within(directory))

    def open(self, path: Path, access: Access) -> Handle:
        with self._named():
            return self._files.open(self.within(path), access)

    def open_dir(self, directory: Path) -> Handle:
        with self._named():
            return self._files.open_dir(self.within(directory))

    def inside(self, directory: Handle) -> Path:
        return self._files.inside(directory)

    def name_of(self, directory: Handle) -> Path | None:
        return self._files.name_of(directory)

    def status_of(self, path: Path) -> FileStatus | None:
        with self._named():
            return self._files.status_of(self.within(path))

    def status(self, handle: Handle) -> FileStatus:
        return self._files.status(handle)

    def generation(self, handle: Handle) -> int:
        return self._files.generation(handle)

    def close(self, handle: Handle) -> None:
        self._files.close(handle)

    def size(self, handle: Handle) -> int:
        return self._files.size(handle)

    def read(self, handle: Handle, offset: int, size: int) -> bytes:
        return self._files.read(handle, offset, size)

    def write(self, handle: Handle, offset: int, data: bytes) -> int:
        return self._files.write(handle, offset, data)

    def truncate(self, handle: Handle, size: int) -> None:
        self._files.truncate(handle, size)

    def sync(self, handle: Handle) -> None:
        self._files.sync(handle)

    def sync_dir(self, directory: Path) -> None:
        with self._named():
            self._files.sync_dir(self.within(directory))

    def rename(self, source: Path, target: Path) -> None:
        with self._named():
            self._files.rename(self.within(source), self.within(target))

    def unlink(self, path: Path) -> None:
        with self._named():
            self._files.unlink(self.within(path))

    def lock(self, handle: Handle) -> bool:
        return self._files.lock(handle)

    def unlock(self, handle: Handle) -> None:
        self._files.unlock(handle)

    def locked(self, path: Path) -> bool:
        with self._named():
            return self._files.locked(self.within(path))

    def free_space(self, directory: Path) -> int:
        with self._named():
            return self._files.free_space(self.within(directory))

    def network(self, directory: Path) -> str | None:
        with self._named():
            return self._files.network(self.within(directory))

    def within(self, path: Path) -> Path:
        """The path by which `files` finds in the held directory what this path names in it."""
        own, parts = self.directory.parts, path.parts
        if parts[: len(own)] != own:
            return path
        return self._here.joinpath(*parts[len(own) :])

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """While a name is looked up: the descriptor stays, and what goes wrong is told by the name
        that people know."""
        with self._lock:
            self._looking += 1
            here = self._here
        try:
            yield
        except OSError as error:
            for attribute in ("filename", "filename2"):
                name = getattr(error, attribute)
                if isinstance(name, str | Path) and Path(name).is_relative_to(here):
                    setattr(error, attribute, str(self.directory / Path(name).relative_to(here)))
            raise
        finally:
            with self._lock:
                self._looking -= 1
            self._close_if_done()

    def _close_if_done(self) -> None:
        with self._lock:
            done = self._open and not self._held and not self._looking
            self._open = self._open and not done
        if done:
            self._files.close(self.handle)
