"""The bodies of answers over HTTP keep their keys, and each key the kinds of value that it has.

`golden/bodies.json` holds the shape of every body, by what was asked. Keys are added to it, never
renamed or removed; what is null there is null and not absent, and what is absent is not null.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.support.brokers import QUICK, Running, running
from tests.support.holders import DEADLINE_S, eventually, program

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "bodies.json").read_text())

POLICY = {**QUICK, "hold_ms": 1, "queue_length_max": 2, "queue_policy": "reject_newest"}


def shape(value: object) -> object:
    """The keys of objects, with the kinds of their values; of a list the shapes that occur."""
    match value:
        case {"how": _}:
            return "evidence"  # of which only `how` is always there
        case dict():
            return {key: shape(each) for key, each in sorted(value.items())}
        case list():
            told = {json.dumps(shape(each), sort_keys=True) for each in value}
            return [json.loads(each) for each in sorted(told)]
        case None:
            return "null"
        case _:
            return {bool: "true or false", int: "whole number", str: "text"}[type(value)]


def bodies() -> dict[str, object]:
    """The answers of a broker that has something of everything, by what was asked."""
    with running(POLICY) as broker, broker.http:
        return {
            **of_agents(broker),
            **of_messages(broker),
            **of_the_broker(broker),
            **of_refusals(broker),
            "shutdown": broker.post("/api/shutdown"),
        }


def of_agents(broker: Running) -> dict[str, object]:
    told: dict[str, object] = {
        "spawn, ready": broker.spawn("amy", "cat", channels=["team"]),
        "agent": broker.agent("amy"),
        "agents": broker.get("/api/spawned"),
    }
    broker.spawn("bob", "bash", "--norc", "--noprofile")
    told["input"] = broker.post("/api/input/bob", data="exit 3\r")
    broker.agent_is("bob", "gone")
    told["agent, gone"] = broker.agent("bob")
    told["restart"] = broker.post("/api/spawned/bob/restart", wait_ms=150_000)
    told["mode"] = broker.get("/api/spawned/bob/delivery-mode")
    told["mode, set"] = park(broker, "bob")
    told["subscribe"] = broker.post("/api/spawned/bob/subscribe", channels=["team"])
    told["unsubscribe"] = broker.post("/api/spawned/bob/unsubscribe", channels=["team"])
    told["snapshot, plain"] = broker.get("/api/spawned/amy/snapshot")
    told["snapshot, ansi"] = broker.get("/api/spawned/amy/snapshot?format=ansi")
    told["resize"] = broker.post("/api/resize/amy", rows=30, cols=100)
    told["release"] = broker.http.delete("/api/spawned/bob").json()
    return told


def of_messages(broker: Running) -> dict[str, object]:
    told: dict[str, object] = {"send": broker.send("amy", "text")}
    told["send, confirmed"] = seen = broker.send("amy", "text", wait_ms=150_000)
    broker.spawn("eve", "bash", "--norc", "--noprofile", channels=["team"])
    park(broker, "eve")
    told["send, timed out"] = broker.send("eve", "text", thread="a thread", wait_ms=1)
    told["flush"] = broker.post("/api/spawned/eve/flush")
    broker.settled("eve")
    half = broker.send("#team", "text")
    eventually(lambda: len(broker.get("/api/pending")["pending"]) == 1, "amy has it")
    told["cancel, in part"] = broker.post(f"/api/cancel/{half['event_id']}")
    broker.send("eve", "text", thread="a thread")
    broker.send("eve", "text", sender="zoe")
    told["send, refused in part"] = broker.send("#team", "text", wait_ms=150_000)
    broker.settled("amy")
    told["pending"] = broker.get("/api/pending")
    told["pending, of one"] = broker.get("/api/spawned/eve/pending")
    told["agent, held"] = broker.agent("eve")
    told["status"] = broker.get("/api/status")
    dim = broker.directory / "dim"
    broker.spawn("dim", *program("quiet_keys", str(dim)))
    told["send, unconfirmed"] = unseen = broker.send("dim", "text", wait_ms=150_000)
    broker.post("/api/input/eve", data="exit\r")
    eventually(lambda: broker.get("/api/dead-letters")["count"] == 2, "nobody is there")
    told["dead letters"] = broker.get("/api/dead-letters")
    old = {"id": unseen["deliveries"][0]["delivery_id"]}
    told["redeliver"] = broker.post("/api/dead-letters/redeliver", **old)
    told["redeliver, skipped"] = broker.post("/api/dead-letters/redeliver", **old)
    return told | of_the_past(broker, seen)


def of_the_past(broker: Running, sent: dict[str, Any]) -> dict[str, object]:
    message, [delivery] = sent["event_id"], sent["deliveries"]
    events = broker.get("/api/events/replay?sinceSeq=0")
    kinds = {event["kind"] for event in events["events"]}
    assert {"delivery_ack", "relay_inbound"} <= kinds, kinds
    return {
        "events": {key: value for key, value in events.items() if key != "events"},
        "event": next(event for event in events["events"] if event["kind"] == "delivery_ack"),
        "why, a message": without_timeline(broker.get(f"/api/why/{message}")),
        "why, a delivery": without_timeline(broker.get(f"/api/why/{delivery['delivery_id']}")),
        "why, asked": list(broker.get(f"/api/why?id={message}")),
    }


def without_timeline(story: dict[str, Any]) -> dict[str, Any]:
    """A story without its records, whose fields are those of the facts."""
    return story | {"timeline": bool(story["timeline"])}


def of_the_broker(broker: Running) -> dict[str, object]:
    run = broker.post("/api/compact")
    told: dict[str, object] = {
        "health": broker.get("/health"),
        "session": broker.get("/api/session"),
        "session, renewed": broker.post("/api/session/renew"),
        "config": broker.get("/api/config"),
        "compact": run,
    }
    eventually(lambda: broker.get(f"/api/compact?run={run['run']}")["over"], "it is over")
    report = broker.get(f"/api/compact?run={run['run']}")
    assert report["report"]["pinned"]
    return told | {"compact, over": report}


def of_refusals(broker: Running) -> dict[str, object]:
    url = str(broker.http.base_url)
    key = {"X-API-Key": broker.http.headers["X-API-Key"]}
    with connect(
        f"{url.replace('http', 'ws', 1)}/ws?sinceSeq={1 << 40}", additional_headers=key
    ) as feed:
        gap = json.loads(feed.recv(DEADLINE_S))
    return {
        "no such agent": broker.http.get("/api/spawned/nobody").json(),
        "no such path": broker.http.get("/api/nothing").json(),
        "no key": httpx.get(f"{url}/api/status").json(),
        "no such cursor": broker.http.get(f"/api/events?sinceSeq={1 << 40}").json(),
        "no such cursor, in the feed": gap,
    }


def park(broker: Running, name: str) -> dict[str, Any]:
    body = {"mode": "manual_flush"}
    answer: dict[str, Any] = broker.http.put(f"/api/spawned/{name}/delivery-mode", json=body).json()
    assert answer["matched"] is True
    return answer


@pytest.fixture(scope="module")
def answered() -> dict[str, object]:
    return bodies()


@pytest.mark.parametrize("asked", GOLDEN)
def test_a_body_has_the_keys_and_kinds_of_value_that_it_always_had(
    asked: str, answered: dict[str, object]
) -> None:
    assert shape(answered[asked]) == GOLDEN[asked]


def test_every_body_that_is_asked_for_has_its_golden_shape(answered: dict[str, object]) -> None:
    assert set(answered) == set(GOLDEN)
