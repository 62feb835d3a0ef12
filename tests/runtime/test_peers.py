"""Over the socket in the directory, what comes from the session of an agent's program is that
agent's, whatever it shows; what left the session is who its token says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.support.agent_session import ASKS, NOTHING, AgentSession
from tests.support.brokers import Row, Running, running
from tests.support.holders import ROOT, eventually

OPERATOR = "X-Ackbook-Caller:operator"
HI = '{"to": "ann", "text": "hi"}'


@pytest.fixture(scope="module")
def broker() -> Iterator[Running]:
    with running() as broker:
        broker.spawn("ann", "cat", agentToken="of-ann")
        yield broker


@pytest.fixture(scope="module")
def bob(broker: Running) -> AgentSession:
    session = AgentSession(broker.directory.parent / "bob")
    broker.spawn("bob", *session.command, agentToken="of-bob")
    return session


def sent_by(broker: Running) -> tuple[str, str]:
    """Who sent the newest message, and who commanded that."""
    fact = broker.kinds("message.enqueued")[-1]
    return fact["from"], fact["commander"]


@pytest.mark.parametrize(
    "shown",
    [(), (OPERATOR,), ("X-Agent-Token:of-ann",), ("X-Agent-Token:nobodys",)],
    ids=("nothing", "that_it_is_the_operator", "the_token_of_another", "a_token_that_is_nobodys"),
)
def test_who_asks_from_an_agents_session_is_that_agent_whatever_it_shows(
    shown: tuple[str, ...], broker: Running, bob: AgentSession
) -> None:
    done = bob.asks(broker.directory, "POST", "/api/send", HI, *shown)
    assert done.out.startswith("200 "), done
    assert sent_by(broker) == ("bob", "agent:bob")


def test_from_an_agents_session_another_sender_is_refused(
    broker: Running, bob: AgentSession
) -> None:
    body = json.dumps({"to": "ann", "text": "hi", "from": "ann"})
    done = bob.asks(broker.directory, "POST", "/api/send", body, "X-Agent-Token:of-ann")
    assert done.out.startswith("403 "), done
    assert "from is ann, and bob asks" in done.out


def test_what_left_the_session_is_who_its_token_says(broker: Running, bob: AgentSession) -> None:
    for shown, commander in (
        ((), "client"),
        ((OPERATOR,), "operator"),
        (("X-Agent-Token:of-bob",), "agent:bob"),
    ):
        done = bob.run(
            *NOTHING, *ASKS, "--leave", str(broker.directory), "POST", "/api/send", HI, *shown
        )
        assert done.out.startswith("200 "), done
        assert sent_by(broker)[1] == commander


def test_over_the_port_only_a_token_tells(broker: Running, bob: AgentSession) -> None:
    url, key = str(broker.http.base_url), broker.http.headers["X-API-Key"]
    asks = (
        "import httpx, sys; print(httpx.post(sys.argv[1], content=sys.argv[2],"
        " headers={'X-API-Key': sys.argv[3]}).status_code)"
    )
    python = ASKS[0]
    done = bob.run(*NOTHING, python, "-c", asks, f"{url}/api/send", HI, key)
    assert done.out == "200\n", done
    assert sent_by(broker) == ("human", "client")


DOORS = [
    ("POST", "/api/input/ann", '{"data": "x"}'),
    ("GET", "/api/spawned/ann/attach", ""),
    ("PUT", "/api/spawned/ann/delivery-mode", '{"mode": "manual_flush"}'),
    ("POST", "/api/spawned/ann/flush", ""),
    ("POST", "/api/shutdown", "{}"),
]
UPGRADE = ("Connection:Upgrade", "Upgrade:websocket", "Sec-WebSocket-Version:13")
KEY = "Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ=="


@pytest.mark.parametrize(("method", "path", "body"), DOORS)
def test_what_is_not_for_agents_is_refused_to_their_sessions(
    method: str, path: str, body: str, broker: Running, bob: AgentSession
) -> None:
    more = (*UPGRADE, KEY) if path.endswith("attach") else ()
    done = bob.asks(broker.directory, method, path, body, OPERATOR, *more)
    assert done.out.startswith("403 "), done
    assert "bob is an agent, and agents do not" in done.out


def test_who_asks_is_told_who_that_is(broker: Running, bob: AgentSession) -> None:
    def told(client: Row) -> Row:
        return {key: client[key] for key in ("commander", "agent")}

    done = bob.asks(broker.directory, "GET", "/api/caller")
    assert told(json.loads(done.out.partition(" ")[2])) == {
        "commander": "agent:bob",
        "agent": "bob",
    }
    assert told(broker.get("/api/caller")) == {"commander": "client", "agent": None}
    assert broker.get("/api/caller?token_sha256=00")["knows_token"] is False


def test_the_next_broker_knows_the_sessions_of_the_agents_that_lived_on() -> None:
    with running() as broker:
        broker.spawn("ann", "cat")
        session = AgentSession(broker.directory.parent / "bob")
        broker.spawn("bob", *session.command)
        broker.kill()
        broker.start()
        done = session.asks(broker.directory, "POST", "/api/send", HI, OPERATOR)
        assert done.out.startswith("200 "), done
        assert sent_by(broker) == ("bob", "agent:bob")


def test_a_program_that_asks_before_its_name_is_durable_is_its_agent() -> None:
    with running() as broker:
        mood = broker.directory.parent / "mood"
        mood.write_text("")
        broker.stop()
        broker.start("--disk", str(mood))
        broker.spawn("ann", "cat")
        asked = broker.directory.parent / "asked"
        command = (*ASKS, "--tell", str(asked), str(broker.directory), "POST", "/api/send", HI)
        body = {"name": "bob", "cli": command[0], "args": [*command[1:], OPERATOR]}
        body |= {"env": {"PYTHONPATH": str(ROOT)}}
        answers: list[httpx.Response] = []
        spawning = threading.Thread(
            target=lambda: answers.append(broker.http.post("/api/spawn", json=body))
        )
        mood.write_text("slow")
        spawning.start()
        eventually(asked.exists, "its program has asked")
        mood.write_text("")
        spawning.join()
        assert answers[0].is_success, answers[0].text
        eventually(lambda: bool(broker.kinds("message.enqueued")), "the message is there")
        assert sent_by(broker) == ("bob", "agent:bob")


def test_what_is_left_of_a_program_that_was_let_go_is_nobody() -> None:
    with running() as broker:
        broker.spawn("ann", "cat")
        there, answer = (broker.directory.parent / name for name in ("there", "answer"))
        asks = (*ASKS, "--after", str(there), str(broker.directory), "POST", "/api/send", HI)
        lives_on = 'trap "" HUP; answer=$0; "$@" > "$answer.new"; mv "$answer.new" "$answer"'
        command = ("sh", "-c", lives_on, str(answer), *asks, OPERATOR)
        broker.spawn("bob", *command, env={"PYTHONPATH": str(ROOT)})
        eventually(there.exists, "it has connected")
        assert broker.http.delete("/api/spawned/bob").is_success
        eventually(answer.exists, "it has asked")
        assert answer.read_text().startswith("403 ")
        assert "bob was let go or started again" in answer.read_text()
        assert broker.kinds("message.enqueued") == []
