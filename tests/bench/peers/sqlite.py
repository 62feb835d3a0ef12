"""SQLite with a group-commit thread, and persist-queue, both inside this process.

SQLite gets what it is given credit for elsewhere: a write-ahead log, `synchronous=FULL`, and one
thread that makes a transaction of everything that waits. persist-queue is used as its documentation
shows it, from as many threads as there are producers.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from ..loops import run
from . import VALUE, Missing, Peer

Waiting = tuple[bytes, "asyncio.Future[None]"]


class _GroupCommit:
    def __init__(self, path: Path) -> None:
        self.version = f"SQLite {sqlite3.sqlite_version}"
        self.pids = [os.getpid()]
        self._path = path

    def run(self, producers: int, records: int) -> float:
        return run(self._produce(producers, records))

    async def _produce(self, producers: int, records: int) -> float:
        loop = asyncio.get_running_loop()
        waiting: SimpleQueue[Waiting | None] = SimpleQueue()
        thread = Thread(target=self._commit, args=(loop, waiting), daemon=True)
        thread.start()

        async def one() -> None:
            for _ in range(records // producers):
                done = loop.create_future()
                waiting.put((VALUE, done))
                await done

        begun = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(producers)))
        took = time.perf_counter() - begun
        waiting.put(None)
        await asyncio.to_thread(thread.join)
        return records // producers * producers / took

    def _commit(
        self, loop: asyncio.AbstractEventLoop, waiting: SimpleQueue[Waiting | None]
    ) -> None:
        base = sqlite3.connect(self._path, isolation_level=None)
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        base.execute("CREATE TABLE IF NOT EXISTS q (id INTEGER PRIMARY KEY, v BLOB)")
        while first := waiting.get():
            group = [first]
            while not waiting.empty() and (other := waiting.get()) is not None:
                group.append(other)
            base.execute("BEGIN")
            base.executemany("INSERT INTO q (v) VALUES (?)", [(value,) for value, _ in group])
            base.execute("COMMIT")
            loop.call_soon_threadsafe(_tell, [done for _, done in group])
        base.close()


def _tell(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        waiter.set_result(None)


class _PersistQueue:
    def __init__(self, path: Path) -> None:
        try:
            self._library = importlib.import_module("persistqueue")
        except ImportError as error:
            raise Missing("persist-queue is not installed") from error
        self.version = f"persist-queue {self._library.__version__}"
        self.pids = [os.getpid()]
        self._path = path

    def run(self, producers: int, records: int) -> float:
        queue = self._library.SQLiteQueue(str(self._path), auto_commit=True, multithreading=True)

        def one(_: int) -> None:
            for _ in range(records // producers):
                queue.put(VALUE)

        with ThreadPoolExecutor(producers) as threads:
            begun = time.perf_counter()
            list(threads.map(one, range(producers)))
            return records // producers * producers / (time.perf_counter() - begun)


@contextmanager
def sqlite(directory: Path) -> Iterator[Peer]:
    yield _GroupCommit(directory / "group.db")


@contextmanager
def persist_queue(directory: Path) -> Iterator[Peer]:
    yield _PersistQueue(directory / "queue")
