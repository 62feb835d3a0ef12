"""A broker from outside: what it is started with, what it answers, and how it ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.brokers import Running, idle, running
from tests.support.holders import chat, eventually, gone, parent_of, transcript


@pytest.fixture(scope="module")
def broker() -> Iterator[Running]:
    """One broker with a `cat`, for tests that leave it as they found it."""
    with running() as one:
        one.spawn("cat", "cat")
        yield one


# --- starting and ending


def test_a_start_makes_a_private_place_and_says_where_it_is() -> None:
    with idle() as broker:
        said = broker.start()
        path = broker.directory / "connection.json"
        assert json.loads(path.read_text()) == said
        assert said["pid"] == broker.pid
        assert path.stat().st_mode & 0o777 == 0o600
        assert broker.directory.stat().st_mode & 0o777 == 0o700
        for part in ("journal", "holders", "logs", "spool"):
            assert (broker.directory / part).stat().st_mode & 0o777 == 0o700
        assert broker.stop() == 0
        assert not path.exists()


def test_a_graceful_end_ends_the_programs_and_leaves_nothing_but_the_records() -> None:
    with running() as broker:
        spawned = broker.spawn("cat", "cat")
        broker.deliver("cat", "hello")
        assert broker.stop() == 0
        assert gone(spawned["pid"])
        assert list((broker.directory / "holders").iterdir()) == []
        assert broker.verified()
        last = (broker.directory / "journal").glob("0*.jsonl")
        kinds = [json.loads(line)["kind"] for line in next(last).read_text().splitlines()]
        assert kinds[-3:] == ["agent.exited", "broker.stopped", "journal.closed"]


def test_a_holder_that_hangs_is_not_left_over_nor_is_anything_in_its_session(
    tmp_path: Path,
) -> None:
    """The child ignores the hang-up that the end of its terminal is to it."""
    told = tmp_path / "child"
    script = f"(trap '' HUP; exec sleep 1000) & echo $! > '{told}'; cat"
    with running() as broker:
        pid = broker.spawn("cat", "sh", "-c", script)["pid"]
        eventually(lambda: told.exists() and told.read_text() != "", "the child")
        child = int(told.read_text())
        holder = parent_of(pid)
        os.kill(holder, signal.SIGSTOP)
        assert broker.stop() == 0
        assert gone(holder)
        eventually(lambda: gone(pid), "the end of the program")
        eventually(lambda: gone(child), "the end of its child")
        assert list((broker.directory / "holders").iterdir()) == []


def test_shutdown_over_http_ends_like_a_signal() -> None:
    with running() as broker:
        assert broker.post("/api/shutdown") == {"status": "shutting_down"}
        assert broker.wait() == 0


def test_a_second_broker_on_a_directory_is_told_about_the_first() -> None:
    with running() as broker:
        port = broker.http.base_url.port
        for options in ((), ("--port", str(port))):
            second = Running(broker.directory)
            second.launch(*options)
            assert second.wait() == 5
            said = "another broker instance is already running in this directory"
            assert said in broker.stderr()
        broker.get("/api/session")


def test_a_port_in_use_is_said_and_nothing_is_written() -> None:
    with socket.socket() as taken, idle() as broker:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        broker.launch("--port", str(taken.getsockname()[1]))
        assert broker.wait() == 1
        assert "is in use" in broker.stderr()
        assert not (broker.directory / "journal").exists()


def test_while_a_broker_starts_only_its_health_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RELAY_BROKER_API_KEY", "br_known")
    with idle() as broker, socket.socket() as probe:
        # Bound and not listening, it keeps the port from everybody who takes any, not from ours.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        disk = broker.directory.parent / "disk"
        disk.write_text("slow")
        process = broker.launch("--port", str(port), "--disk", str(disk))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            eventually(lambda: answers(http), "it listens")
            assert http.get("/health").json()["status"] == "starting"
            assert http.get("/api/session").status_code == 401
            early = http.get("/api/session", headers={"X-API-Key": "br_known"})
            assert (early.status_code, early.text) == (503, "the broker is starting")
        assert not (broker.directory / "connection.json").exists()
        disk.write_text("fine")
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        headers = {"X-API-Key": said["api_key"]}
        assert httpx.get(f"{said['url']}/api/session", headers=headers).status_code == 200
        assert httpx.get(f"{said['url']}/health").json()["status"] == "ok"


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health").is_success
    except httpx.TransportError:
        return False


def test_a_directory_with_a_name_too_long_for_a_socket_serves() -> None:
    with idle(name="d" * 150) as broker:
        broker.start()
        broker.spawn("cat", "cat")
        assert broker.deliver("cat", "hello")["verification"] == "echo"


def test_a_key_in_the_environment_is_the_key_and_does_not_reach_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RELAY_BROKER_API_KEY", "br_of_my_own")
    with idle() as broker:
        assert broker.start()["api_key"] == "br_of_my_own"
        seen = broker.directory / "seen"
        command = f"env > {shlex.quote(str(seen))}; exec cat"
        spawned = broker.spawn("cat", "bash", "-c", command, env={"MINE": "secret value"})
        values = dict(line.partition("=")[::2] for line in seen.read_text().splitlines())
        assert "RELAY_BROKER_API_KEY" not in values
        assert values["ACKBOOK_DIR"] == str(broker.directory)
        assert values["RELAY_AGENT_NAME"] == "cat"
        assert values["MINE"] == "secret value"
        holder = Path(f"/proc/{spawned['pid']}/stat").read_text().rpartition(")")[2].split()[1]
        assert b"br_of_my_own" not in Path(f"/proc/{holder}/environ").read_bytes()
        journal = next((broker.directory / "journal").glob("0*.jsonl")).read_text()
        assert '"env_names":["MINE"]' in journal
        assert "secret value" not in journal


def test_neither_a_holder_nor_its_program_keeps_a_descriptor_of_the_broker() -> None:
    with running() as broker:
        spawned = broker.spawn("cat", "cat")
        parent = Path(f"/proc/{spawned['pid']}/stat").read_text().rpartition(")")[2].split()[1]
        for pid in (spawned["pid"], int(parent)):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                target = os.readlink(entry)
                assert "/journal/" not in target, (pid, target)
        ours = {os.readlink(e) for e in Path(f"/proc/{broker.pid}/fd").iterdir()}
        theirs = {os.readlink(e) for e in Path(f"/proc/{spawned['pid']}/fd").iterdir()}
        shared = {t for t in ours & theirs if t != "/dev/null"}
        assert not shared


# --- the door


def test_without_a_key_everything_is_unauthorized_before_it_is_unknown(broker: Running) -> None:
    url = broker.http.base_url
    for path in ("/api/session", "/api/no/such/path", "/"):
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}):
            answer = httpx.get(url.join(path), headers=headers)
            assert answer.status_code == 401, path
            assert answer.json()["error"]["code"] == "unauthorized"
            assert answer.json()["error"]["statusCode"] == 401
    assert httpx.get(url.join("/health")).json()["status"] == "ok"
    assert broker.http.get("/api/no/such/path").status_code == 404


def test_a_key_may_come_in_either_header(broker: Running) -> None:
    key = broker.http.headers["X-API-Key"]
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        url = broker.http.base_url.join("/api/session")
        assert httpx.get(url, headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_a_page_of_another_site_is_not_served(broker: Running, headers: dict[str, str]) -> None:
    assert broker.http.get("/api/session", headers=headers).status_code == 403
    assert broker.http.get("/health", headers=headers).status_code == 403


def test_a_body_beyond_its_limit_is_too_large_however_it_is_sent(broker: Running) -> None:
    large = json.dumps({"to": "cat", "text": "", "unknown": "x" * 5_000_000}).encode()
    parts = [large[i : i + 65_536] for i in range(0, len(large), 65_536)]
    for content in (large, iter(parts)):
        answer = broker.http.post("/api/send", content=content)
        assert answer.status_code == 413
        assert answer.json()["code"] == "too_large"
    inside = broker.http.post("/api/send", json={"to": "cat", "text": "x" * 600_000})
    assert (inside.status_code, inside.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_request"),
        (b"[]", 400, "invalid_request"),
        (b'{"text":"x"}', 400, "invalid_request"),
        (b'{"to":"cat","text":7}', 400, "invalid_request"),
        (b'{"to":"cat","text":" "}', 400, "invalid_request"),
        (b'{"to":"cat","text":"x","priority":9}', 400, "invalid_request"),
        (b'{"to":"cat","text":"x","mode":"shout"}', 400, "invalid_mode"),
        (b'{"to":"nobody","text":"x"}', 404, "agent_not_found"),
        (b'{"to":"#empty","text":"x"}', 404, "agent_not_found"),
    ],
)
def test_a_wrong_message_is_refused_in_the_same_shape(
    broker: Running, body: bytes, status: int, code: str
) -> None:
    answer = broker.http.post("/api/send", content=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert (told["success"], told["code"]) == (False, code)
    assert told["error"] == told["message"] != ""


def test_an_unknown_agent_is_named_in_the_answer(broker: Running) -> None:
    for method, path in (
        ("GET", "/api/spawned/No One"),
        ("GET", "/api/spawned/No One/pending"),
        ("GET", "/api/spawned/No One/delivery-mode"),
        ("GET", "/api/spawned/No One/snapshot"),
        ("POST", "/api/spawned/No One/flush"),
        ("POST", "/api/spawned/No One/restart"),
    ):
        answer = broker.http.request(method, path)
        assert answer.status_code == 404, path
        assert 'Agent "No One" not found' in answer.json()["error"]
    released = broker.http.request("DELETE", "/api/spawned/No One")
    assert (released.status_code, released.json()["success"]) == (200, True)


# --- spawning


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "x", "cli": "no-such-program-anywhere"}, "no-such-program-anywhere"),
        ({"name": "x", "cli": "cat", "cwd": "/no/such/place"}, "/no/such/place"),
        ({"name": "#x", "cli": "cat"}, "cannot be an agent's name"),
        ({"name": "x"}, "cli is missing"),
    ],
)
def test_a_spawn_that_cannot_be_says_why_and_leaves_nothing(
    broker: Running, body: dict[str, str], said: str
) -> None:
    answer = broker.http.post("/api/spawn", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert [row["name"] for row in broker.get("/api/spawned")["agents"]] == ["cat"]
    assert len(list((broker.directory / "holders").iterdir())) == 1


def test_a_name_is_taken_once_in_any_case(broker: Running) -> None:
    answer = broker.http.post("/api/spawn", json={"name": "CAT", "cli": "cat"})
    assert (answer.status_code, answer.json()["code"]) == (409, "agent_exists")
    assert len(list((broker.directory / "holders").iterdir())) == 1


def test_a_command_line_is_split_and_a_task_is_the_first_message() -> None:
    with running() as broker:
        row = broker.spawn("sh", "bash --norc --noprofile", task=": the task")
        assert row["command"] == ["bash", "--norc", "--noprofile"]
        broker.settled()
        assert [m["body"] for m in broker.kinds("message.enqueued")] == [": the task"]


def test_a_release_ends_the_program_and_drops_what_waits() -> None:
    with running() as broker:
        spawned = broker.spawn("cat", "cat")
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
        broker.send("cat", "one")
        broker.http.request("DELETE", "/api/spawned/cat")
        eventually(lambda: gone(spawned["pid"]), "the program is gone")
        [released] = broker.kinds("agent.released")
        assert len(released["dropped"]) == 1
        again = broker.spawn("cat", "cat")
        assert again["generation"] == "2"


def test_a_restart_keeps_what_waits_and_runs_the_recorded_command() -> None:
    with running() as broker:
        kept = broker.directory / "kept"
        first = broker.spawn("bot", *chat(kept), env={"MINE": "1"})
        broker.http.put("/api/spawned/bot/delivery-mode", json={"mode": "manual_flush"})
        broker.send("bot", "waits")
        row = broker.post("/api/spawned/bot/restart", wait_ms=150_000)
        assert row["generation"] == "2"
        assert row["command"] == first["command"]
        assert gone(first["pid"])
        assert broker.post("/api/spawned/bot/flush") == {"flushed": 1}
        broker.settled()
        eventually(lambda: bool(transcript(kept)), "what was seen was submitted, too")
        assert ["waits" in text for text in transcript(kept)] == [True]


def test_a_program_that_ends_is_told_and_its_messages_wait_for_the_next() -> None:
    with running() as broker:
        spawned = broker.spawn("cat", "cat")
        os.kill(spawned["pid"], signal.SIGKILL)
        broker.agent_is("cat", "gone")
        assert broker.agent("cat")["exit"] == {"reason": "signalled", "code": None, "signal": 9}
        eventually(lambda: not list((broker.directory / "holders").iterdir()), "no socket is left")
        broker.send("cat", "later")
        broker.spawn("cat", "cat")
        broker.settled()
        [acked] = broker.kinds("delivery.acked")
        assert (acked["generation"], acked["verification"]) == (2, "echo")


def test_a_holder_that_is_killed_is_told_as_lost() -> None:
    with running() as broker:
        spawned = broker.spawn("cat", "cat")
        parent = Path(f"/proc/{spawned['pid']}/stat").read_text().rpartition(")")[2].split()[1]
        os.kill(int(parent), signal.SIGKILL)
        broker.agent_is("cat", "gone")
        assert broker.agent("cat")["exit"]["reason"] == "holder_lost"
        eventually(lambda: gone(spawned["pid"]), "its program went with it")


def test_a_program_that_crashes_is_started_again_as_often_as_its_policy_allows() -> None:
    policy = {"enabled": True, "max_restarts": 2, "cooldown_ms": 20, "max_consecutive_failures": 9}
    with running() as broker:
        pid = broker.spawn("cat", "cat", restartPolicy=policy, env={"MINE": "kept"})["pid"]
        for generation in (2, 3):
            os.kill(pid, signal.SIGKILL)
            broker.agent_is("cat", "ready", generation)
            pid = broker.agent("cat")["pid"]
            assert b"MINE=kept" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        os.kill(pid, signal.SIGKILL)
        broker.agent_is("cat", "gone", 3)
        [died] = broker.kinds("agent.died")
        assert died["generation"] == 3
        assert len(broker.kinds("agent.restarting")) == 2


def test_a_restart_that_was_due_when_its_broker_was_killed_is_still_made() -> None:
    policy = {"enabled": True, "cooldown_ms": 400}
    with running() as broker:
        pid = broker.spawn("cat", "cat", restartPolicy=policy)["pid"]
        os.kill(pid, signal.SIGKILL)
        broker.agent_is("cat", "restarting")
        broker.kill()
        broker.start()
        broker.agent_is("cat", "ready", 2)
