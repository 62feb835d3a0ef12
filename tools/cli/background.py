"""A broker that goes on when its caller ends: started again, detached, and watched until ready.

The new process has a session of its own, no terminal, its output in `logs/broker.log`, nothing of
what the caller ignores or blocks, and of the caller's descriptors none but one end of a pipe, on
which it says one line when it is ready and which it closes then. The end of that pipe without a
line means that it failed; then what it wrote to its log, and its exit code, are what the caller
passes on. So a pipe that a caller reads from ends with the caller's command.

The holders that the broker starts inherit nothing of this.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.runtime.broker_directory import BrokerDirectory
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.place import Place

LOG_TAIL_BYTES_MAX = 4 * 1024
"""What a failed start said last; the rest is in the log."""


class Ready(msgspec.Struct, frozen=True):
    """A broker that serves: its address, its directory, its process."""

    url: str
    directory: str
    pid: int
    port: int


class FailedStart(Exception):
    """The broker ended before it was ready; it has said why, for people."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code
        self.said = said


def start_detached(place: Place, options: Sequence[str]) -> Ready:
    """Run `ackbook up` with these options, detached; returns when it is ready.

    Raises `FailedStart` with its exit code and its words, when it ended instead, and `Failure`,
    with nothing started, where its directory cannot be made.
    """
    from ackbook.broker.runtime.system.inherited import forget, settle_in

    settle_in()  # a caller that ignores the ends of its children would not hear how this one ended
    log_handle = _log_of(place)
    read_end, write_end = os.pipe()
    with open(log_handle, "ab") as log, open(read_end, "rb") as answers:
        before = log.tell()
        try:
            process = subprocess.Popen(
                _command(place, (*options, "--ready-fd", str(write_end))),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(write_end,),
                start_new_session=True,
                cwd="/",
                preexec_fn=forget,
            )
        finally:
            os.close(write_end)
        try:
            answer = answers.readline()
        except KeyboardInterrupt:
            process.terminate()
            raise
        if answer:
            return msgspec.json.decode(answer, type=Ready)
        code = process.wait()
        said = _said_since(log.fileno(), before)
    raise FailedStart(code if code > 0 else ExitCode.NO, said)


def announce(ready_fd: int, ready: Ready) -> None:
    """The other side: say that this process is ready, and let go of the caller."""
    with open(ready_fd, "wb") as caller:
        caller.write(msgspec.json.encode(ready) + b"\n")


def keep_from_children(ready_fd: int) -> None:
    """Holders that are started before the broker is ready must not hold the pipe open."""
    os.set_inheritable(ready_fd, False)


def _command(place: Place, options: Sequence[str]) -> list[str]:
    """This program again, from wherever it was imported. `-P`: the working directory, which may
    well hold a folder called `journal`, is no place to import from."""
    return [sys.executable, "-P", "-m", "ackbook", "--dir", str(place.directory), "up", *options]


def _log_of(place: Place) -> int:
    from ackbook.broker.runtime.system.private_paths import NotPrivate, open_to_append

    try:
        here = BrokerDirectory(place.directory)
        here.make()
        return open_to_append(here.logs / "broker.log")
    except NotPrivate as wrong:
        what = f"cannot begin in {place.directory}: {wrong.what}"
        raise Failure(ExitCode.REFUSED, what, wrong.next_step) from None
    except OSError as problem:
        raise Failure(
            ExitCode.IO_ERROR,
            f"{place.directory} cannot be used ({problem.strerror})",
            "name a directory that can be written with --dir",
        ) from None


def _said_since(log: int, before: int) -> str:
    start = max(before, os.fstat(log).st_size - LOG_TAIL_BYTES_MAX)
    return os.pread(log, LOG_TAIL_BYTES_MAX, start).decode(errors="replace").strip()
