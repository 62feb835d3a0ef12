"""Runs a blocking commit for callers who live on a loop: at once when that is quick, else on one
thread that lives as long as the log.

A sync that takes less than a handful of wake-ups of a thread is cheapest right where it is asked
for, as long as nothing else waits for the loop; a slow disk or a busy loop gets the thread. The
choice follows the running mean of the last syncs. Whoever waits may be cancelled; the commit is
not. This module knows nothing of records.
"""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Final

INLINE_US_MAX: Final = 300
"""Twice what the way to a thread and back costs a loop."""

_MEAN_WEIGHT: Final = 0.1


class MeanSync:
    """The running mean of what a sync takes, in microseconds."""

    __slots__ = ("microseconds",)

    def __init__(self) -> None:
        self.microseconds = 0.0

    def add(self, microseconds: int) -> None:
        if self.microseconds == 0.0:
            self.microseconds = float(microseconds)
        else:
            self.microseconds += _MEAN_WEIGHT * (microseconds - self.microseconds)

    @property
    def is_quick(self) -> bool:
        return self.microseconds < INLINE_US_MAX


class Committer:
    """One writer thread, started when it is first needed and when there is one to be had."""

    __slots__ = ("_jobs", "_thread")

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def submit(self, commit: Callable[[], object]) -> "asyncio.Future[None]":
        """Run it on the thread. The future is done, on the loop that asks, when it returned or
        raised; cancelling the future changes nothing but who is told."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def job() -> None:
            failure: BaseException | None = None
            try:
                commit()
            except BaseException as error:
                failure = error
            try:
                loop.call_soon_threadsafe(_settle, done, failure)
            except RuntimeError:
                # The loop is closed: nobody is left who could be told, and the disk has it.
                return

        self._run_soon(job)
        return done

    def lend(self, step: Callable[[], bool]) -> None:
        """Call `step` on the thread until it says False. A commit that is submitted meanwhile
        waits for one step at most."""

        def job() -> None:
            if step():
                self._run_soon(job)

        self._run_soon(job)

    def close(self) -> None:
        """Wait for what was submitted and end the thread."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _run_soon(self, job: Callable[[], None]) -> None:
        """On the thread; right here where the machine has none to give, which is slower."""
        if self._thread is None:
            thread = Thread(target=self._run, name="journal-writer", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                job()
                return
            self._thread = thread
        self._jobs.put(job)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _settle(done: "asyncio.Future[None]", failure: BaseException | None) -> None:
    if done.cancelled():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)
