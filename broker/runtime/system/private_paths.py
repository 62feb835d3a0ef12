"""Private paths: a directory that is its user's alone, and files in it that no link leads astray.

A name can be trusted when nobody else can make it mean something else. So every directory that is
looked into on the way to one has to belong to this user or to root, and nobody else may write to
it; the sticky bit, as `/tmp` has it, makes up for that, since what is one's own can be moved by
nobody else there. The directory itself has to be this user's, whoever trusts its group. Who may
only read it is no danger: everything in it is made for its owner alone.

It is the answer of a moment. Where all this holds, only this user and root can make it another one.
"""

from __future__ import annotations

import functools
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LINKS_MAX = 40
"""As many as the kernel follows on the way to one name."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_WHOLE_MAP = ("0", "0", str((1 << 32) - 1))


class NotPrivate(OSError):
    """Somebody else could put something of theirs in the place of this: what, and the next step. To
    whoever only wants to write there it is one more reason why that is not possible."""

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(f"{what}; {next_step}")
        self.what = what
        self.next_step = next_step


def check_private(directory: Path) -> None:
    """Look at a directory, which may not be there yet, and at every level above it.

    Raises `NotPrivate` for the first that is somebody else's or that somebody else may write to,
    and OSError where a level cannot be looked at.
    """
    for level, found in _levels(directory):
        if level == directory and not stat.S_ISLNK(found.st_mode):
            continue  # the strict look comes below
        if not _is_trusted(found.st_uid):
            raise _of_somebody_else(level, found)
        if stat.S_ISDIR(found.st_mode) and _is_open(found):
            raise _open_to_others(level)
    with suppress(FileNotFoundError):
        check_own(directory, os.stat(directory))


def check_own(directory: Path, found: os.stat_result) -> None:
    """The strict look, at a directory that holds what nobody else is to touch. Raises
    `NotPrivate`."""
    if not stat.S_ISDIR(found.st_mode):
        raise NotPrivate(f"{directory} is no directory", "move it away, or name another place")
    if found.st_uid != os.geteuid():
        raise _of_somebody_else(directory, found)
    if found.st_mode & _OTHERS_WRITE:
        raise _open_to_others(directory)


def make_private(directory: Path) -> None:
    """A directory in a private one: made, or, where it is there, looked at strictly and closed to
    readers. Raises `NotPrivate`, also for a link, and OSError."""
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise _a_link(directory)
    check_own(directory, found)
    if stat.S_IMODE(found.st_mode) != 0o700:
        directory.chmod(0o700)


def open_to_append(path: Path) -> int:
    """A descriptor of a file of ours, to append to and to read, made where it is not there.

    One that has further names is left to them, and a new one begun, so that nothing is written into
    a copy that was made by linking. Raises `NotPrivate` for a link and for what is no file of this
    user's, and OSError.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
    handle = _opened(path, flags)
    if os.fstat(handle).st_nlink > 1:
        os.close(handle)
        path.unlink()
        handle = _opened(path, flags)
    return handle


def read_private(path: Path) -> bytes:
    """What a file of ours says. Raises `NotPrivate` as `open_to_append` does, and OSError."""
    with open(_opened(path, os.O_RDONLY), "rb") as file:
        return file.read()


def _opened(path: Path, flags: int) -> int:
    """Nothing waits here: a pipe in the place of a file is refused, and not listened to."""
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError:
        if path.is_symlink():
            raise _a_link(path) from None
        if path.exists() and not path.is_file():
            raise _no_file(path) from None
        raise
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
        return handle
    os.close(handle)
    if stat.S_ISREG(found.st_mode):
        raise _of_somebody_else(path, found)
    raise _no_file(path)


def _levels(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """What is looked into, or followed, on the way to a path: each as far as it is there."""
    waiting = list(reversed(Path(os.path.abspath(path)).parts[1:]))
    here, links = Path("/"), 0
    with suppress(FileNotFoundError, NotADirectoryError):
        yield here, here.lstat()
        while waiting:
            name = waiting.pop()
            if name == "..":
                here = here.parent
                continue
            level = here / name
            found = level.lstat()
            yield level, found
            if not stat.S_ISLNK(found.st_mode):
                here = level
                continue
            links += 1
            if links > LINKS_MAX:
                raise NotPrivate(f"{path} is a circle of links", "name another place")
            target = Path(os.readlink(level))
            here = Path("/") if target.is_absolute() else here
            waiting += reversed([part for part in target.parts if part != "/"])


def _is_open(level: os.stat_result) -> bool:
    """Whether somebody else may move what stands in this directory."""
    if level.st_mode & stat.S_ISVTX:
        return False
    if level.st_mode & stat.S_IWOTH:
        return True
    return bool(level.st_mode & stat.S_IWGRP) and not _is_group_of_one(level.st_gid, os.geteuid())


def _is_trusted(uid: int) -> bool:
    return uid in (os.geteuid(), 0) or uid == _unmapped()


@functools.cache
def _unmapped() -> int:
    """Whom a user namespace shows as the owner of what none of its own users owns, root of the
    machine among them; -1 where every user is shown."""
    with suppress(OSError, ValueError):
        if tuple(Path("/proc/self/uid_map").read_text().split()) != _WHOLE_MAP:
            return int(Path("/proc/sys/kernel/overflowuid").read_text())
    return -1


@functools.cache
def _is_group_of_one(gid: int, uid: int) -> bool:
    """Whether this user is the only one in the group, as in systems that give each user one."""
    try:
        members = {pwd.getpwnam(name).pw_uid for name in grp.getgrgid(gid).gr_mem}
    except KeyError:
        return False
    return members | {each.pw_uid for each in pwd.getpwall() if each.pw_gid == gid} == {uid}


def _of_somebody_else(path: Path, found: os.stat_result) -> NotPrivate:
    return NotPrivate(
        f"{path} belongs to {_user(found.st_uid)}, and this is {_user(os.geteuid())}",
        "name a directory of your own with --dir, or act as its owner",
    )


def _open_to_others(path: Path) -> NotPrivate:
    return NotPrivate(
        f"{path} can be written by other users, who could change what stands in it",
        f"close it with: chmod go-w {_quoted(path)} (or name another directory with --dir)",
    )


def _a_link(path: Path) -> NotPrivate:
    return NotPrivate(f"{path} is a link to another place", f"remove it: rm {_quoted(path)}")


def _no_file(path: Path) -> NotPrivate:
    return NotPrivate(f"{path} is no plain file", "move it away")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
