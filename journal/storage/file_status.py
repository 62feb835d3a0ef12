"""File status: which file it is, whatever it is called by now."""

import fcntl
import os
import struct
import sys
from typing import Literal, NamedTuple

EntryKind = Literal["file", "directory", "other"]
"""Of what a name stands for, links followed; a pipe or a link into nowhere is an `other`."""

_LONG = struct.Struct("l")
_GET_VERSION = 2 << 30 | _LONG.size << 16 | ord("v") << 8 | 1
"""`FS_IOC_GETVERSION` of <linux/fs.h>: the generation of an inode. ext4, xfs, btrfs and f2fs know
one; tmpfs gives no inode twice."""


class FileStatus(NamedTuple):
    """What a file or directory is, whatever it is called; `links` are the names that it has."""

    device: int
    inode: int
    links: int

    def is_same(self, other: "FileStatus | None") -> bool:
        """Whether both are of one file: at a time, no two have the same numbers."""
        return other is not None and self[:2] == other[:2]


def generation_of(descriptor: int) -> int:
    """Which use of its inode the file or directory is that is open there; 0 where the file system
    does not tell."""
    answer = bytearray(_LONG.size)
    try:
        fcntl.ioctl(descriptor, _GET_VERSION, answer)
    except OSError:
        return 0
    return int.from_bytes(answer[:4], sys.byteorder)


def kind_of(entry: os.DirEntry[str]) -> EntryKind:
    """What a name in a directory stands for."""
    if entry.is_file():
        return "file"
    return "directory" if entry.is_dir() else "other"
