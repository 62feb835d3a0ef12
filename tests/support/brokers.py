"""Brokers for tests: real ones, in processes of their own, spoken to over HTTP.

`Running` is one directory and the broker that serves it, which a test may kill and start again.
When its block ends the broker is gone, and every holder that it left, whatever happened in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx

from ackbook.broker.core.replay.recheck import NotTold, check
from ackbook.broker.runtime.agents.holder_sockets import SOCKET_SUFFIX
from ackbook.broker.wire.frames import EndOrder
from ackbook.journal import Reader, verify
from ackbook.projections.codec import Control, decode_block
from ackbook.projections.facts import BrokerStarted
from ackbook.projections.world.fold import World
from tests.support.holders import DEADLINE_S, ROOT, Link, eventually, gone

T = TypeVar("T")

Row = dict[str, Any]

LAST_EPOCH = 1 << 40
"""Higher than any broker's: a holder obeys it, whoever spoke to it before."""

QUICK = {"throttle_ms_min": 1}
"""A policy for tests that type much: the pace is not what they are about."""


class Running:
    """A directory with a broker. `http` is a client with the key; `exit` the last exit code."""

    def __init__(self, directory: Path, policy: Row | None = None) -> None:
        self.directory = directory
        self.policy = policy or {}
        self.exit: int | None = None
        self.http = httpx.Client()
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = directory.parent / f"{directory.name}.stderr"
        self._clients: list[httpx.Client] = []

    # --- its life

    def start(self, *options: str) -> Row:
        """Start the broker and wait until it is ready; what it said."""
        process = self.launch(*options)
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, f"the broker did not start: {self.stderr()}"
        connection: Row = json.loads(said)
        self.http.close()
        self.http = httpx.Client(
            base_url=connection["url"],
            headers={"X-API-Key": connection["api_key"]},
            timeout=150,
        )
        self._clients.append(self.http)
        return connection

    def launch(self, *options: str) -> subprocess.Popen[bytes]:
        """Start the broker without waiting for it."""
        with self._stderr.open("ab") as errors:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.support.run_broker", str(self.directory)),
                    *("--policy", json.dumps(self.policy), *options),
                ],
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
            )
        return self._process

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: no chance to say anything."""
        assert self._process is not None
        self._process.kill()
        self.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code of the graceful end."""
        assert self._process is not None
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        assert self._process is not None
        self.exit = self._process.wait(DEADLINE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return self.exit

    def close(self) -> None:
        """Leave nothing behind."""
        self.http.close()
        if self._process is not None and self._process.poll() is None:
            self.kill()
        for http in self._clients:
            http.close()
        journal = Reader(self.directory / "journal")
        for path in sorted((self.directory / "holders").glob(f"*{SOCKET_SUFFIX}")):
            end_holder(path, journal.journal_id or "", lineages_of(journal))

    # --- what tests say

    def post(self, path: str, **body: object) -> Row:
        """A request that succeeds."""
        return _row(self.http.post(path, json=body))

    def get(self, path: str) -> Row:
        """A question that is answered."""
        return _row(self.http.get(path))

    def spawn(self, name: str, *command: str, **more: object) -> Row:
        """A program that is ready."""
        body = {"name": name, "cli": command[0], "args": list(command[1:]), "wait_ms": 150_000}
        row = self.post("/api/spawn", **(body | {"cwd": str(self.directory)} | more))
        assert row["state"] == "ready", row
        return row

    def send(self, to: str, text: str, **more: object) -> Row:
        """A message that is accepted."""
        return self.post("/api/send", to=to, text=text, **more)

    def deliver(self, to: str, text: str, **more: object) -> Row:
        """A message that arrives; its first delivery."""
        reply = self.send(to, text, wait_ms=150_000, **more)
        assert reply["outcome"] == "confirmed", reply
        row: Row = reply["deliveries"][0]
        return row

    def agent(self, name: str) -> Row:
        return self.get(f"/api/spawned/{name}")

    def agent_is(self, name: str, state: str, generation: int | None = None) -> None:
        """Wait until an agent is in this state, and of this generation where one is named."""

        def holds() -> bool:
            agent = self.agent(name)
            return agent["state"] == state and generation in (None, agent["generation"])

        eventually(holds, f"{name} is {state}")

    def settled(self, *names: str) -> None:
        """Wait until nothing is pending (for these agents), and nothing that was typed still waits
        for its Enter."""
        try:
            eventually(lambda: not self._pending(names), "nothing is pending")
            eventually(lambda: not self._occupied(names), "every input line is free")
        except AssertionError as error:
            last = "\n".join(json.dumps(record) for record in self.records()[-20:])
            raise AssertionError(f"{error}; {self.get('/api/status')}\n{last}") from error

    def _pending(self, names: tuple[str, ...]) -> list[Row]:
        rows = self.get("/api/pending")["pending"]
        return [row for row in rows if not names or row["agent"] in names]

    def _occupied(self, names: tuple[str, ...]) -> list[str]:
        """Deliveries that were seen and not yet submitted."""
        levels: dict[str, str] = {}
        for record in self.records():
            told, data = record["kind"] in ("delivery.acked", "delivery.advanced"), record["data"]
            if told and (not names or data["agent"] in names):
                levels[data["delivery_id"]] = data["level"]
        return [delivery for delivery, level in levels.items() if level == "seen"]

    def records(self) -> list[Row]:
        """Everything in the journal, as the broker tells it."""
        lines = self.http.get("/api/journal").text.splitlines()
        return [json.loads(line) for line in lines]

    def kinds(self, kind: str) -> list[Row]:
        """The data of every record of a kind."""
        return [record["data"] for record in self.records() if record["kind"] == kind]

    def verified(self) -> bool:
        """Whether everything in the journal is as it was written."""
        return verify(self.directory / "journal").ok

    def check_decisions(self) -> None:
        """What the broker decided follows from its records alone, where all of them are there."""
        journal = self.directory / "journal"
        if not journal.is_dir() or Reader(journal).first_seq != 1 or not self.verified():
            return
        blocks = Reader(journal).blocks()
        entries = (entry for block in blocks for entry in decode_block(block))
        for found in check(World(), entries):
            assert found is None or (isinstance(found, NotTold) and found.why == "cut"), found

    def stderr(self) -> str:
        return self._stderr.read_text()


@contextlib.contextmanager
def running(policy: Row | None = None, *options: str) -> Iterator[Running]:
    """A broker that is ready, in a directory of its own, for the length of the block."""
    with idle(policy) as broker:
        broker.start(*options)
        yield broker


@contextlib.contextmanager
def idle(policy: Row | None = None, name: str = "d") -> Iterator[Running]:
    """A directory whose broker has not been started."""
    root = Path(tempfile.mkdtemp(prefix="ackbook-"))
    broker = Running(root / name, policy)
    try:
        yield broker
        broker.close()
        broker.check_decisions()
    finally:
        broker.close()
        shutil.rmtree(root)


def lineages_of(journal: Reader) -> tuple[str, ...]:
    """The histories that a journal went through."""
    facts = (entry.fact for block in journal.blocks() for entry in decode_block(block))
    known = (each for each in facts if isinstance(each, BrokerStarted | Control))
    return tuple(each.lineage for each in known if each.lineage)


def end_holder(path: Path, journal_id: str, lineages: tuple[str, ...] = ()) -> None:
    """End the holder that listens there, and wait until it and its program are gone."""
    try:
        link = Link(str(path))
    except OSError:
        return
    try:
        instance = f"end-{os.getpid()}-{time.monotonic_ns()}"
        try:
            welcome = link.hello(LAST_EPOCH, instance, journal_id, lineages)
        except AssertionError:
            # It was ending when it was spoken to; whatever it leaves is found by its mark.
            assert link.closed, "a holder answers or goes"
            return
        link.send(EndOrder())
        eventually(lambda: gone(welcome.holder_pid) and gone(welcome.pid), "the holder is gone")
    finally:
        link.close()


def eventual(ask: Callable[[], T | None], what: str) -> T:
    """The first answer that is not None."""
    found: list[T] = []

    def asked() -> bool:
        answer = ask()
        if answer is not None:
            found.append(answer)
        return answer is not None

    eventually(asked, what)
    return found[0]


def _row(response: httpx.Response) -> Row:
    assert response.status_code == 200, response.text
    row: Row = response.json()
    return row
