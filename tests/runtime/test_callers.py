"""Who is who: each program has a token of its own, what comes with it is its agent's, and what is
not for agents is refused to it. Every record says who commanded."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.brokers import Row, Running, running
from tests.support.holders import eventually


@pytest.fixture(scope="module")
def broker() -> Iterator[Running]:
    with running() as broker:
        for name in ("bob", "ann"):
            spawn(broker, name)
        yield broker


def spawn(broker: Running, name: str, **more: object) -> str:
    """A program that tells its token to a file; the token."""
    told = broker.directory.parent / f"{name}.token"
    told.unlink(missing_ok=True)
    script = f'printf %s "$RELAY_AGENT_TOKEN" > "{told}.new"; mv "{told}.new" "{told}"; exec cat'
    broker.spawn(name, "sh", "-c", script, **more)
    return token_of(broker, name)


def token_of(broker: Running, name: str) -> str:
    told = broker.directory.parent / f"{name}.token"
    eventually(told.exists, "it has told its token")
    return told.read_text()


def as_agent(broker: Running, token: str) -> httpx.Client:
    """A client that shows this token."""
    headers = {**broker.http.headers, "X-Agent-Token": token}
    http = httpx.Client(base_url=broker.http.base_url, headers=headers, timeout=60)
    broker._clients.append(http)
    return http


@pytest.fixture
def bob(broker: Running) -> httpx.Client:
    return as_agent(broker, token_of(broker, "bob"))


def said(broker: Running, kind: str) -> Row:
    """The newest record of a kind."""
    return broker.kinds(kind)[-1]


def wished(broker: Running) -> int:
    """How many records say that somebody commanded them."""
    return sum("commander" in record["data"] for record in broker.records())


def test_each_program_has_a_token_of_its_own_of_which_the_journal_keeps_a_hash(
    broker: Running,
) -> None:
    tokens = {name: token_of(broker, name) for name in ("bob", "ann")}
    assert len(set(tokens.values())) == 2
    hashes = {fact["name"]: fact["token_sha256"] for fact in broker.kinds("agent.spawned")}
    for name, token in tokens.items():
        assert len(token) >= 32
        assert hashes[name] == hashlib.sha256(token.encode()).hexdigest()
        for path in (broker.directory / "journal").glob("*.jsonl"):
            assert token.encode() not in path.read_bytes()


def test_who_shows_a_token_is_its_agent(broker: Running, bob: httpx.Client) -> None:
    sent = bob.post("/api/send", json={"to": "ann", "text": "hi"})
    assert sent.is_success, sent.text
    fact = said(broker, "message.enqueued")
    assert (fact["from"], fact["commander"]) == ("bob", "agent:bob")
    for claim in ("bob", "BOB"):
        body = {"to": "ann", "text": "hi", "from": claim}
        assert bob.post("/api/send", json=body).is_success


@pytest.mark.parametrize("claim", ["ann", "human", "operator"])
def test_a_sender_that_the_token_is_not_of_is_refused(
    claim: str, broker: Running, bob: httpx.Client
) -> None:
    before = wished(broker)
    answer = bob.post("/api/send", json={"to": "ann", "text": "hi", "from": claim})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert "and bob asks" in answer.json()["message"]
    spawned = bob.post("/api/spawn", json={"name": "new", "cli": "cat", "parent": claim})
    assert spawned.status_code == 403
    assert wished(broker) == before, "and nothing of it is recorded"


def test_a_token_that_is_nobodys_is_refused(broker: Running) -> None:
    for token in ("agt_0", "x"):
        answer = as_agent(broker, token).post("/api/send", json={"to": "ann", "text": "hi"})
        assert (answer.status_code, answer.json()["code"]) == (403, "unknown_token")


def test_others_are_a_client_or_the_operator(broker: Running) -> None:
    broker.send("ann", "hi")
    assert said(broker, "message.enqueued")["commander"] == "client"
    answer = broker.http.post(
        "/api/send", json={"to": "ann", "text": "hi"}, headers={"X-Ackbook-Caller": "operator"}
    )
    assert answer.is_success
    assert said(broker, "message.enqueued")["commander"] == "operator"


NOT_FOR_AGENTS = [
    ("POST", "/api/input/ann", {"data": "x"}, "type into terminals"),
    ("POST", "/api/input/bob", {"data": "x"}, "type into terminals"),
    ("PUT", "/api/spawned/ann/delivery-mode", {"mode": "manual_flush"}, "hold the messages"),
    ("POST", "/api/spawned/ann/flush", {}, "flush the messages"),
    ("POST", "/api/resize/ann", {"rows": 10, "cols": 10}, "type into terminals"),
    ("DELETE", "/api/spawned/ann", {}, "end or restart others"),
    ("POST", "/api/spawned/ann/restart", {}, "end or restart others"),
    ("POST", "/api/spawned/ann/subscribe", {"channels": ["c"]}, "change the channels"),
    ("POST", "/api/spawned/ann/unsubscribe", {"channels": ["c"]}, "change the channels"),
    ("POST", "/api/compact", {"keep_audit": "0d"}, "compact the journal"),
    ("POST", "/api/shutdown", {}, "end the broker"),
]


@pytest.mark.parametrize(("method", "path", "body", "what"), NOT_FOR_AGENTS)
def test_what_is_not_for_agents_is_refused_to_them(
    method: str, path: str, body: Row, what: str, broker: Running, bob: httpx.Client
) -> None:
    before = wished(broker)
    answer = bob.request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), answer.text
    assert what in answer.json()["message"]
    assert "ackbook up --set agents_may=" in answer.json()["message"]
    assert wished(broker) == before


def test_an_agent_may_look_at_a_terminal_and_not_join_it(broker: Running) -> None:
    url = str(broker.http.base_url).replace("http", "ws", 1)
    headers = {
        "X-API-Key": broker.http.headers["X-API-Key"],
        "X-Agent-Token": token_of(broker, "bob"),
    }
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{url}/api/spawned/ann/attach", additional_headers=headers).close()
    assert refused.value.response.status_code == 403
    with connect(f"{url}/api/spawned/ann/attach?view=true", additional_headers=headers) as link:
        assert link.recv()


def test_an_agent_holds_and_flushes_its_own_messages(broker: Running, bob: httpx.Client) -> None:
    for name in ("bob", "BOB"):
        held = bob.put(f"/api/spawned/{name}/delivery-mode", json={"mode": "manual_flush"})
        assert held.is_success, held.text
        assert bob.post(f"/api/spawned/{name}/flush").is_success
    assert said(broker, "agent.mode_changed")["by"] == "bob"
    let_go = bob.put("/api/spawned/bob/delivery-mode", json={"mode": "auto_inject"})
    assert let_go.is_success


def test_what_an_agent_does_to_itself_is_not_refused(broker: Running) -> None:
    carl = as_agent(broker, spawn(broker, "carl"))
    for path, body in (
        ("/api/resize/carl", {"rows": 10, "cols": 10}),
        ("/api/spawned/CARL/subscribe", {"channels": ["c"]}),
        ("/api/spawned/carl/unsubscribe", {"channels": ["c"]}),
        ("/api/compact", {"dry_run": True}),
    ):
        answer = carl.post(path, json=body)
        assert answer.is_success, answer.text
    (broker.directory.parent / "carl.token").unlink()
    assert carl.post("/api/spawned/carl/restart", json={"wait_ms": 150_000}).is_success
    again = as_agent(broker, token_of(broker, "carl"))
    assert again.delete("/api/spawned/carl").is_success


def held_by_operator(broker: Running, sender: str, to: str) -> Row:
    """A message that waits, since its recipient is on hold."""
    path = f"/api/spawned/{to}/delivery-mode"
    assert broker.http.put(path, json={"mode": "manual_flush"}).is_success
    return broker.send(to, "hi", **{"from": sender})


@pytest.mark.parametrize(
    ("sender", "to", "status"), [("bob", "ann", 200), ("ann", "bob", 200), ("human", "ann", 403)]
)
def test_an_agent_takes_back_and_redelivers_what_is_from_it_or_for_it(
    sender: str, to: str, status: int, broker: Running, bob: httpx.Client
) -> None:
    sent = held_by_operator(broker, sender, to)
    [row] = sent["deliveries"]
    answer = bob.post(f"/api/cancel/{sent['event_id']}")
    assert answer.status_code == status, answer.text
    if status == 403:
        assert bob.post(f"/api/cancel/{row['delivery_id']}").status_code == 403
        assert "take back the messages of others" in answer.json()["message"]
        broker.post(f"/api/cancel/{sent['event_id']}")
    redelivered = bob.post("/api/dead-letters/redeliver", json={"id": row["delivery_id"]})
    assert redelivered.status_code == status, redelivered.text
    broker.http.put(f"/api/spawned/{to}/delivery-mode", json={"mode": "auto_inject"})


def given_up(broker: Running, name: str) -> bool:
    return name in [row["agent"] for row in broker.get("/api/dead-letters")["dead_letters"]]


def test_an_agent_does_not_redeliver_all_where_some_is_others() -> None:
    with running({"hold_ms": 1}) as broker:
        bob = as_agent(broker, spawn(broker, "bob"))
        for sender, status in (("bob", 200), ("human", 403)):
            gone = f"for-{sender}"
            pid = broker.spawn(gone, "cat")["pid"]
            held_by_operator(broker, sender, gone)
            os.kill(pid, signal.SIGKILL)
            eventually(partial(given_up, broker, gone), "it is given up")
            answer = bob.post("/api/dead-letters/redeliver", json={"all": True})
            assert answer.status_code == status, answer.text
            if status == 403:
                assert "redeliver the messages of others" in answer.json()["message"]


def test_every_record_of_a_wish_says_who_commanded(broker: Running, bob: httpx.Client) -> None:
    chosen = "chosen-for-the-child"
    child_of_bob = {"name": "child", "cli": "cat", "agentToken": chosen}
    assert bob.post("/api/spawn", json=child_of_bob).is_success
    spawned = said(broker, "agent.spawned")
    assert (spawned["commander"], spawned["parent"]) == ("agent:bob", "bob")
    child = as_agent(broker, chosen)
    assert child.post("/api/spawned/child/subscribe", json={"channels": ["c"]}).is_success
    assert child.post("/api/spawned/child/unsubscribe", json={"channels": ["c"]}).is_success
    broker.http.put("/api/spawned/child/delivery-mode", json={"mode": "manual_flush"})
    sent = bob.post("/api/send", json={"to": "child", "text": "hi"}).json()
    assert bob.post(f"/api/cancel/{sent['event_id']}").is_success
    assert bob.post("/api/send", json={"to": "nobody", "text": "hi"}).status_code == 404
    broker.post("/api/spawned/child/flush")
    assert child.delete("/api/spawned/child").is_success
    assert {kind: said(broker, kind).get("commander") for kind in WISHED} == {
        **dict.fromkeys(WISHED, "agent:bob"),
        **dict.fromkeys(OF_ITSELF, "agent:child"),
        "agent.mode_changed": "client",
        "queue.flushed": "client",
    }
    wishes = {"send", "spawn", "subscribe", "unsubscribe", "cancel", "release", "set_mode", "flush"}
    for record in broker.records():
        if record.get("by", {}).get("command") in wishes:
            assert record["data"].get("commander"), record
    broker.check_decisions()


WISHED = [
    *("message.enqueued", "message.refused", "agent.subscribed", "agent.unsubscribed"),
    *("delivery.cancelled", "agent.released", "agent.mode_changed", "queue.flushed"),
]
OF_ITSELF = ["agent.subscribed", "agent.unsubscribed", "agent.released"]


def test_what_the_policy_names_is_for_agents_too() -> None:
    doors = ["input", "flush", "release", "subscribe", "cancel", "compact", "shutdown"]
    with running({"agents_may": doors}) as broker:
        token = spawn(broker, "bob")
        spawn(broker, "ann")
        bob = as_agent(broker, token)
        assert bob.post("/api/input/ann", json={"data": "x"}).is_success
        assert bob.post("/api/spawned/ann/flush").is_success
        held = bob.put("/api/spawned/ann/delivery-mode", json={"mode": "manual_flush"})
        assert held.status_code == 403
        assert bob.post("/api/resize/ann", json={"rows": 10, "cols": 10}).is_success
        assert bob.post("/api/spawned/ann/subscribe", json={"channels": ["c"]}).is_success
        assert bob.post("/api/compact", json={}).is_success
        waits = held_by_operator(broker, "human", "ann")
        assert bob.post(f"/api/cancel/{waits['event_id']}").is_success
        assert bob.post("/api/spawned/ann/restart", json={"wait_ms": 150_000}).is_success
        assert bob.delete("/api/spawned/ann").is_success
        assert bob.post("/api/shutdown", json={"keep_agents": True}).is_success
        assert broker.wait() == 0
        last = [json.loads(line) for line in _lines(broker.directory)][-2:]
        [stopped] = [record for record in last if record["kind"] == "broker.stopped"]
        assert stopped["data"]["commander"] == "agent:bob"


def _lines(directory: Path) -> list[bytes]:
    [*_, tail] = sorted((directory / "journal").glob("0*.jsonl"))
    return [line for line in tail.read_bytes().splitlines() if line]


def test_a_token_is_good_for_one_generation_and_across_brokers() -> None:
    with running() as broker:
        spawn(broker, "ann")
        first = spawn(broker, "bob")
        broker.kill()
        broker.start()
        broker.agent_is("bob", "ready")
        body = {"to": "ann", "text": "hi"}
        assert as_agent(broker, first).post("/api/send", json=body).is_success
        (broker.directory.parent / "bob.token").unlink()
        broker.post("/api/spawned/bob/restart", wait_ms=60_000)
        second = token_of(broker, "bob")
        assert second != first
        assert as_agent(broker, first).post("/api/send", json=body).status_code == 403
        assert as_agent(broker, second).post("/api/send", json=body).is_success
        assert said(broker, "agent.spawned")["commander"] == "client"
        assert broker.http.delete("/api/spawned/bob").is_success
        assert as_agent(broker, second).post("/api/send", json=body).status_code == 403


def test_a_token_that_the_caller_chose_is_the_agents() -> None:
    with running() as broker:
        assert spawn(broker, "bob", agentToken="chosen-by-me") == "chosen-by-me"
        spawn(broker, "ann")
        sent = as_agent(broker, "chosen-by-me").post("/api/send", json={"to": "ann", "text": "hi"})
        assert sent.is_success
        assert said(broker, "message.enqueued")["commander"] == "agent:bob"
        for wrong in ("", "two words", "é", "a\nb"):
            answer = broker.http.post(
                "/api/spawn", json={"name": "x", "cli": "cat", "agentToken": wrong}
            )
            assert answer.status_code == 400
