"""Whether a device is a network file system, where locks and syncs promise too little.

It asks this machine, and where it does not say, everything counts as local.
"""

import os
from pathlib import Path
from typing import Final

_NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "gfs2", "gpfs", "lustre", "ncpfs", "nfs"}
    | {"nfs4", "ocfs2", "smb3", "smbfs"}
    | {"fuse.davfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
)


def network_of(device: int) -> str | None:
    """The type of the network file system that this device is, None for a local one."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        if before.split()[2] == wanted and after.split()[0] in _NETWORK:
            return after.split()[0]
    return None
