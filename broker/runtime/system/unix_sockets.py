"""Unix sockets by paths of any length, since a directory is named by its user and not by us.

A socket address holds 107 bytes. A longer path is reached through a descriptor of its directory,
`/proc/self/fd/N/name`, which both sides do here, so that they agree. A socket is made with mode
0600 from its first moment. This module knows nothing of what is said over a socket.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import struct
from collections.abc import Iterator

ADDRESS_BYTES_MAX = 107
"""`sun_path` has 108 bytes on Linux, the last one a NUL."""

BACKLOG = 8
"""Connections that wait to be accepted; a holder has one broker at a time."""

_INT = 4
"""Of `struct ucred` in bytes: a pid, a user and a group."""


def listen(path: str, backlog: int = BACKLOG) -> socket.socket:
    """A listening socket at `path`, for its owner only. Raises OSError when somebody is there.

    `backlog`: who may wait there to be let in; others are turned away. The remains of a holder that
    is gone are removed: nobody listens there, so nobody misses them.
    """
    if is_left(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o600)
        with address(path) as name:
            listener.bind(name)
        listener.listen(backlog)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def connect(path: str) -> socket.socket:
    """A connected, non-blocking socket. Raises OSError (FileNotFoundError, ConnectionRefusedError).

    A connect to a local socket waits only while the backlog of the other side is full.
    """
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.settimeout(5)
        with address(path) as name:
            link.connect(name)
        link.setblocking(False)
    except BaseException:
        link.close()
        raise
    return link


def listener_of(path: str) -> int:
    """The pid of the process that began to listen at `path`, as the kernel knows it. Raises
    OSError: nobody is there, or it is another user (EPERM), who could have put it there for us."""
    with contextlib.closing(connect(path)) as link:
        pid, user = peer_of(link)
    if user not in (os.geteuid(), 0):
        raise PermissionError(errno.EPERM, "another user listens here", path)
    return pid


def peer_of(link: socket.socket) -> tuple[int, int]:
    """The process at the other end, as the kernel knows it, and its user: the one that connected,
    or that began to listen. Its pid may be another's by now. Raises OSError."""
    answer = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 3 * _INT)
    pid, user, _ = struct.unpack("iII", answer)
    return pid, user


def kill_listener(path: str) -> None:
    """Kill the process that listens at `path`, whether or not it answers. Raises OSError."""
    os.kill(listener_of(path), signal.SIGKILL)


@contextlib.contextmanager
def address(path: str) -> Iterator[str]:
    """A name of `path` that fits a socket address, good inside the block."""
    if len(os.fsencode(path)) <= ADDRESS_BYTES_MAX:
        yield path
        return
    directory, name = os.path.split(path)
    held = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{held}/{name}"
    finally:
        os.close(held)


def is_left(path: str) -> bool:
    """Whether a socket is there on which nobody listens any more. Who could not be asked may."""
    try:
        connect(path).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False
