"""Launch: start the process that will hold a terminal, with nothing of ours in its hands.

The holder runs in a session of its own, inherits no descriptor but its three, and begins in the
broker's directory, which it then holds open itself. It reads its order from standard input, which
this side keeps open: a broker that dies closes it by dying, and a holder that was not named by then
ends itself. Environment values travel on that pipe alone. `Popen` is used as it is, since on Linux
it does not copy the address space.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ackbook.broker.runtime.system.home import Home
from ackbook.broker.runtime.system.private_paths import open_to_append
from ackbook.broker.runtime.system.shortage import shortage
from ackbook.broker.wire import frames
from ackbook.broker.wire.frames import SHORT, Launch

START_S_MAX = 20.0
"""A holder needs about 0.2 s; this is for a machine that is busy with something else."""

LOOK_S = 0.05
"""How often an end is looked for where nothing tells of it."""

ANSWER_BYTES_MAX = 64 * 1024
"""The one line that a holder says on standard output."""


PRIVATE_NAMES = frozenset(
    {
        "RELAY_BROKER_API_KEY",
        "RELAY_API_KEY",
        "RELAY_AGENT_TOKEN",
        "RELAY_AGENT_RESULT_TOKEN",
        "RELAY_AGENT_NAME",
        "RELAY_WORKSPACE_KEY",
        "ACKBOOK_DIR",
    }
)
"""The broker's key, its own place and name where it runs inside an agent, and agents' tokens."""


class LaunchFailed(Exception):
    """The program could not be started; the message says why, for whoever asked for it."""


class NoHolder(LaunchFailed):
    """Not even the holder's own process came to life, whatever the program is."""


class NoResources(LaunchFailed):
    """The machine has nothing to run it with now; later it may. The message says what is short."""


class Launched:
    """A holder's process that was started here, and the pipe that keeps it while unnamed.

    It is our child, and is collected at once when it has ended, whatever else has to wait then.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._ended = asyncio.Event()
        self.pid = process.pid
        self._watch()

    def release(self) -> None:
        """Let go of the pipe. A holder that was not named ends itself."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    async def abandon(self) -> None:
        """The agent is not to be: end the holder, and with it its program."""
        self.release()
        self.process.terminate()
        try:
            await asyncio.wait_for(self._ended.wait(), START_S_MAX)
        except TimeoutError:
            self.process.kill()
            await self._ended.wait()

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:  # no descriptor is free now
            loop.call_later(LOOK_S, self._look)
        else:
            loop.add_reader(handle, self._over, handle)

    def _look(self) -> None:
        if self.process.poll() is None:
            self._watch()
        else:
            self._ended.set()

    def _over(self, handle: int) -> None:
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)
        self.process.poll()
        self._ended.set()


async def launch(order: Launch, log: Path, home: Home) -> Launched:
    """Start a holder and wait until it says that its program runs and its socket listens. `home` is
    the directory that the order and `log` are named in.

    Raises `LaunchFailed` with the holder's own words (`command not found: ...`), `NoHolder` where
    it had none, and `NoResources`.
    """
    launched = Launched(_begin(home.inside(log), home))
    process = launched.process
    try:
        await asyncio.to_thread(_tell, process, frames.encode(order))
        answer = await asyncio.wait_for(_first_line(process), START_S_MAX)
    except (OSError, TimeoutError, RuntimeError) as error:
        await launched.abandon()
        if what := shortage(error):
            raise NoResources(what) from error
        raise NoHolder(f"the holder did not start; see {log}") from error
    except BaseException:
        await asyncio.shield(launched.abandon())
        raise
    if answer != "ready":
        await launched.abandon()
        if answer.startswith(SHORT):
            raise NoResources(answer.removeprefix(SHORT))
        if not answer.startswith("error:"):
            raise NoHolder(f"the holder died; see {log}")
        raise LaunchFailed(answer.removeprefix("error:").strip())
    return launched


def _begin(log: Path, home: Home) -> subprocess.Popen[bytes]:
    """The process, which waits for its order."""
    try:
        with open(open_to_append(log), "ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "ackbook.broker.runtime.holder"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=home.here,
                env=clean_environment(os.environ),
                start_new_session=True,
                close_fds=True,
            )
    except OSError as error:
        if what := shortage(error):
            raise NoResources(what) from error
        said = str(error).replace(str(home.here), str(home.directory))
        raise NoHolder(f"the holder did not start: {said}") from error


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What programs may inherit: all but the keys and the identity that are this broker's own."""
    return {name: value for name, value in environment.items() if name not in PRIVATE_NAMES}


def _tell(process: subprocess.Popen[bytes], order: bytes) -> None:
    """In a thread, since an environment may be larger than a pipe holds."""
    assert process.stdin is not None
    process.stdin.write(order)
    process.stdin.flush()


async def _first_line(process: subprocess.Popen[bytes]) -> str:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=ANSWER_BYTES_MAX)
    assert process.stdout is not None
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), process.stdout
    )
    try:
        return (await reader.readline()).decode(errors="replace").strip()
    finally:
        transport.close()
