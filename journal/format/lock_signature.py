"""What stands in LOCK: who has it, and which files it was signed among.

```
{"pid":4711,"epoch":3,"directory":[2049,11,7],"lock":[2049,12,9],"tail":[31742,2049,17]}    \\n
```
256 bytes, spaces before the newline, so that it is written in one piece and never cut short. The
numbers are the device, the inode and its generation, of the directory and of LOCK itself; those of
the tail are the first seq in it, the device and the inode. A copy of a journal has other numbers
than the LOCK in it says: where a copy takes the place of what was removed, inodes are often the
same ones, and their generations are not.
"""

from typing import Final

import msgspec
from msgspec import Struct

from ackbook.journal.format.record import UNREADABLE
from ackbook.journal.storage.files import Files, Handle

SIGNATURE_BYTES: Final = 256
"""More than the longest one takes, and what a version that only reads who has it reads."""

FileNumbers = tuple[int, int, int]
"""A device, an inode, and which use of the inode it is."""


class LockSignature(Struct, frozen=True, omit_defaults=True):
    """A field that is None says nothing: an older version signed, or the tail is being copied."""

    pid: int
    epoch: int = 0
    directory: FileNumbers | None = None
    lock: FileNumbers | None = None
    tail: tuple[int, int, int] | None = None


def numbers_of(files: Files, handle: Handle) -> FileNumbers:
    """Which file or directory this is, as it is signed. Raises `OSError`."""
    status = files.status(handle)
    return status.device, status.inode, files.generation(handle)


def encode_signature(signature: LockSignature | None) -> bytes:
    """What to write into LOCK; for None what says nothing of anybody."""
    content = b"" if signature is None else msgspec.json.encode(signature)
    assert len(content) < SIGNATURE_BYTES, "numbers of files are of 64 bits"
    return content.ljust(SIGNATURE_BYTES - 1) + b"\n"


def read_signature(content: bytes) -> LockSignature | None:
    """What a LOCK says; None where it says nothing that can be understood."""
    try:
        return msgspec.json.decode(content[:SIGNATURE_BYTES], type=LockSignature)
    except UNREADABLE:
        return None
