"""Today's commands and a broker of an earlier version, whose package is gone from under it.

Its answers are those that it really gave; here a server of a few lines gives them again.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.shell import ACKBOOK, House, environment
from tests.test_packaging import PROJECT
from tests.upgrades.versions import VERSIONS, Left, Row

VERSION = PROJECT["project"]["version"]


class OldBroker(House):
    """A directory of the version, and a server in this process that answers as its broker did."""

    def __init__(self, root: Path, left: Left) -> None:
        super().__init__(root)
        self.directory = left.copy(root)
        self.asked: list[str] = []
        self.rows = left.upgraded()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self._lock = open(self.directory / "journal" / "LOCK", "rb+")  # noqa: SIM115
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        connection = json.loads((self.directory / "connection.json").read_bytes())
        port = self._server.server_port
        mine = {"url": f"http://127.0.0.1:{port}", "port": port, "pid": os.getpid()}
        (self.directory / "connection.json").write_text(json.dumps(connection | mine))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        house = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"] or 0))
                house.asked.append(f"{self.command} {self.path}")
                row = house.recorded(self.command, self.path)
                said = json.dumps(row["answer"]).encode()
                self.send_response(row["status"])
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = answer  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def recorded(self, method: str, path: str) -> Row:
        [row] = [row for row in self.rows if (row["method"], row["path"]) == (method, path)]
        return row

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._lock.close()


@pytest.fixture(params=VERSIONS, ids=lambda left: left.version)
def left(request: pytest.FixtureRequest) -> Left:
    version: Left = request.param
    return version


@pytest.fixture
def broker(left: Left, tmp_path: Path) -> Iterator[OldBroker]:
    broker = OldBroker(tmp_path, left)
    yield broker
    broker.close()


def note(broker: OldBroker, theirs: str) -> str:
    flag = f"--dir {shlex.quote(str(broker.directory))}"
    steps = f"ackbook down --keep-agents {flag}; ackbook up --background {flag}"
    return (
        f"the broker in {broker.directory} is version {theirs} and this is {VERSION}:"
        f" restart the broker ({steps})"
    )


def test_a_program_that_it_cannot_start_is_explained_and_nothing_is_lost(
    broker: OldBroker, left: Left
) -> None:
    done = broker("spawn", "grace", "--", "cat")
    assert (done.code, done.out) == (8, "")
    assert done.err.count(note(broker, left.version)) == 1
    assert "the holder died" in done.err


def test_a_program_that_it_could_not_start_again_is_not_ended(
    broker: OldBroker, left: Left
) -> None:
    done = broker("restart", "alice")
    assert (done.code, done.out) == (8, "")
    assert done.err.count(note(broker, left.version)) == 1
    assert all(asked.startswith("GET") for asked in broker.asked)


def test_a_compaction_that_it_cannot_make_is_explained(broker: OldBroker, left: Left) -> None:
    done = broker("compact", "--json")
    assert (done.code, done.out) == (8, "")
    assert done.err.count(note(broker, left.version)) == 1


def test_a_listing_notes_it_beside_the_data(broker: OldBroker, left: Left) -> None:
    done = broker("ls", "--json")
    assert done.code == 0
    assert done.err == f"note: {note(broker, left.version)}\n"
    assert "alice" in {agent["name"] for agent in done.json()["agents"]}


def test_what_works_is_not_talked_about_where_nobody_reads(broker: OldBroker) -> None:
    done = broker("send", "alice", "do you hear me?", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json()["event_id"]
    assert broker.asked == ["POST /api/send"]


def test_a_person_at_a_terminal_reads_it_once(broker: OldBroker, left: Left) -> None:
    ours, theirs = pty.openpty()
    with closing(os.fdopen(ours, "rb", buffering=0)) as screen:
        done = subprocess.run(
            [*ACKBOOK, "send", "alice", "do you hear me?", "--json"],
            cwd=broker.root,
            env=environment(ACKBOOK_DIR=str(broker.directory), NO_COLOR="1"),
            stdout=subprocess.PIPE,
            stderr=theirs,
            check=True,
        )
        os.close(theirs)
        said = b""
        while piece := _read(screen.fileno()):
            said += piece
    assert json.loads(done.stdout)["event_id"]
    assert said.decode().split("\r\n") == [f"note: {note(broker, left.version)}", ""]


def test_an_older_command_does_not_ask_for_the_end_of_a_newer_broker(broker: OldBroker) -> None:
    broker.recorded("GET", "/health")["answer"]["version"] = "99.0.0"
    done = broker("ls")
    assert "is version 99.0.0 and this is" in done.err
    assert "use the command that belongs to it" in done.err
    assert "ackbook down" not in done.err


def test_nothing_is_noted_of_a_broker_of_the_same_version(broker: OldBroker) -> None:
    broker.recorded("GET", "/health")["answer"]["version"] = VERSION
    assert broker("ls", "--json").err == ""
    assert "this is" not in broker("spawn", "grace", "--", "cat").err


def _read(terminal: int) -> bytes:
    """What stands there; nothing once the other side is closed."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
