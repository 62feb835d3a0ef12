"""Process: one program in a pseudo-terminal of its own, from fork to the last of its descendants.

The program begins with every signal at its default, none blocked, the umask of its order, and no
descriptor but its three. It does not outlive this process: the kernel kills it when we die, and
when it is to end, everything in its session ends. Program and terminal are two things: a program
can die while an orphan keeps the terminal open, and can close its terminal and live on; both are
told apart here.

This module knows Linux: ptys, sessions, pidfds and `/proc`. It knows no messages and no loop.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import signal
import struct
import termios

import msgspec
from ptyprocess import PtyProcess

from ackbook.broker.runtime.system import inherited
from ackbook.broker.runtime.system.processes import kill_session, send_signal, session_members
from ackbook.broker.wire.frames import Launch

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that comes when the parent dies; Python has no name for it."""

IUTF8 = 0o40000
"""Lets the terminal itself delete a whole character; `termios` has no name for it here."""

TIOCGPTPEER = 0x5441
"""Opens the other side of a terminal without its name, which another mount may hide."""

READ_BYTES = 65_536
"""What is asked for at once; a terminal gives 4 KiB, whatever is asked for."""

_libc = ctypes.CDLL(None)


class CannotStart(Exception):
    """The program was not started; the message says why, for the one who asked for it."""


class Modes(msgspec.Struct, frozen=True):
    """How the terminal treats input: whole lines (`canonical`), and whether it shows it."""

    canonical: bool
    echo: bool


class ProgramExit(msgspec.Struct, frozen=True):
    """How a program ended: by `code` or by `signal`."""

    code: int | None = None
    signal: int | None = None


class TerminalProgram:
    """A running program and its terminal. `fd` is the terminal's master side, non-blocking.

    Making one starts the program. Raises `CannotStart` where the directory is not there, the
    command is no program, or the system does not start it.
    """

    def __init__(self, launch: Launch) -> None:
        argv = [_executable(launch), *launch.args]
        holder = os.getpid()

        def prepare() -> None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != holder:
                os._exit(1)
            inherited.forget()
            os.umask(launch.umask)
            attributes = termios.tcgetattr(0)
            attributes[0] |= IUTF8
            termios.tcsetattr(0, termios.TCSANOW, attributes)
            os.chdir(launch.cwd)

        env = {"TERM": "xterm-256color"} | launch.env
        try:
            spawned = PtyProcess.spawn(
                argv, env=env, preexec_fn=prepare, dimensions=(launch.rows, launch.cols)
            )
        except (OSError, ValueError) as error:
            raise CannotStart(f"cannot run {launch.command}: {error}") from error
        spawned.closed = True  # its finalizer would wait and kill by rules that are not ours
        self._spawned = spawned
        self.pid: int = spawned.pid
        self.fd: int = spawned.fd
        self.pidfd = os.pidfd_open(self.pid)
        self.exit: ProgramExit | None = None
        os.set_blocking(self.fd, False)

    def read(self) -> bytes | None:
        """Some output, empty when there is none now; None when nobody has the terminal open. At
        most `READ_BYTES` at once. Raises OSError for any other failure than a closed terminal."""
        try:
            return os.read(self.fd, READ_BYTES) or None
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return None

    def write(self, data: bytes) -> int:
        """How many of the bytes the terminal took now; 0 when it takes none, or is closed. Raises
        OSError for any other failure."""
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return 0

    def modes(self) -> Modes:
        local = termios.tcgetattr(self.fd)[3]
        return Modes(bool(local & termios.ICANON), bool(local & termios.ECHO))

    def unread(self) -> int | None:
        """Bytes that the program could read now: in line mode, those of whole lines.

        None when its side of the terminal cannot be opened, since it was hung up.
        """
        flags = os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            slave = fcntl.ioctl(self.fd, TIOCGPTPEER, flags)
        except OSError:
            return None
        try:
            (size,) = struct.unpack("i", fcntl.ioctl(slave, termios.FIONREAD, b"\0" * 4))
        finally:
            os.close(slave)
        return int(size)

    def resize(self, rows: int, cols: int) -> None:
        self._spawned.setwinsize(rows, cols)

    def front(self) -> int:
        """The process group that the terminal belongs to now; 0 when to none."""
        try:
            return max(0, os.tcgetpgrp(self.fd))
        except OSError:
            return 0

    def reap(self) -> ProgramExit | None:
        """How the program ended; None while it lives.

        What is left of it is not collected before the holder itself ends, so that its pid, which is
        the name of its session, cannot come to mean somebody else's.
        """
        if self.exit is None:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None:
                code = ended.si_status
                by_code = ended.si_code == os.CLD_EXITED
                self.exit = ProgramExit(code=code) if by_code else ProgramExit(signal=code)
        return self.exit

    def hang_up(self) -> None:
        """Ask everything in the session to end, as a closed terminal does."""
        self._signal(signal.SIGHUP)
        self._signal(signal.SIGCONT)

    def kill(self) -> bool:
        """End everything in the session. False when there was nothing left to end."""
        return kill_session(self.pid)

    def _signal(self, number: signal.Signals) -> None:
        send_signal(number, session_members(self.pid))


def _executable(launch: Launch) -> str:
    if not os.path.isdir(launch.cwd):
        raise CannotStart(f"no such directory: {launch.cwd}")
    command = launch.command
    if os.sep in command:
        command = os.path.join(launch.cwd, command)
    found = shutil.which(command, path=launch.env.get("PATH", os.defpath))
    if found is None:
        raise CannotStart(f"command not found or not executable: {launch.command}")
    return os.path.join(launch.cwd, found)
