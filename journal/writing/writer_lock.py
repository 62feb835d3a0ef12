"""The writer's lock: one writer a directory, whatever becomes of names.

Two things are locked: the file LOCK, by which readers and writers of every version know that
somebody writes, and the directory itself, which nobody can unlink under its writer. So a LOCK that
was removed lets nobody in. The directory is held (`held_directory`), and everything that the writer
does goes through `files`, into the directory that was locked.

LOCK says who has it, and which files it belongs to (`lock_signature`): by that the next start knows
a copy. A directory that was copied with links (`cp -al`) shares its LOCK with the original; it gets
one of its own here, which says what the shared one said.
"""

import contextlib
from pathlib import Path

import msgspec

from ackbook.journal.errors import Locked, NetworkFileSystem
from ackbook.journal.format.layout import LOCK, list_directory
from ackbook.journal.format.lock_signature import (
    SIGNATURE_BYTES,
    FileNumbers,
    LockSignature,
    encode_signature,
    numbers_of,
    read_signature,
)
from ackbook.journal.storage.file_status import FileStatus
from ackbook.journal.storage.files import Files, Handle, temporary_of, write_all
from ackbook.journal.storage.held_directory import HeldDirectory


class FoundLock(msgspec.Struct, frozen=True):
    """The LOCK that was there: which file it is, None for none, and what it said, None where that
    cannot be understood."""

    numbers: FileNumbers | None = None
    said: LockSignature | None = None


class WriterLock:
    """Made by `take_lock`. `files` is the door to the locked directory; `found` the LOCK that was
    there."""

    __slots__ = ("_signed", "_tail", "files", "found", "handle")

    def __init__(self, files: HeldDirectory, handle: Handle, found: FoundLock) -> None:
        self.files = files
        self.handle = handle
        self.found = found
        self._signed: LockSignature | None = None
        self._tail: tuple[int, int, int] | None = None

    def sign(self, pid: int, epoch: int) -> None:
        """Say who has it and which files these are, so that it is on the disk. Raises `OSError`."""
        self._signed = LockSignature(
            pid,
            epoch,
            directory=numbers_of(self.files, self.files.handle),
            lock=numbers_of(self.files, self.handle),
            tail=self._tail,
        )
        self._write(self._signed)

    def follow(self, base: int, tail: FileStatus) -> None:
        """From now on the tail is this file. Before that is said, LOCK names the one before, which
        was sealed and is the file that it was. Raises `OSError`."""
        self._tail = base, tail.device, tail.inode
        if self._signed is not None:
            self._signed = msgspec.structs.replace(self._signed, tail=self._tail)
            self._write(self._signed)

    def waive_tail(self) -> None:
        """Say nothing of the tail any more, before a copy takes its name: a crash in between is
        not to look as if the journal had been put back. Raises `OSError`."""
        said = self._signed or self.found.said
        if said is not None and said.tail is not None:
            self._write(msgspec.structs.replace(said, tail=None))

    def disown(self) -> None:
        """Say nothing at all, which is how it stays known that this is a copy, whatever becomes of
        its files, until it is signed. Raises `OSError`."""
        self._write(None)

    def release(self) -> None:
        """Give it back at once, whoever else may still refer to its descriptors. A directory that
        its name no longer means stays open for whoever has read in it and goes on to."""
        self.files.unlock(self.handle)
        self.files.close(self.handle)
        self.files.unlock(self.files.handle)
        with contextlib.suppress(OSError):
            if self.files.is_named:
                self.files.let_go()

    def _write(self, signature: LockSignature | None) -> None:
        write_all(self.files, self.handle, 0, encode_signature(signature))
        self.files.sync(self.handle)


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
    return _own_lock(held)


def _own_lock(held: HeldDirectory) -> WriterLock:
    """LOCK, locked, and of this directory alone."""
    path = held.directory / LOCK
    try:
        lock = held.open(path, "write")
    except FileNotFoundError:
        lock = held.open(path, "create")
        known = False
    else:
        known = True
    try:
        mine = held.lock(lock)
        status = held.status(lock)
        signature = _signature(held, lock)
        if not mine and not (status.links > 1 and _is_elsewhere(held, signature)):
            raise _locked(held, signature)
    except BaseException:
        held.close(lock)
        raise
    numbers = numbers_of(held, lock) if known else None
    if status.links == 1:
        return WriterLock(held, lock, FoundLock(numbers, signature))
    if mine:
        held.unlock(lock)
    held.close(lock)
    if signature is not None:  # of all that it says only this will not be so
        signature = msgspec.structs.replace(signature, lock=None)
    lock = _fresh_lock(held, path, signature)
    return WriterLock(held, lock, FoundLock(numbers, signature))


def _fresh_lock(held: HeldDirectory, path: Path, said: LockSignature | None) -> Handle:
    """A LOCK that no other directory has, in the place of the one that others have, too."""
    temporary = temporary_of(path)
    lock = held.open(temporary, "create")
    held.lock(lock)
    write_all(held, lock, 0, encode_signature(said))
    held.sync(lock)
    held.rename(temporary, path)
    held.sync_dir(held.directory)
    return lock


def _is_elsewhere(held: HeldDirectory, signature: LockSignature | None) -> bool:
    """Whether the writer that has the shared LOCK says that it has another directory."""
    own = numbers_of(held, held.handle)
    return signature is not None and signature.directory not in (None, own)


def _signature_of_name(held: HeldDirectory) -> LockSignature | None:
    try:
        lock = held.open(held.directory / LOCK, "read")
    except OSError:
        return None
    try:
        return _signature(held, lock)
    finally:
        held.close(lock)


def _signature(held: HeldDirectory, lock: Handle) -> LockSignature | None:
    return read_signature(held.read(lock, 0, SIGNATURE_BYTES))


def _locked(held: HeldDirectory, signature: LockSignature | None) -> Locked:
    known = signature is not None and not _is_elsewhere(held, signature)
    who = f"process {signature.pid}" if signature is not None and known else "another process"
    return Locked(
        f"{held.directory} is open for writing by {who}",
        "use that one, or end it; reading needs no lock",
    )
