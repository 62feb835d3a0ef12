"""Compactions whose process is killed: without a broker, with one, and the worker that packs.

Whatever moment it was, every question has the answer that it had before, the next start tidies up,
and the next compaction comes to its end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from ackbook.broker.core.commands import Send
from ackbook.journal import Limits, Reader, verify
from tests.support.brokers import Running, idle
from tests.support.histories import archives
from tests.support.holders import eventually
from tests.support.machine import processes
from tests.support.past import Past, a_busy_day
from tests.support.shell import ACKBOOK, Done, ackbook, environment, run_here

SMALL = Limits(segment_bytes_max=4_096, room_bytes_min=64 * 1024, reserve_bytes=48 * 1024)
ROUNDS = 4


Run = Callable[..., Done]


class History:
    """A journal of many small segments, and what is asked about it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ids = a_busy_day(directory / "journal", SMALL)
        with Past(directory / "journal", SMALL) as past:
            for number in range(60):
                past.tell(Send(sender="human", target="bob", body=f"{number} " + "x" * 200))
        self.head = Reader(directory / "journal").head()
        self.answers: list[str] = []

    def ask(self, run: Run, directory: Path) -> list[str]:
        """Everything that the offline tools tell about what was there in the beginning."""
        through = str(self.head)
        questions = [
            ("why", self.ids["arrived"], "--json"),
            ("why", self.ids["dead"], "--json"),
            ("cat", "--to", through),
            ("replay", "--to", through, "--json"),
        ]
        told = [run(*words, "--dir", directory) for words in questions]
        events = run("events", "--json", "--dir", directory)
        assert all(done.code == 0 and not done.err for done in (*told, events)), told
        old = [line for line in events.lines() if line["record"] <= self.head]
        return [*(done.out for done in told), json.dumps(old)]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """A command in this process."""
    return partial(run_here, capsys)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> History:
    return History(tmp_path_factory.mktemp("history"))


@pytest.fixture
def history(told: History, run: Run) -> History:
    """A past with the answers that it gives."""
    told.answers = told.answers or told.ask(run, told.directory)
    return told


@pytest.fixture
def copies(history: History, tmp_path: Path) -> Iterator[Path]:
    """One after the other, as many as are asked for."""
    return (
        Path(shutil.copytree(history.directory, tmp_path / str(number))) for number in range(100)
    )


def left_over(directory: Path) -> list[str]:
    return [each for each in verify(directory / "journal").warnings if "left over" in each]


def check(history: History, run: Run, directory: Path) -> None:
    """After a kill and the next start."""
    assert history.ask(run, directory) == history.answers
    assert left_over(directory) == []
    assert verify(directory / "journal").ok


def test_a_compaction_without_a_broker_may_be_killed_at_any_moment(
    history: History, run: Run, copies: Iterator[Path]
) -> None:
    random, whole = Random(11), next(copies)
    begun = time.monotonic()
    assert ackbook("compact", "--dir", whole, cwd=whole).code == 0
    took_s = time.monotonic() - begun
    assert len(archives(whole / "journal")) > 5
    for _, directory in zip(range(ROUNDS), copies, strict=False):
        process = subprocess.Popen(
            [*ACKBOOK, "compact", "--dir", str(directory)],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(random.uniform(0.3, 1.0) * took_s)
        process.kill()
        process.wait()
        assert verify(directory / "journal").verdict in ("keep", "cut")
        assert history.ask(run, directory) == history.answers
        assert ackbook("compact", "--dir", directory, cwd=directory).code == 0
        check(history, run, directory)


def test_a_broker_may_be_killed_at_any_moment_of_a_compaction(
    history: History, run: Run, copies: Iterator[Path]
) -> None:
    random = Random(12)
    for _, directory in zip(range(ROUNDS), copies, strict=False):
        with idle() as broker:
            broker.directory = directory
            broker.start()
            broker.post("/api/compact")
            time.sleep(random.uniform(0, 1.5))
            broker.kill()
            assert verify(directory / "journal").verdict in ("keep", "cut")
            assert history.ask(run, directory) == history.answers
            eventually(lambda at=directory: not workers(at), "no worker outlives it for long")
            broker.start()
            assert compacted(broker)["failed"] is None
            assert broker.stop() == 0
            check(history, run, directory)


def test_a_packing_worker_that_is_killed_costs_an_attempt_and_nothing_else(
    history: History, run: Run, copies: Iterator[Path]
) -> None:
    directory = next(copies)
    with idle() as broker:
        broker.directory = directory
        broker.start()
        number = broker.post("/api/compact")["run"]
        eventually(
            lambda: bool(workers(directory, "ackbook.journal.maintenance.archive_worker")),
            "it packs",
        )
        for pid in workers(directory, "ackbook.journal.maintenance.archive_worker"):
            os.kill(pid, signal.SIGKILL)
        failed = over(broker, number)
        assert "-9" in failed["failed"]
        eventually(lambda: bool(broker.kinds("upkeep.failed")), "it is recorded")
        assert broker.kinds("upkeep.failed")[-1]["what"] == "compaction"
        told = broker.get("/health")
        assert (told["status"], told["reasons"][0]["code"]) == ("degraded", "compaction_failed")
        assert history.ask(run, directory) == history.answers
        assert compacted(broker)["failed"] is None
        assert broker.get("/health")["status"] == "ok"
        broker.kill()
        broker.start()
        assert broker.stop() == 0
        check(history, run, directory)


def workers(directory: Path, module: str = "") -> list[int]:
    """Processes that work on this journal for a broker."""
    return processes(*filter(None, (module, str(directory / "journal"))))


def compacted(broker: Running) -> dict[str, object]:
    return over(broker, broker.post("/api/compact")["run"])


def over(broker: Running, number: int) -> dict[str, object]:
    row = broker.get(f"/api/compact?run={number}")
    while not row["over"]:
        row = broker.get(f"/api/compact?run={number}")
    return row
