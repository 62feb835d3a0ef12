"""The writer's lock: one writer a directory, whatever becomes of names.

Two things are locked: the file LOCK, by which readers and writers of every version know that
somebody writes, and the directory itself, which nobody can unlink under its writer. So a LOCK that
was removed lets nobody in. The directory is held (`held_directory`), and everything that the writer
does goes through `files`, into the directory that was locked.

LOCK says who has it: the pid, the epoch, and which directory that is. A directory that was copied
with links (`cp -al`) shares its LOCK with the original; it gets one of its own here.
"""

import contextlib
from pathlib import Path

import msgspec
from msgspec import Struct

from ackbook.journal.errors import Locked, NetworkFileSystem
from ackbook.journal.format.layout import LOCK, list_directory
from ackbook.journal.format.record import UNREADABLE
from ackbook.journal.storage.files import Files, Handle, temporary_of, write_all
from ackbook.journal.storage.held_directory import HeldDirectory

_SIGNATURE_BYTES_MAX = 256


class _Signature(Struct):
    pid: int
    epoch: int = 0
    directory: tuple[int, int] | None = None
    """Its device and inode; None in a LOCK that an older version signed."""


class WriterLock:
    """Made by `take_lock`. `files` is the door to the locked directory."""

    __slots__ = ("files", "handle")

    def __init__(self, files: HeldDirectory, handle: Handle) -> None:
        self.files = files
        self.handle = handle

    def sign(self, pid: int, epoch: int) -> None:
        """Say who has it. Raises `OSError`."""
        own = self.files.status(self.files.handle)[:2]
        signature = msgspec.json.encode({"pid": pid, "epoch": epoch, "directory": own}) + b"\n"
        self.files.truncate(self.handle, 0)
        write_all(self.files, self.handle, 0, signature)

    def release(self) -> None:
        """Give it back at once, whoever else may still refer to its descriptors. A directory that
        its name no longer means stays open for whoever has read in it and goes on to."""
        self.files.unlock(self.handle)
        self.files.close(self.handle)
        self.files.unlock(self.files.handle)
        with contextlib.suppress(OSError):
            if self.files.is_named:
                self.files.let_go()


def take_lock(files: Files, directory: Path, allow_network_fs: bool) -> WriterLock:
    """Lock the directory, which is made where it is missing. Raises `Locked`, `NetworkFileSystem`
    and `OSError`."""
    files.make_dir(directory)
    held = HeldDirectory.of(files, directory)
    try:
        return _lock_held(held, allow_network_fs)
    except BaseException:
        held.unlock(held.handle)
        held.let_go()
        raise


def _lock_held(held: HeldDirectory, allow_network_fs: bool) -> WriterLock:
    directory = held.directory
    list_directory(held, directory)  # where a name stands for something else, nothing is opened
    network = held.network(directory)
    if network is not None and not allow_network_fs:
        raise NetworkFileSystem(
            f"{directory} lies on {network}, where locks and syncs promise too little",
            "use a local disk, or allow it in so many words",
        )
    # A network file system may have no lock for a directory; whoever allowed it has LOCK.
    if network is None and not held.lock(held.handle):
        raise _locked(held, _signature_of_name(held))
    return WriterLock(held, _own_lock(held))


def _own_lock(held: HeldDirectory) -> Handle:
    """LOCK, locked, and of this directory alone."""
    path = held.directory / LOCK
    try:
        lock = held.open(path, "write")
    except FileNotFoundError:
        lock = held.open(path, "create")
    try:
        mine = held.lock(lock)
        shared = held.status(lock).links > 1
        signature = _signature(held, lock)
        if not mine and not (shared and _is_elsewhere(held, signature)):
            raise _locked(held, signature)
    except BaseException:
        held.close(lock)
        raise
    if not shared:
        return lock
    if mine:
        held.unlock(lock)
    held.close(lock)
    return _fresh_lock(held, path)


def _fresh_lock(held: HeldDirectory, path: Path) -> Handle:
    """A LOCK that no other directory has, in the place of the one that others have, too."""
    temporary = temporary_of(path)
    lock = held.open(temporary, "create")
    held.lock(lock)
    held.rename(temporary, path)
    held.sync_dir(held.directory)
    return lock


def _is_elsewhere(held: HeldDirectory, signature: _Signature | None) -> bool:
    """Whether the writer that has the shared LOCK says that it has another directory."""
    own = held.status(held.handle)[:2]
    return signature is not None and signature.directory not in (None, own)


def _signature_of_name(held: HeldDirectory) -> _Signature | None:
    try:
        lock = held.open(held.directory / LOCK, "read")
    except OSError:
        return None
    try:
        return _signature(held, lock)
    finally:
        held.close(lock)


def _signature(held: HeldDirectory, lock: Handle) -> _Signature | None:
    with contextlib.suppress(*UNREADABLE):
        content = held.read(lock, 0, _SIGNATURE_BYTES_MAX)
        return msgspec.json.decode(content, type=_Signature)
    return None


def _locked(held: HeldDirectory, signature: _Signature | None) -> Locked:
    known = signature is not None and not _is_elsewhere(held, signature)
    who = f"process {signature.pid}" if signature is not None and known else "another process"
    return Locked(
        f"{held.directory} is open for writing by {who}",
        "use that one, or end it; reading needs no lock",
    )
