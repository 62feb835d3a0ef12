"""What happens when the kernel gives less than is needed: files that may be open, and memory.

Either the service goes on without what it could not do, or it ends with a clear word. In both cases
everything that was acknowledged is there afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ackbook.broker.runtime.agents.holder_launch import Launched
from ackbook.journal import Reader, verify
from tests.bench.history import Past
from tests.support.brokers import Running, idle, running
from tests.support.histories import snapshots_of
from tests.support.holders import ROOT, eventually, gone
from tests.support.machine import MIB, address_space, free_descriptor, limit

OFFLINE = {
    "verify": ("verify",),
    "head": ("head",),
    "stat": ("stat",),
    "replay": ("replay", "--json"),
    "cat": ("cat",),
    "compact": ("compact",),
    "backup": ("backup", "{out}"),
    "salvage": ("salvage", "--out", "{out}"),
}


def limited(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """A command that may use little more than it does when its work begins."""
    command = [sys.executable, "-m", "tests.support.limited", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)


@pytest.fixture(scope="module")
def long_past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose journal has a sealed segment of full size."""
    directory = tmp_path_factory.mktemp("long")
    with Past(directory / "journal") as past:
        past.arrive(13_000)
        past.pend(10)
    assert len(list(directory.glob("journal/0*.jsonl"))) > 1
    return directory


@pytest.fixture
def copy(long_past: Path, tmp_path: Path) -> Path:
    """One of one's own."""
    return shutil.copytree(long_past, tmp_path / "copy")


def told(directory: Path, through: int) -> list[bytes]:
    return [line.raw for line in Reader(directory / "journal").lines(through=through)]


# --- a command


@pytest.mark.parametrize("verb", OFFLINE)
def test_a_command_without_memory_says_so_and_loses_nothing(
    verb: str, copy: Path, tmp_path: Path
) -> None:
    head = Reader(copy / "journal").head()
    before = told(copy, head)
    words = [word.format(out=tmp_path / "out") for word in OFFLINE[verb]]
    done = limited("--memory", "2", "ackbook.tools.main", *words, "--dir", copy)
    # What reads piece by piece needs no more than this, however long the journal is.
    assert done.returncode == 74 or (verb == "cat" and done.returncode == 0), done.stderr
    assert "not enough memory" in done.stderr or verb == "cat"
    assert "Traceback" not in done.stderr
    assert told(copy, head) == before
    assert verify(copy / "journal").verdict in ("keep", "cut")
    assert limited("ackbook.tools.main", *words, "--dir", copy).returncode == 0, "and with it, goes"


@pytest.mark.parametrize("files", [0, 1])
@pytest.mark.parametrize("verb", OFFLINE)
def test_a_command_without_descriptors_says_so_and_loses_nothing(
    verb: str, files: int, copy: Path, tmp_path: Path
) -> None:
    head = Reader(copy / "journal").head()
    before = told(copy, head)
    words = [word.format(out=tmp_path / "out") for word in OFFLINE[verb]]
    limits = ("--files", str(files))
    done = limited(*limits, "ackbook.tools.main", *words, "--dir", copy)
    assert done.returncode in (0, 74), done.stderr
    assert done.returncode == 74 or files == 1, "without any, nothing is read"
    assert done.returncode == 0 or "Too many open files" in done.stderr
    assert "Traceback" not in done.stderr
    assert told(copy, head) == before
    assert verify(copy / "journal").verdict in ("keep", "cut")


# --- a worker


@pytest.mark.parametrize("limits", [("--memory", "2"), ("--files", "0")])
@pytest.mark.parametrize(
    ("module", "more", "code"),
    [
        ("ackbook.broker.runtime.maintenance.snapshot_worker", (), 74),
        ("ackbook.journal.maintenance.archive_worker", ("1",), 1),
        ("ackbook.journal.maintenance.scrub_worker", ("00000000000000000001.jsonl",), 1),
    ],
)
def test_a_worker_that_gets_too_little_says_so_and_leaves_the_journal_as_it_is(
    module: str, more: tuple[str, ...], code: int, limits: tuple[str, str], copy: Path
) -> None:
    journal = copy / "journal"
    before = told(copy, Reader(journal).head())
    failed = limited(*limits, module, journal, *more)
    assert failed.returncode == code, failed
    assert "Too many open files" in failed.stderr or "not enough memory" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert told(copy, len(before)) == before
    assert snapshots_of(journal) == []
    assert not list(journal.glob("archive/*.zst"))
    assert limited(module, journal, *more).returncode == 0


# --- a broker


@pytest.mark.parametrize(
    ("short", "said"),
    [(("--files", "9"), "files may be open at once"), (("--memory", "3"), "memory")],
)
def test_a_broker_that_gets_too_little_to_start_says_so_and_loses_nothing(
    short: tuple[str, str], said: str
) -> None:
    with running() as broker:
        park(broker)
        taken = [broker.send("cat", f"number {number}")["event_id"] for number in range(5)]
        assert broker.stop() == 0
        refused = limited(*short, "ackbook.tools.main", "up", "--dir", broker.directory)
        assert refused.returncode == 74
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
        broker.start()
        assert [row["event_id"] for row in broker.get("/api/pending")["pending"]] == taken
        assert broker.stop() == 0
        assert broker.verified()


def test_a_broker_without_descriptors_makes_no_snapshot_and_says_so_until_it_does() -> None:
    with idle() as broker:
        broker.start("--every", "20")
        park(broker)
        restore = limit(broker.pid, resource.RLIMIT_NOFILE, free_descriptor(broker.pid))
        text = "x" * 600  # so that a compaction is worth its snapshots
        taken = [broker.send("cat", f"{number} {text}")["event_id"] for number in range(40)]
        eventually(lambda: broker.get("/health")["status"] == "degraded", "it is told")
        [reason] = broker.get("/health")["reasons"]
        assert reason["code"] == "snapshot_failed"
        assert "Too many open files" in reason["what"]
        restore()
        assert broker.post("/api/compact")["failed"] is None
        eventually(lambda: broker.get("/health")["status"] == "ok", "it is well again")
        assert len(snapshots_of(broker.directory / "journal")) > 0
        assert [row["event_id"] for row in broker.get("/api/pending")["pending"]] == taken
        assert broker.stop() == 0
        assert broker.verified()


def park(broker: Running) -> None:
    """Messages wait from here on."""
    broker.spawn("cat", "cat")
    broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})


def succeeds(broker: Running, path: str, body: object) -> bool:
    """Whether a request is answered, and well."""
    with contextlib.suppress(httpx.TransportError):
        return broker.http.post(path, json=body).is_success
    return False


def test_a_broker_without_descriptors_still_takes_messages_and_recovers() -> None:
    with running() as broker:
        broker.spawn("cat", "cat")
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
        restore = limit(broker.pid, resource.RLIMIT_NOFILE, free_descriptor(broker.pid))
        taken = [broker.send("cat", f"number {number}")["event_id"] for number in range(20)]
        body = {"name": "dog", "cli": "cat", "cwd": str(broker.directory)}
        refused = broker.http.post("/api/spawn", json=body)
        assert (refused.status_code, refused.json()["code"]) == (503, "no_resources"), refused.text
        assert refused.json()["message"].startswith("dog was not started: too many files are open")
        assert refused.json()["retryable"]
        restore()
        eventually(lambda: succeeds(broker, "/api/spawn", body), "it has descriptors again")
        assert [row["event_id"] for row in broker.get("/api/pending")["pending"]] == taken
        assert broker.stop() == 0
        assert broker.verified()


def test_a_broker_without_memory_loses_nothing_that_it_took() -> None:
    with running({"queue_length_max": 10_000}) as broker:
        broker.spawn("cat", "cat")
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
        limit(broker.pid, resource.RLIMIT_AS, address_space(broker.pid) + 24 * MIB)
        taken: list[str] = []
        with contextlib.suppress(httpx.TransportError):
            for number in range(300):
                text = f"number {number} " + "x" * 400_000
                answer = broker.http.post("/api/send", json={"to": "cat", "text": text})
                if answer.status_code != 200:
                    break
                taken.append(answer.json()["event_id"])
        assert len(taken) < 300, "the memory was short"
        if not gone(broker.pid):
            broker.kill()
        broker.wait()
        broker.start()
        waiting = [row["event_id"] for row in broker.get("/api/pending")["pending"]]
        assert waiting[: len(taken)] == taken
        assert len(waiting) <= len(taken) + 1, "one was on its way"
        assert broker.stop() == 0
        assert broker.verified()


def test_a_spawn_is_refused_by_name_however_few_descriptors_are_left() -> None:
    """Each step of it takes some; whichever is the first that gets none, nothing is left over."""
    with running() as broker:
        broker.spawn("cat", "cat")
        broker.get("/api/spawned")  # over the connection that all of this takes
        started = 0
        for few in range(14):
            restore = limit(broker.pid, resource.RLIMIT_NOFILE, free_descriptor(broker.pid) + few)
            body = {"name": f"dog{few}", "cli": "cat", "cwd": str(broker.directory)}
            answer = broker.http.post("/api/spawn", json=body)
            restore()
            if answer.is_success:
                started += 1
            else:
                assert (answer.status_code, answer.json()["code"]) == (503, "no_resources"), few
        assert started > 0, "some were enough"
        living = {row["name"] for row in broker.get("/api/spawned")["agents"]}
        assert len(living) == 1 + started
        eventually(lambda: len(children(broker.pid)) == len(living), "no holder is left over")
        broker.deliver("cat", "hello")
        assert broker.stop() == 0
        assert broker.verified()


def children(pid: int) -> list[int]:
    """The processes that this one started and has not collected, dead ones too."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return sorted(found)


# --- processes


def test_a_broker_that_may_start_no_process_refuses_by_name_and_lives_on() -> None:
    """Root may always, so that another user runs it then."""
    with common_place() as place:
        with broker_of(place / "broker") as (pid, http):
            if os.geteuid() == 0:
                os.kill(pid, signal.SIGUSR1)
            else:
                resource.prlimit(pid, resource.RLIMIT_NPROC, (0, 0))
            limits = Path(f"/proc/{pid}/limits")
            eventually(lambda: "Max processes             0" in limits.read_text(), "no more")
            for verb, path, body in (
                ("POST", "/api/spawn", {"name": "dog", "cli": "cat", "cwd": "/"}),
                ("POST", "/api/spawn", {"name": "dog", "cli": "cat", "cwd": "/"}),
            ):
                answer = http.request(verb, path, json=body)
                assert (answer.status_code, answer.json()["code"]) == (503, "no_resources")
                assert "no further process or thread can be started" in answer.json()["message"]
            assert http.get("/api/why/evt_1").status_code in (500, 503)
            assert http.post("/api/compact", json={}).status_code < 500
            assert http.get("/api/spawned").json()["agents"] == []
            answer = http.post("/api/send", json={"to": "dog", "text": "hi"})
            assert answer.json()["code"] == "agent_not_found"
        assert verify(place / "broker" / "journal").ok


@contextlib.contextmanager
def common_place() -> Iterator[Path]:
    """A place that another user can use, where we are root."""
    directory = Path(tempfile.mkdtemp(prefix="ackbook-limits-"))
    directory.chmod(0o1777 if os.geteuid() == 0 else 0o700)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextlib.contextmanager
def broker_of(directory: Path) -> Iterator[tuple[int, httpx.Client]]:
    """A broker that root's rights do not help, and a client of it."""
    as_user = (
        ["-m", "tests.support.as_user", str(NOBODY)] if os.geteuid() == 0 else ["-m", "ackbook"]
    )
    command = [sys.executable, *as_user, "up", "--json", "--dir", str(directory)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            if not said:
                pytest.skip("another user does not reach the place for temporary files")
            told = json.loads((directory / "connection.json").read_bytes())
            key = {"X-API-Key": told["api_key"]}
            with httpx.Client(base_url=told["url"], headers=key, timeout=60) as http:
                yield int(told["pid"]), http
        finally:
            process.terminate()


NOBODY = 61_357
"""A user of nobody's: what its processes may be does not touch anybody."""


# --- what has ended


def test_a_holder_that_ended_is_collected_at_once() -> None:
    with running() as broker:
        for name in ("killed", "released", "exits"):
            broker.spawn(name, "cat" if name != "exits" else "sh")
        assert len(children(broker.pid)) == 3
        holder = children(broker.pid)[0]
        os.kill(holder, signal.SIGKILL)
        eventually(lambda: holder not in children(broker.pid), "the killed one is collected")
        assert broker.http.delete("/api/spawned/released").is_success
        broker.post("/api/input/exits", data="exit\n")
        eventually(lambda: children(broker.pid) == [], "and so are the others")


@pytest.mark.parametrize("descriptors", ["enough", "none"])
def test_a_holder_is_collected_though_nobody_has_yet_heard_of_its_end(descriptors: str) -> None:
    """What its end means may have to wait for a disk; what is left of it need not."""

    async def end_it(process: subprocess.Popen[bytes]) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        if descriptors == "none":
            free = free_descriptor(os.getpid())
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
        launched = Launched(process)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.to_thread(
            eventually, lambda: process.pid not in children(os.getpid()), "it is collected"
        )
        assert launched.pid == process.pid, "it is still there to be asked"
        launched.release()

    asyncio.run(end_it(subprocess.Popen(["cat"], stdin=subprocess.PIPE)))
