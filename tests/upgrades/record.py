"""Records what a released version leaves behind: a whole directory, its answers, and its holders.

`python -m tests.upgrades.record VENV` runs the version that is installed in VENV, which has to lie
in `/tmp/ackbook-VERSION/venv` so that nothing that is recorded names anybody's machine, and writes
`tests/upgrades/VERSION`. The README beside this module says when that is done, and what is kept.

Only the command line, the HTTP API and the journal's own door are used here, so that the same
recipe records the next version. Everything is the version's own work; this module waits for what
the journal says, and puts nothing into a file that the version wrote.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEY = "br_" + "0" * 32
"""The broker's key, so that `connection.json` holds nobody's secret."""

QUICK = {
    "queue_length_max": 3,
    "window_ms": 700,
    "settle_ms": 300,
    "throttle_ms_min": 1,
    "failures_max": 2,
    "retry_delay_ms": 20,
    "hold_ms": 300,
}
"""A policy under which a minute sees every way out of a queue."""

PATIENT = {"window_ms": 60_000}
"""A policy under which an attempt without evidence is under way for long."""

ROOM_BYTES_KEPT = 4096
"""Of the megabytes that are written ahead of the last record; a broker on a full disk has less."""

DEADLINE_S = 600.0
WAIT = "300"
"""Recording is patient: it may be done on a machine that is busy with something else."""
DEAF = ("sh", "-c", "stty raw -echo; printf 'ready> '; exec cat >/dev/null")
"""A program that never shows what it was told."""

SEAL = """
import importlib, importlib.util, pathlib, sys
top = "ackbook." if importlib.util.find_spec("ackbook") else ""
log = importlib.import_module(top + "journal").open_log(pathlib.Path(sys.argv[1]))
log.seal()
log.close()
"""
"""Ends the segment in use, which a broker does after a day or 16 MiB."""

Row = dict[str, Any]


class Place:
    """One directory, the version that serves it, and what is said to either."""

    def __init__(self, root: Path, venv: Path, name: str = "directory") -> None:
        self.root = root
        self.bin = venv / "bin"
        self.directory = root / name
        self._process: subprocess.Popen[bytes] | None = None

    def ackbook(self, *arguments: str | Path, code: int = 0) -> str:
        """Run a command of the version; what it printed."""
        done = subprocess.run(
            [self.bin / "ackbook", *arguments],
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, (arguments, done)
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Nothing of whoever records, and nothing of this machine."""
        return {
            "ACKBOOK_DIR": str(self.directory),
            "HOME": str(self.root),
            "LANG": "C.UTF-8",
            "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin",
            "PS1": "$ ",
            "TZ": "UTC",
            "RELAY_BROKER_API_KEY": KEY,
            "XDG_CACHE_HOME": str(self.root / "cache"),
        }

    # --- the broker

    def up(self) -> None:
        self.ackbook("up", "--background")

    def listened(self, policy: Row, frames: Path, last: str = "") -> None:
        """The same broker under this policy, with what its holders say written into `frames`."""
        before = self._spoken().get("pid")
        given = [HERE / "heard.py", self.directory, json.dumps(policy), frames]
        with (self.directory / "logs" / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.bin / "python", "-P", *given, *([last] if last else [])],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self.root,
                env=self.environment(),
            )
        eventually(lambda: self._spoken().get("pid") not in (None, before), "it is up")

    def kill(self) -> None:
        os.kill(int(self._spoken()["pid"]), signal.SIGKILL)
        self.died()

    def died(self) -> None:
        """Wait until the broker is no more, whoever killed it."""
        if self._process is not None:
            self._process.wait(DEADLINE_S)
            self._process = None
        eventually(lambda: gone(self._spoken().get("pid")), "it is gone")

    def down(self, *options: str) -> None:
        self.ackbook("down", *options)
        if self._process is not None:
            self._process.wait(DEADLINE_S)
            self._process = None

    def _spoken(self) -> Row:
        with contextlib.suppress(FileNotFoundError):
            row: Row = json.loads((self.directory / "connection.json").read_bytes())
            return row
        return {}

    # --- what it is told

    def http(self, method: str, path: str, body: object = None) -> bytes:
        """The answer of the running broker, whatever it is."""
        return self.exchange(method, path, body)[1]

    def exchange(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """The same with its status."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
        url = self._spoken()["url"] + path
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read()

    def spawn(self, name: str, *command: str, **more: object) -> None:
        wish = {"name": name, "cli": command[0], "args": command[1:], "cwd": str(self.root)}
        said = json.loads(self.http("POST", "/api/spawn", {**wish, "wait_ms": 300_000, **more}))
        assert said["state"] == "ready", said

    def send(self, to: str, text: str, *options: str) -> str:
        """A message that is taken; its first delivery."""
        row = json.loads(self.ackbook("send", to, text, "--json", *options))
        return str(row["deliveries"][0]["delivery_id"]) if row["deliveries"] else ""

    def until(self, kind: str, **fields: object) -> Row:
        """Wait for a record of this kind with these fields in it."""
        found: list[Row] = []

        def told() -> bool:
            rows = map(json.loads, self.http("GET", "/api/journal").splitlines())
            found[:] = [
                row for row in rows if row["kind"] == kind and fields.items() <= row["data"].items()
            ]
            return bool(found)

        eventually(told, f"{kind} {fields}")
        return found[0]

    def settled(self, *deliveries: str) -> None:
        """Wait until these are no longer pending."""
        eventually(
            lambda: not any(each in self.ackbook("pending", "--json") for each in deliveries),
            f"{deliveries} are settled",
        )


def main(venv: Path) -> None:
    """Record the version that is installed in `venv`."""
    python = venv / "bin" / "python"
    look = "from importlib.metadata import version; print(version('ackbook'))"
    version = subprocess.check_output([python, "-P", "-c", look], cwd="/", text=True).strip()
    root = Path(f"/tmp/ackbook-{version}")
    assert venv == root / "venv", f"install it in {root}/venv"
    into = HERE / version
    assert not into.exists(), f"{into} is there, and what is recorded is never written again"
    place = Place(root, venv)
    try:
        first_days(place)
        crowded_days(place)
        last_day(place, root / "last_day.jsonl")
        keep(place.directory, into / "directory")
        next_day(place, root / "next_day.jsonl")
    finally:
        end_programs(root)
    (into / "holder").mkdir()
    for frames in ("last_day.jsonl", "next_day.jsonl"):
        shutil.copy(root / frames, into / "holder" / frames)
    answers(into / "directory", root, venv, into / "answers")
    upgraded(place, into / "upgraded.jsonl")


def first_days(place: Place) -> None:
    """Under the policy that everybody has: what agents mostly see."""
    place.up()
    place.spawn("alice", "cat", channels=["team"])
    place.spawn("bob", "bash", "--norc", channels=["team"], harnessConfig=None)
    place.spawn("deaf", *DEAF)
    place.ackbook("send", "alice", "the first one", "--wait", WAIT, "--need", "submitted")
    place.ackbook("send", "alice", "urgent", "--priority", "0", "--wait", WAIT, "--from", "bob")
    place.ackbook("send", "#team", "to everybody", "--wait", WAIT)
    for _ in range(2):
        place.send("alice", "only once", "--idempotency-key", "order-7", "--wait", WAIT)
    place.ackbook("send", "alice", "another", "--idempotency-key", "order-7", code=8)
    place.ackbook("send", "nobody", "is there anybody?", code=3)
    place.ackbook("send", "deaf", "can you hear me?", "--wait", WAIT, code=9)
    place.ackbook("hold", "alice")
    kept = place.send("alice", "when you have time")
    place.ackbook("cancel", place.send("alice", "never mind"))
    expired = place.send("alice", "now or never", "--ttl", "0.2")
    place.until("delivery.expired", delivery_id=expired)
    place.ackbook("flush", "alice")
    place.settled(kept)
    place.ackbook("auto", "alice")
    place.http("POST", "/api/input/bob", {"data": "half a li"})
    place.send("bob", "while a person types")
    place.until("delivery.held", agent="bob")
    place.http("POST", "/api/input/bob", {"data": "\x15"})
    place.settled("bob")
    place.spawn("eve", "sh", "-c", "echo hello; read line; exit 3")
    place.http("POST", "/api/input/eve", {"data": "\r"})
    place.until("agent.exited", name="eve")
    place.ackbook("hold", "deaf")
    place.send("deaf", "this one is dropped")
    place.ackbook("release", "deaf", "--reason", "the work is done")
    place.until("agent.exited", name="deaf")
    place.ackbook("restart", "bob")
    place.down("--keep-agents")


def crowded_days(place: Place) -> None:
    """Under a quick one: queues that overflow, terminals that are gone, letters that are dead."""
    place.listened(QUICK, place.root / "crowded_days.jsonl")
    place.ackbook("hold", "bob")
    for number in range(5):
        place.send("bob", f"number {number}")
    place.until("delivery.evicted", agent="bob")
    place.ackbook("auto", "bob")
    place.settled("bob")
    place.spawn("carol", "cat")
    place.ackbook("hold", "carol")
    dead = place.send("carol", "too late for you")
    place.http("POST", "/api/input/carol", {"data": "\x04"})
    place.until("delivery.dead_lettered", delivery_id=dead)
    place.spawn("carol", "cat")
    place.ackbook("auto", "carol")
    place.ackbook("redeliver", dead)
    place.settled("carol")
    place.spawn("deaf", *DEAF, restartPolicy={"enabled": True, "cooldown_ms": 10})
    place.ackbook("send", "deaf", "and now?", "--wait", WAIT, code=9)
    for number in range(4):
        place.ackbook("send", "carol", f"so that there is history: {number}", "--wait", WAIT)
    place.ackbook("compact")
    for number in range(3):
        place.ackbook("send", "alice", f"behind the archive: {number}", "--wait", WAIT)
    place.down()
    for _ in range(2):
        subprocess.check_call(
            [place.bin / "python", "-P", "-c", SEAL, place.directory / "journal"], cwd=place.root
        )


def last_day(place: Place, frames: Path) -> None:
    """It ends without a word: a broker is killed while its holder tells what it saw."""
    place.listened(PATIENT, frames)
    place.ackbook("restart", "alice")
    place.ackbook("restart", "carol")
    place.ackbook("send", "carol", "a long one " * 400, "--wait", WAIT, "--need", "written")
    place.spawn("dave", "cat", "-")
    place.ackbook("send", "dave", "what the holder sees", "--wait", WAIT, "--need", "submitted")
    place.http("POST", "/api/resize/dave", {"rows": 30, "cols": 100})
    place.ackbook("screen", "dave")
    place.http("POST", "/api/input/dave", {"data": "typed by hand\r"})
    place.spawn("frank", "cat")
    place.ackbook("send", "frank", "before the end", "--wait", WAIT, "--need", "submitted")
    place.http("POST", "/api/input/frank", {"data": "\x04"})
    place.until("agent.exited", name="frank")
    place.kill()
    place.listened(PATIENT, frames, "submitted")
    place.ackbook("hold", "alice")
    place.send("alice", "waits for its flush", "--priority", "1", "--idempotency-key", "order-8")
    place.send("alice", "waits behind it", "--from", "dave")
    wish = {"to": "dave", "text": "the broker dies of this one"}
    with contextlib.suppress(OSError):
        place.http("POST", "/api/send", wish)
    place.died()


def next_day(place: Place, frames: Path) -> None:
    """The same version starts again, and finds its holders."""
    place.listened(PATIENT, frames)
    place.ackbook("send", "dave", "after the start", "--wait", WAIT, "--need", "submitted")
    place.ackbook("release", "dave")
    place.until("agent.exited", name="dave")
    place.down()


def upgraded(place: Place, into: Path) -> None:
    """The broker runs, and its package is gone from where it was: what it answers from then on."""
    asked = (
        ("GET", "/health", None),
        ("GET", "/api/session", None),
        ("GET", "/api/spawned", None),
        ("POST", "/api/send", {"to": "alice", "text": "do you hear me?"}),
        ("POST", "/api/spawn", {"name": "grace", "cli": "cat", "cwd": str(place.root)}),
        ("POST", "/api/spawned/alice/restart", {}),
        ("POST", "/api/compact", {"keep_audit": "forever"}),
        ("GET", "/api/compact?run=1", None),
        ("POST", "/api/shutdown", {"keep_agents": True}),
    )
    place.up()
    site = next((place.bin.parent / "lib").glob("*/site-packages"))
    tops = [path for path in site.iterdir() if path.is_dir() and "dist-info" not in path.name]
    try:
        for top in tops:
            top.rename(top.with_suffix(".gone"))
        with into.open("w") as file:
            for method, path, body in asked:
                status, said = place.exchange(method, path, body)
                row = {"method": method, "path": path, "status": status, "answer": json.loads(said)}
                file.write(json.dumps(row, separators=(",", ":")) + "\n")
        place.died()
    finally:
        for top in tops:
            top.with_suffix(".gone").rename(top)


def keep(directory: Path, into: Path) -> None:
    """A copy, without the sockets, which are of no use where nobody listens, and with little of the
    room behind the last record, which holds nothing."""
    shutil.copytree(directory, into, ignore=shutil.ignore_patterns("*.sock"))
    tail = max((into / "journal").glob("0*.jsonl"))
    with tail.open("r+b") as file:
        end = len(file.read().rstrip(b"\n")) + 1
        file.truncate(end + ROOM_BYTES_KEPT)


def answers(recorded: Path, root: Path, venv: Path, into: Path) -> None:
    """What the version itself says of the directory that it left: offline, then once it runs."""
    into.mkdir()
    place = Place(root, venv, "asked")

    def tell(name: str, *asked: str) -> str:
        said = place.ackbook(*asked)
        if name.endswith(".gz"):
            (into / name).write_bytes(gzip.compress(said.encode(), mtime=0))
        else:
            (into / name).write_text(said)
        return said

    shutil.copytree(recorded, place.directory)
    for verb in ("report", "replay", "stat", "verify"):
        tell(f"{verb}.json", verb, "--json")
    for verb in ("cat", "events"):
        tell(f"{verb}.jsonl.gz", verb, "--json")
    tell("check.json", "replay", "--check", "--all", "--json")
    rows = map(json.loads, tell("export.jsonl.gz", "export", "--bodies").splitlines())
    agents = sorted({row["agent"] for row in rows})
    told = [place.ackbook("why", "--agent", name, "--last", "99", "--json") for name in agents]
    (into / "why.jsonl.gz").write_bytes(gzip.compress("".join(told).encode(), mtime=0))
    place.up()
    try:
        for verb in ("ls", "pending", "dead"):
            tell(f"{verb}.json", verb, "--json")
    finally:
        place.down()
        shutil.rmtree(place.directory)


def end_programs(root: Path) -> None:
    """Leave nothing of the recording running: holders that their brokers left, and brokers."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cmdline").read_bytes().startswith(b"%b/venv/" % bytes(root)):
                os.kill(int(entry.name), signal.SIGKILL)


def eventually(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


def gone(pid: int | None) -> bool:
    """Whether nothing is left of a process but perhaps its exit code."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat[stat.rindex(")") + 2] in "ZX"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
