"""The only door to the file system.

Everything that the journal does to a disk goes through `Files`, so that a simulated disk can
stand behind the same door and lose power at every single call. The contract is what POSIX
promises and no more: `write` may be short; nothing is durable before `sync`; no name is durable
before `sync_dir`; after a failed `sync` the file may read right and yet not be on the disk.

It knows nothing of lines or segments.
"""

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path
from typing import Literal, NewType, Protocol, assert_never

from ackbook.journal.storage.file_status import EntryKind, FileStatus
from ackbook.journal.storage.inode_generation import generation_of
from ackbook.journal.storage.mounts import network_of

Handle = NewType("Handle", int)
Access = Literal["read", "write", "create"]
SPACE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a disk says when there is no room, as opposed to when it is broken."""

READ_ONLY_ERRORS = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class Files(Protocol):
    """Twenty-one calls; each raises `OSError` and each may be the last one before a crash."""

    def make_dir(self, directory: Path) -> None:
        """Make it with its parents, 0700, names durable; nothing when it is there."""
        ...

    def entries(self, directory: Path) -> dict[str, EntryKind]:
        """The names in it, in any order, each with what it stands for."""
        ...

    def open(self, path: Path, access: Access) -> Handle:
        """`create` makes an empty file, 0600; the other two want one that exists. Nothing is
        written through a link. Raises OSError."""
        ...

    def open_dir(self, directory: Path) -> Handle:
        """A handle of the directory itself, wherever that is moved. It can be locked, too."""
        ...

    def inside(self, directory: Handle) -> Path:
        """A path that leads into the directory that the handle means, while it is open."""
        ...

    def name_of(self, directory: Handle) -> Path | None:
        """What it is called now; None when no name leads to it."""
        ...

    def status_of(self, path: Path) -> FileStatus | None:
        """Of what a name stands for, links followed; None when it stands for nothing."""
        ...

    def status(self, handle: Handle) -> FileStatus: ...
    def generation(self, handle: Handle) -> int:
        """Which use of its inode it is; 0 where the file system does not tell."""
        ...

    def close(self, handle: Handle) -> None: ...

    def size(self, handle: Handle) -> int: ...

    def read(self, handle: Handle, offset: int, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end of the file."""
        ...

    def write(self, handle: Handle, offset: int, data: bytes) -> int:
        """The number of bytes taken, which may be fewer than given."""
        ...

    def truncate(self, handle: Handle, size: int) -> None: ...

    def sync(self, handle: Handle) -> None:
        """What was written to this file is durable when it returns; its name may not be."""
        ...

    def sync_dir(self, directory: Path) -> None:
        """The names in this directory are durable when it returns."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Within one directory; replaces the target in one step."""
        ...

    def unlink(self, path: Path) -> None: ...

    def lock(self, handle: Handle) -> bool:
        """Take the writer's lock, until `unlock` or the end; False when another one has it."""
        ...

    def unlock(self, handle: Handle) -> None:
        """Give it back at once, whoever else may still refer to this handle."""
        ...

    def locked(self, path: Path) -> bool:
        """Whether a writer has this lock now; False when there is no such file."""
        ...

    def free_space(self, directory: Path) -> int:
        """Bytes that an ordinary process may still write to this file system."""
        ...

    def network(self, directory: Path) -> str | None:
        """The type of the network file system that it lies on, None on a local one."""
        ...


class OsFiles:
    """The file system of this machine."""

    def make_dir(self, directory: Path) -> None:
        missing = []
        while not directory.exists():
            missing.append(directory)
            directory = directory.parent
        for each in reversed(missing):
            with contextlib.suppress(FileExistsError):
                each.mkdir(mode=0o700)
            self.sync_dir(each.parent)

    def entries(self, directory: Path) -> dict[str, EntryKind]:
        with os.scandir(directory) as found:
            return {entry.name: _kind_of(entry) for entry in found}

    def open(self, path: Path, access: Access) -> Handle:
        """As `Files` says. Raises OSError, ELOOP for a link in the place of a file to write."""
        match access:
            case "read":
                flags = os.O_RDONLY | os.O_NONBLOCK  # a pipe in its place is not waited for
            case "write":
                flags = os.O_RDWR | os.O_NOFOLLOW
            case "create":
                flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            case _:
                assert_never(access)
        try:
            return Handle(os.open(path, flags | os.O_CLOEXEC, 0o600))
        except OSError as error:
            if error.errno == errno.ELOOP and flags & os.O_NOFOLLOW:
                said = "it is a link, and nothing is written through one"
                raise OSError(errno.ELOOP, said, str(path)) from None
            raise

    def open_dir(self, directory: Path) -> Handle:
        return Handle(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def inside(self, directory: Handle) -> Path:
        return Path(f"/proc/self/fd/{directory}")

    def name_of(self, directory: Handle) -> Path | None:
        name = Path(os.readlink(f"/proc/self/fd/{directory}"))
        return name if self.status(directory).is_same(self.status_of(name)) else None

    def status_of(self, path: Path) -> FileStatus | None:
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return FileStatus(found.st_dev, found.st_ino, found.st_nlink)

    def status(self, handle: Handle) -> FileStatus:
        found = os.fstat(handle)
        return FileStatus(found.st_dev, found.st_ino, found.st_nlink)

    def generation(self, handle: Handle) -> int:
        return generation_of(handle)

    def close(self, handle: Handle) -> None:
        os.close(handle)

    def size(self, handle: Handle) -> int:
        return os.fstat(handle).st_size

    def read(self, handle: Handle, offset: int, size: int) -> bytes:
        parts = []
        while size > 0:
            try:
                part = os.pread(handle, size, offset)
            except OSError as error:
                # Of a medium that cannot be read, whoever looks after it wants to know the file.
                error.filename = os.readlink(f"/proc/self/fd/{handle}")
                raise
            if not part:
                break
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, handle: Handle, offset: int, data: bytes) -> int:
        return os.pwrite(handle, data, offset)

    def truncate(self, handle: Handle, size: int) -> None:
        os.ftruncate(handle, size)

    def sync(self, handle: Handle) -> None:
        os.fdatasync(handle)

    def sync_dir(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def lock(self, handle: Handle) -> bool:
        # A reader that asks `locked` holds the lock for microseconds; so one look is not enough.
        for _ in range(20):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.01)
            else:
                return True
        return False

    def unlock(self, handle: Handle) -> None:
        # To close it is not enough: a process that looks into /proc at this moment keeps it open.
        fcntl.flock(handle, fcntl.LOCK_UN)

    def locked(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            self.unlock(Handle(descriptor))
            return False
        finally:
            os.close(descriptor)

    def free_space(self, directory: Path) -> int:
        found = os.statvfs(directory)
        return found.f_bavail * found.f_frsize

    def network(self, directory: Path) -> str | None:
        return network_of(directory.stat().st_dev)


def write_all(files: Files, handle: Handle, offset: int, data: bytes) -> None:
    """Write every byte, however many calls it takes."""
    while data:
        taken = files.write(handle, offset, data)
        if taken == len(data):
            return
        assert taken > 0, "a write that takes nothing raises"
        data = data[taken:]
        offset += taken


def read_whole(files: Files, path: Path) -> bytes:
    """The content of a file at this moment."""
    handle = files.open(path, "read")
    try:
        return files.read(handle, 0, files.size(handle))
    finally:
        files.close(handle)


def temporary_of(path: Path, maker: int = 0) -> Path:
    """What a file is called until it is whole. Whoever makes one without holding the lock names
    itself, so that two of them (one may have outlived its broker) never write into one file."""
    return path.with_name(f"{path.name}.{maker}.tmp" if maker else f"{path.name}.tmp")


def install(files: Files, path: Path, content: bytes, *, maker: int = 0) -> None:
    """Put a whole file in place: after this it is there with this content, whatever happens;
    before, the old one (or none) is. A crash in between leaves a `.tmp`, which is garbage."""
    temporary = temporary_of(path, maker)
    handle = files.open(temporary, "create")
    try:
        write_all(files, handle, 0, content)
        files.sync(handle)
    finally:
        files.close(handle)
    files.rename(temporary, path)
    files.sync_dir(path.parent)


def _kind_of(entry: os.DirEntry[str]) -> EntryKind:
    return "file" if entry.is_file() else "directory" if entry.is_dir() else "other"
