"""The app: one broker in this process, and the exit code that tells how it ended.

`serve` is what `ackbook up` calls. It turns everything that can stand in the way of a broker into
one line on stderr, with the next step, and an exit code; what happens on the loop is in
`broker_run`.
"""

from __future__ import annotations

import asyncio
import errno
import importlib
import logging
import os
import resource
import secrets
import signal
import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable, Collection
from pathlib import Path

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.journal_endings import error_at_a_shell, exit_code_of
from ackbook.broker.runtime.api.server import listen
from ackbook.broker.runtime.broker_directory import BrokerDirectory
from ackbook.broker.runtime.broker_run import BrokerRun
from ackbook.broker.runtime.maintenance.snapshot_schedule import Upkeep
from ackbook.broker.runtime.run_settings import NotForAgents, Settings
from ackbook.broker.runtime.system import inherited
from ackbook.broker.runtime.system.package_version import RUNNING
from ackbook.broker.runtime.system.private_paths import NotPrivate
from ackbook.broker.runtime.system.shortage import NO_THREAD
from ackbook.broker.wire.connection import Connection
from ackbook.broker.wire.frames import UMASK
from ackbook.journal import Files, JournalError, Locked, OsFiles
from ackbook.projections.facts import Policy

KEY_NAME = "RELAY_BROKER_API_KEY"

DESCRIPTORS_MIN = 64
"""A broker alone has about twenty; each agent takes three, each client one."""

SWITCH_S = 0.0005
"""A thread that reads the journal gives way to the loop after this, ten times sooner than usual."""


def serve(
    directory: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    instance: str = "",
    respawn: bool = False,
    policy: Policy | None = None,
    named: Collection[str] | None = None,
    ready: Callable[[Connection], None] | None = None,
    upkeep: Upkeep | None = None,
    files: Files | None = None,
    umask: int = UMASK,
    token: str = "",
    session: int = 0,
) -> ExitCode:
    """Run a broker until it is told to end, and return the exit code of the process.

    `directory` is made where it is missing and holds everything of this broker. `port` 0 is any
    free one. `respawn` starts again the agents that ended with their broker or machine. `policy`
    are numbers of delivery, and `named` its keys that are set: all others stay as the journal has
    them. Without `named` a policy sets all, and without a policy nothing is set. `ready` is called
    once, on the loop, when the journal is replayed, holders are adopted, and requests are answered;
    without it a line on stdout says so. `upkeep` says when a snapshot or a compaction is due.
    `files` is the journal's door to the disk; None: the real one. `umask` is what programs begin
    with, whatever that of this process is. `token` and `session` are those it is started with: by
    them it may be an agent's, and agents set no policy that the policy does not let them set.

    The process must have no other thread yet: what its caller ignores or blocks is not inherited.

    DONE: a graceful end. NO: the port is taken. LOCKED: another broker has the directory. REFUSED:
    it is not this user's alone. IO_ERROR: the machine refuses, or the disk failed while it ran.
    Else what the journal's error says.
    """
    inherited.settle_in()
    place = BrokerDirectory(directory)
    if few := _too_few_files():
        return _refuse(few, ExitCode.IO_ERROR)
    try:
        place.make()
        listener = listen(host, port)
    except NotPrivate as wrong:
        return _refuse(f"cannot begin in {place.directory}: {wrong}", ExitCode.REFUSED)
    except OSError as error:
        return _cannot_begin(place, host, port, error)
    settings = Settings(
        host=host,
        key=os.environ.get(KEY_NAME, "").strip() or f"br_{secrets.token_hex(16)}",
        version=RUNNING,
        instance=instance,
        policy=policy or Policy(),
        named=_named(policy, named),
        respawn=respawn,
        upkeep=upkeep or Upkeep(),
        files=files,
        umask=umask,
        token=token,
        session=session,
    )
    return _run(place, BrokerRun(place, settings, listener, ready or _say_ready))


def _too_few_files() -> str:
    """What is to be said where this process may not open enough files; else empty."""
    if (few := resource.getrlimit(resource.RLIMIT_NOFILE)[0]) >= DESCRIPTORS_MIN:
        return ""
    said = f"only {few} files may be open at once, and a broker needs {DESCRIPTORS_MIN}"
    return f"{said}; allow more with: ulimit -n 1024"


def _run(place: BrokerDirectory, life: BrokerRun) -> ExitCode:
    """Run it on a loop of its own, to its end."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    sys.setswitchinterval(SWITCH_S)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_live(life))
    except NotForAgents as wrong:
        return _refuse(f"cannot begin in {place.directory}: {wrong}", ExitCode.REFUSED)
    except (JournalError, OSError, MemoryError, RuntimeError) as error:
        return _cannot_go_on(place, error)
    return ExitCode.DONE


def _named(policy: Policy | None, named: Collection[str] | None) -> tuple[str, ...]:
    """The keys that a start sets, each once and in the order of the policy."""
    if policy is None:
        return ()
    return tuple(key for key in Policy.__struct_fields__ if named is None or key in named)


async def _live(life: BrokerRun) -> None:
    """The life of a broker, until it ends by itself or a signal ends it."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, life.stop, "signal")
    await life.run()


def _cannot_go_on(
    place: BrokerDirectory, error: JournalError | OSError | MemoryError | RuntimeError
) -> ExitCode:
    match error:
        case Locked():
            return _refuse(f"{_another(place)} ({error.what})", ExitCode.LOCKED)
        case JournalError():
            return _refuse(error_at_a_shell(error), exit_code_of(error))
        case RuntimeError():
            if str(error) != NO_THREAD:
                raise error
            return _refuse(
                f"the broker cannot go on: {error}; is there enough memory?", ExitCode.IO_ERROR
            )
        case _:
            return _refuse(f"the broker cannot go on: {error_at_a_shell(error)}", ExitCode.IO_ERROR)


def _cannot_begin(place: BrokerDirectory, host: str, port: int, error: OSError) -> ExitCode:
    """A second broker with the same port is told about the first one, not about the port."""
    if error.errno != errno.EADDRINUSE:
        return _refuse(f"cannot begin in {place.directory}: {error}", ExitCode.IO_ERROR)
    if OsFiles().locked(place.journal / "LOCK"):
        return _refuse(_another(place), ExitCode.LOCKED)
    said = f"port {port} on {host} is in use; choose another one with --port, or 0 for any"
    return _refuse(said, ExitCode.NO)


def _another(place: BrokerDirectory) -> str:
    return (
        "another broker instance is already running in this directory"
        f" ({place.directory}); end it with: ackbook down --dir {place.directory}"
    )


def _refuse(message: str, code: ExitCode) -> ExitCode:
    sys.stderr.write(f"ackbook: {message}\n")
    return code


def _say_ready(connection: Connection) -> None:
    sys.stdout.write(f"{connection.url} {connection.directory} pid {connection.pid}\n")
    sys.stdout.flush()


def _loop_factory() -> Callable[[], AbstractEventLoop] | None:
    """The faster loop where it is installed and can be loaded."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return None
    factory: Callable[[], AbstractEventLoop] = uvloop.new_event_loop
    return factory
