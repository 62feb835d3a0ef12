"""Which use of its inode a file is: that of a removed file is given again to a new one."""

import fcntl
import struct
import sys

_LONG = struct.Struct("l")
_GET_VERSION = 2 << 30 | _LONG.size << 16 | ord("v") << 8 | 1
"""`FS_IOC_GETVERSION` of <linux/fs.h>. ext4, xfs, btrfs and f2fs know it; tmpfs gives no inode
twice."""


def generation_of(descriptor: int) -> int:
    """Of the file or directory that is open there; 0 where the file system does not tell."""
    answer = bytearray(_LONG.size)
    try:
        fcntl.ioctl(descriptor, _GET_VERSION, answer)
    except OSError:
        return 0
    return int.from_bytes(answer[:4], sys.byteorder)
