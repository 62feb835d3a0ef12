"""A disk that forgets: the twin of `OsFiles`, with everything a real one may do.

It keeps two states of each file and of each directory: what processes see (`cached`) and what
stands on the medium (`durable`), and the list of what happened in between (`pending`). At a power
cut a random part of each pending list survives: of a write any pieces, of the names any subset;
what a file gained in length without its bytes is filled with zeros, with bytes of files that were
deleted, or with noise. A failed sync keeps what processes see, and forgets that it is not on the
medium. A crash may come at any call that changes something, before it, after it, or in its midst.

Deterministic: the same seed and the same calls give the same disk.
"""

import errno
import os
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Literal, cast

from ackbook.journal.storage.file_status import EntryKind, FileStatus
from ackbook.journal.storage.files import Access, Handle

CrashKind = Literal["process", "power"]

OPEN_DIRECTORIES = Path("/proc/self/fd")
PIECES_MAX = 6


class Crash(BaseException):
    """The process is gone in the middle of a call; nothing may catch this but a test."""


@dataclass
class _Write:
    offset: int
    data: bytes


@dataclass
class _Truncate:
    size: int


@dataclass(eq=False)
class _File:
    inode: int
    durable: bytearray = field(default_factory=bytearray)
    cached: bytearray = field(default_factory=bytearray)
    pending: list[_Write | _Truncate] = field(default_factory=list)
    lies: bool = False
    """A sync of it failed: what processes see may not be on the medium, and nothing says so."""
    untold: set[int] = field(default_factory=set)
    """Handles that have not been told of it: each is told once, by its next sync."""


@dataclass
class _Name:
    """A change of a directory: `gone` disappears, `name` is `file` from now on."""

    gone: str | None
    name: str | None
    file: _File | None


@dataclass(eq=False)
class _Folder:
    inode: int
    durable: dict[str, _File] = field(default_factory=dict)
    cached: dict[str, _File] = field(default_factory=dict)
    pending: list[_Name] = field(default_factory=list)


_State = tuple[dict[Path, _Folder], list[bytes]]


class SimulatedDisk:
    """Implements `ackbook.journal.storage.files.Files`. Plan a crash or an error by the number of
    changing calls until it happens (`crash_in`, `fail_in`); `reboot` after a crash."""

    def __init__(self, seed: int = 0, capacity: int | None = None) -> None:
        self.random = Random(seed)
        self.capacity = capacity
        self.calls = 0
        self.crashed = False
        self.short_writes = False
        self.before_sync: Callable[[], None] = nothing
        """Called before each sync of a file: a moment at which somebody may look."""
        self.before_sync_dir: Callable[[], None] = nothing
        self._crash_at: int | None = None
        self._interfere_at: int | None = None
        self._interfere: Callable[[], None] = nothing
        self._fail_at: dict[int, int] = {}
        self._folders: dict[Path, _Folder] = {}
        self._open: dict[int, _File] = {}
        self._held: dict[int, _Folder] = {}
        """Directories that are open."""
        self._locks: dict[int, _File | _Folder] = {}
        self._next_handle = 3
        self._last_inode = 1_000
        self._stale: list[bytes] = []

    # What tests do to it.

    def crash_in(self, calls: int | None) -> None:
        """Crash at that many changing calls from now; None takes the plan back."""
        self._crash_at = None if calls is None else self.calls + calls

    def fail_in(self, calls: int, code: int = errno.EIO) -> None:
        """Let that changing call fail with this error."""
        self._fail_at[self.calls + calls] = code

    def interfere_in(self, calls: int, act: Callable[[], None]) -> None:
        """Let somebody do this just before that changing call."""
        self._interfere_at, self._interfere = self.calls + calls, act

    def clear_faults(self) -> None:
        """Take back what is planned and has not happened."""
        self._fail_at.clear()
        self._crash_at = None

    def reboot(self, kind: CrashKind) -> None:
        """Everything that was open is closed; after a power cut, only the medium is left."""
        self.crashed = False
        self._open.clear()
        self._held.clear()
        self._locks.clear()
        self.clear_faults()
        if kind == "power":
            self._lose_power()
        else:
            for file in self._all_files():
                if file.lies and self.random.random() < 0.5:
                    file.cached = bytearray(file.durable)
                    file.lies = False

    def used(self) -> int:
        """Bytes in all files that processes can name."""
        return sum(len(file.cached) for file in self._all_files())

    def content(self, path: Path) -> bytes:
        """What processes see."""
        return bytes(self._folders[path.parent].cached[path.name].cached)

    def overwrite(self, path: Path, content: bytes) -> None:
        """The medium itself changes: rot, or somebody with an editor."""
        file = self._folders[path.parent].cached.get(path.name)
        if file is None:
            file = _File(self._new_inode())
            self._folders[path.parent].cached[path.name] = file
        self._folders[path.parent].durable[path.name] = file
        file.cached[:] = content
        file.durable[:] = content
        file.pending.clear()

    def remove(self, path: Path) -> None:
        """The medium itself forgets a name."""
        self._folders[path.parent].cached.pop(path.name)
        self._folders[path.parent].durable.pop(path.name, None)

    def move_dir(self, source: Path, target: Path) -> None:
        """Somebody gives a directory another name, with everything in it; who has it open has it
        still. A power cut does not take that back."""
        moved = [path for path in self._folders if path.is_relative_to(source)]
        for path in moved:
            self._folders[target / path.relative_to(source)] = self._folders.pop(path)

    def link_dir(self, source: Path, target: Path) -> None:
        """Somebody copies a directory with links (`cp -al`): the files have another name each."""
        for path in [path for path in self._folders if path.is_relative_to(source)]:
            names = dict(self._folders[path].cached)
            folder = _Folder(self._new_inode(), dict(names), names)
            self._folders[target / path.relative_to(source)] = folder

    def snapshot(self) -> object:
        """The whole state, to come back to with `restore`."""
        return deepcopy((self._folders, self._stale))

    def restore(self, saved: object) -> None:
        """Back to a state that `snapshot` gave; everything that was open is closed."""
        self._folders, self._stale = deepcopy(cast("_State", saved))
        self._open.clear()
        self._held.clear()
        self._locks.clear()

    # The door.

    def make_dir(self, directory: Path) -> None:
        self._alive()
        directory = self._found(directory)
        for each in (*reversed(directory.parents), directory):
            if each not in self._folders:
                self._folders[each] = _Folder(self._new_inode())

    def entries(self, directory: Path) -> dict[str, EntryKind]:
        self._alive()
        found: dict[str, EntryKind] = dict.fromkeys(self._folder(directory).cached, "file")
        directory = self._found(directory)
        inside = (path.name for path in self._folders if path.parent == directory != path)
        return found | dict.fromkeys(inside, "directory")

    def open(self, path: Path, access: Access) -> Handle:
        self._alive()
        folder = self._folder(path.parent)
        file = folder.cached.get(path.name)
        if access == "create":
            self._change()
            if self.capacity is not None and self.used() >= self.capacity:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            if file is None:
                file = _File(self._new_inode())
                folder.cached[path.name] = file
                folder.pending.append(_Name(None, path.name, file))
            elif file.cached:
                del file.cached[:]
                file.pending.append(_Truncate(0))
            self._changed()
        elif file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        handle = self._next_handle
        self._next_handle += 1
        self._open[handle] = file
        return Handle(handle)

    def close(self, handle: Handle) -> None:
        if self.crashed:
            return
        self._opened(handle)
        self._locks.pop(handle, None)
        self._open.pop(handle, None)
        self._held.pop(handle, None)

    def open_dir(self, directory: Path) -> Handle:
        self._alive()
        folder = self._folder(directory)
        handle = self._next_handle
        self._next_handle += 1
        self._held[handle] = folder
        return Handle(handle)

    def inside(self, directory: Handle) -> Path:
        return OPEN_DIRECTORIES / str(directory)

    def name_of(self, directory: Handle) -> Path | None:
        folder = self._held.get(directory)
        return next((path for path, its in self._folders.items() if its is folder), None)

    def status_of(self, path: Path) -> FileStatus | None:
        self._alive()
        try:
            where = self._found(path)
        except FileNotFoundError:
            return None
        folder = self._folders.get(where.parent)
        file = folder.cached.get(where.name) if folder is not None else None
        found = file or self._folders.get(where)
        return None if found is None else self._status(found)

    def status(self, handle: Handle) -> FileStatus:
        self._alive()
        return self._status(self._opened(handle))

    def generation(self, handle: Handle) -> int:
        self._alive()
        return 0

    def size(self, handle: Handle) -> int:
        self._alive()
        return len(self._file(handle).cached)

    def read(self, handle: Handle, offset: int, size: int) -> bytes:
        self._alive()
        return bytes(self._file(handle).cached[offset : offset + size])

    def write(self, handle: Handle, offset: int, data: bytes) -> int:
        self._alive()
        file = self._file(handle)
        if self.short_writes and len(data) > 1 and self.random.random() < 0.3:
            data = data[: self.random.randrange(1, len(data))]
        data = self._fit(file, offset, data)
        try:
            self._change()
        except BaseException:
            # Half of it may be done when it fails, or when the process is killed.
            self._put(file, offset, data[: self.random.randrange(len(data) + 1)])
            raise
        self._put(file, offset, data)
        self._changed()
        return len(data)

    def truncate(self, handle: Handle, size: int) -> None:
        self._alive()
        file = self._file(handle)
        self._change()
        _resize(file.cached, size, b"")
        file.pending.append(_Truncate(size))
        self._changed()

    def sync(self, handle: Handle) -> None:
        self._alive()
        file = self._file(handle)
        self.before_sync()
        try:
            self._change()
        except OSError:
            file.durable = self._survivor(file)
            file.pending.clear()
            file.lies = file.durable != file.cached
            file.untold = {other for other, its in self._open.items() if its is file} - {handle}
            raise
        if file.lies:
            # The pages that were forgotten stay forgotten; only what is pending is written.
            for change in file.pending:
                self._apply(file.durable, change, 1.0)
        else:
            file.durable = bytearray(file.cached)
        file.pending.clear()
        self._changed()
        if handle in file.untold:
            file.untold.remove(handle)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def sync_dir(self, directory: Path) -> None:
        self._alive()
        folder = self._folder(directory)
        self.before_sync_dir()
        try:
            self._change()
        except OSError:
            self._settle_names(folder)
            raise
        folder.durable = dict(folder.cached)
        folder.pending.clear()
        self._changed()

    def rename(self, source: Path, target: Path) -> None:
        self._alive()
        if self._found(source) in self._folders:
            self._change()
            self._folders.pop(self._found(target), None)
            self.move_dir(self._found(source), self._found(target))
            self._changed()
            return
        folder = self._folder(source.parent)
        if source.name not in folder.cached:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
        self._change()
        self._bury(folder.cached.get(target.name))
        file = folder.cached.pop(source.name)
        folder.cached[target.name] = file
        folder.pending.append(_Name(source.name, target.name, file))
        self._changed()

    def unlink(self, path: Path) -> None:
        self._alive()
        folder = self._folder(path.parent)
        if path.name not in folder.cached:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        self._change()
        self._bury(folder.cached.pop(path.name))
        folder.pending.append(_Name(path.name, None, None))
        self._changed()

    def lock(self, handle: Handle) -> bool:
        self._alive()
        file = self._opened(handle)
        if any(other is file for other in self._locks.values()):
            return handle in self._locks
        self._locks[handle] = file
        return True

    def unlock(self, handle: Handle) -> None:
        if not self.crashed:
            self._opened(handle)
            self._locks.pop(handle, None)

    def locked(self, path: Path) -> bool:
        self._alive()
        folder = self._folders.get(self._found(path.parent))
        file = folder.cached.get(path.name) if folder else None
        return file is not None and any(other is file for other in self._locks.values())

    def free_space(self, directory: Path) -> int:
        self._alive()
        return 2**40 if self.capacity is None else max(0, self.capacity - self.used())

    def network(self, directory: Path) -> str | None:
        return None

    # How it works.

    def _alive(self) -> None:
        if self.crashed:
            raise Crash

    def _change(self) -> None:
        """Counts a changing call, before it happens."""
        if self.calls + 1 == self._interfere_at:
            self._interfere_at = None
            self._interfere()
        self.calls += 1
        code = self._fail_at.pop(self.calls, None)
        if code is not None:
            raise OSError(code, os.strerror(code))
        if self.calls == self._crash_at and self.random.random() < 0.5:
            self.crashed = True
            raise Crash

    def _changed(self) -> None:
        """The other half of the crashes: it has happened, but nobody is told."""
        if self.calls == self._crash_at:
            self.crashed = True
            raise Crash

    def _folder(self, directory: Path) -> _Folder:
        folder = self._folders.get(self._found(directory))
        if folder is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory))
        return folder

    def _found(self, path: Path) -> Path:
        """The path, with the directory that a handle means by its name of now."""
        parts, above = path.parts, len(OPEN_DIRECTORIES.parts)
        if parts[:above] != OPEN_DIRECTORIES.parts:
            return path
        name = self.name_of(Handle(int(parts[above])))
        if name is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return name.joinpath(*parts[above + 1 :])

    def _status(self, found: _File | _Folder) -> FileStatus:
        return FileStatus(0, found.inode, sum(1 for file in self._all_files() if file is found))

    def _new_inode(self) -> int:
        self._last_inode += 1
        return self._last_inode

    def _opened(self, handle: Handle) -> "_File | _Folder":
        return self._held[handle] if handle in self._held else self._file(handle)

    def _file(self, handle: Handle) -> _File:
        if handle not in self._open:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._open[handle]

    def _all_files(self) -> list[_File]:
        return [file for folder in self._folders.values() for file in folder.cached.values()]

    def _fit(self, file: _File, offset: int, data: bytes) -> bytes:
        grows = max(0, offset + len(data) - len(file.cached))
        if self.capacity is None or grows == 0:
            return data
        free = max(0, self.capacity - self.used())
        if grows <= free:
            return data
        data = data[: len(data) - (grows - free)]
        if not data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return data

    def _put(self, file: _File, offset: int, data: bytes) -> None:
        if not data:
            return
        _put(file.cached, offset, data)
        file.pending.append(_Write(offset, data))

    def _bury(self, file: _File | None) -> None:
        if file is not None and file.durable:
            self._stale.append(bytes(file.durable))

    def _lose_power(self) -> None:
        for folder in self._folders.values():
            self._settle_names(folder)
        survivors = {
            id(file): file for folder in self._folders.values() for file in folder.durable.values()
        }
        for file in survivors.values():
            file.durable = self._survivor(file)
            file.cached = bytearray(file.durable)
            file.pending.clear()
            file.lies = False
        for folder in self._folders.values():
            folder.cached = dict(folder.durable)

    def _settle_names(self, folder: _Folder) -> None:
        """Some of the changes reach the medium; those that do not are forgotten for ever, also
        when no power cut but a failed sync is the reason."""
        keep = self.random.choice((0.0, 0.5, 1.0))
        in_order = self.random.random() < 0.5
        for change in folder.pending:
            if self.random.random() >= keep:
                if in_order:
                    break
                continue
            if change.gone is not None:
                folder.durable.pop(change.gone, None)
            if change.name is not None and change.file is not None:
                folder.durable[change.name] = change.file
        folder.pending.clear()

    def _survivor(self, file: _File) -> bytearray:
        content = bytearray(file.durable)
        keep = self.random.choice((0.0, 0.3, 0.7, 1.0))
        for change in file.pending:
            self._apply(content, change, keep)
        return content

    def _apply(self, content: bytearray, change: _Write | _Truncate, keep: float) -> None:
        if isinstance(change, _Truncate):
            if self.random.random() < keep:
                _resize(content, change.size, b"")
            return
        end = change.offset + len(change.data)
        if keep == 1.0:
            _put(content, change.offset, change.data)
            return
        if end > len(content) and self.random.random() < 0.3:
            _resize(content, end, self._filling(end - len(content)))
        cuts = {self.random.randrange(len(change.data) + 1) for _ in range(PIECES_MAX)}
        edges = sorted({0, len(change.data), *cuts})
        for start, stop in pairwise(edges):
            if self.random.random() < keep:
                offset = change.offset + start
                if offset > len(content):
                    _resize(content, offset, self._filling(offset - len(content)))
                _put(content, offset, change.data[start:stop])

    def _filling(self, size: int) -> bytes:
        kind = self.random.random()
        if kind < 0.5 or (kind < 0.8 and not self._stale):
            return bytes(size)
        if kind < 0.8:
            old = self.random.choice(self._stale)
            start = self.random.randrange(len(old))
            return old[start : start + size].ljust(size, b"\0")
        return self.random.randbytes(size)


class SimulatedClock:
    """Implements `ackbook.journal.storage.clock.Clock`: time passes a little with each look, and
    when told to."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)
        self._wall = 1_763_800_000_000_000
        self._boot = 1_000_000

    def wall(self) -> int:
        return self._wall

    def boot(self) -> int:
        self.advance(self._random.randrange(1, 20_000))
        return self._boot

    def advance(self, microseconds: int) -> None:
        """Time passes, for both."""
        self._wall += microseconds
        self._boot += microseconds

    def jump(self, microseconds: int) -> None:
        """Somebody sets the wall clock."""
        self._wall += microseconds

    def restart(self) -> None:
        """The machine boots."""
        self._boot = 1_000_000


def nothing() -> None:
    return


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if offset > len(content):
        _resize(content, offset, b"")
    content[offset : offset + len(data)] = data


def _resize(content: bytearray, size: int, filling: bytes) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(filling.ljust(size - len(content), b"\0")[: size - len(content)])
