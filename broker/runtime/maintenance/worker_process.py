"""Workers: processes that do for the broker what must not take time from its loop.

A worker reads files, may leave new ones, and answers on standard output. It begins in the journal's
directory itself, since the path may mean another one by the time it looks. It inherits no
descriptor but its three and nothing of ours that is secret, has a session of its own, so that
neither Ctrl-C nor a terminal that is closed ends it, has a limited time, and is ended when its
broker ends. Its failure is an exception for whoever wanted the work, and nothing else.

Workers look after themselves when their broker is killed: they end when their parent changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence

from ackbook.broker.core.limits import ERROR_BYTES_MAX
from ackbook.broker.journal_endings import step_at_a_shell
from ackbook.broker.runtime.agents.holder_launch import clean_environment
from ackbook.broker.runtime.system.package_version import explained
from ackbook.journal.maintenance.handed_over import WORKS_HERE
from ackbook.journal.maintenance.worker_failure import read_failure
from ackbook.journal.storage.held_directory import HeldDirectory

WORK_S_MAX = 900.0
"""A snapshot of ten million records takes minutes where it is the first one."""

ANSWER_BYTES_MAX = 1024 * 1024
"""Buffered of an answer; a worker that says more waits until it is read."""

SAID_CHARS_MAX = 500
"""Of what a worker said on standard error before it failed."""


class WorkFailed(Exception):
    """The work was not done; the message says why, for operators."""


def wording(error: object) -> str:
    """What went wrong, as it may stand in a record: short, and text whatever a path is made of."""
    return str(error).encode(errors="replace")[:ERROR_BYTES_MAX].decode(errors="ignore")


async def work(command: Sequence[str], within: HeldDirectory | None = None) -> bytes:
    """Run a worker to its end; its answer. `within` is the directory that it works in, whatever
    the command calls it. Raises `WorkFailed` where it could not be started, was not done in time
    (`WORK_S_MAX`), or failed, with what it said; nothing of it runs on then."""
    place, own = "/", {}
    if within is not None:
        place, own = str(within.within(within.directory)), {WORKS_HERE: "1"}
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=place,
            env=clean_environment(os.environ) | own,
            start_new_session=True,
            limit=ANSWER_BYTES_MAX,
        )
    except OSError as error:
        raise WorkFailed(explained(f"it could not be started: {error}")) from error
    try:
        async with asyncio.timeout(WORK_S_MAX):
            answer, said = await process.communicate()
    except TimeoutError:
        raise WorkFailed(f"it was not done after {WORK_S_MAX:.0f} s") from None
    finally:
        await _end(process)
    if process.returncode != 0:
        raise WorkFailed(explained(_why(said) or f"it ended with {process.returncode}"))
    return answer


def _why(said: bytes) -> str:
    """A worker of the journal says it in parts; another one, or an interpreter, in words."""
    failure = read_failure(said)
    if failure is not None:
        following = f". Next: {step_at_a_shell(failure.next)}" if failure.next else ""
        return f"{failure.what}{following}"
    return said.decode(errors="replace").strip().replace("\n", "; ")[-SAID_CHARS_MAX:]


async def _end(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
