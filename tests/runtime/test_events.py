"""The feed from outside: everything after a cursor, once, in order, whatever happens in between."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.brokers import QUICK, Row, Running, running
from tests.support.holders import DEADLINE_S

PATIENT = {**QUICK, "window_ms": 60_000}
"""On a busy machine a program may take longer than usual to show what it was told."""


@contextlib.contextmanager
def watching(broker: Running, since: int | str = 0) -> Iterator[ClientConnection]:
    url = str(broker.http.base_url.join("/ws")).replace("http", "ws", 1)
    headers = {"X-API-Key": broker.http.headers["X-API-Key"]}
    address = f"{url}?sinceSeq={since}"
    with connect(
        address, additional_headers=headers, ping_interval=None, max_queue=1, close_timeout=0.2
    ) as ws:
        yield ws


def durable(ws: ClientConnection, until: int) -> list[Row]:
    """The durable events of a WebSocket through a cursor."""
    events: list[Row] = []
    while not events or events[-1]["seq"] < until:
        event = json.loads(ws.recv(DEADLINE_S))
        if "seq" in event:
            events.append(event)
    return events


def rest(ws: ClientConnection) -> list[Row]:
    """The durable events of a WebSocket until it is closed by the broker."""
    events: list[Row] = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            event = json.loads(ws.recv(DEADLINE_S))
            if "seq" in event:
                events.append(event)
    return events


def streamed(broker: Running, since: int, until: int) -> list[Row]:
    """The events of an SSE stream through a cursor."""
    events: list[Row] = []
    headers = {"Last-Event-ID": str(since)}
    with broker.http.stream("GET", "/api/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        cursor = ""
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                cursor = value
            elif name == "data":
                event = json.loads(value)
                assert str(event["seq"]) == cursor
                events.append(event)
                if event["seq"] >= until:
                    return events
    raise AssertionError(f"the stream ended after {events[-1:]}")


def history(broker: Running, since: int = 0) -> list[Row]:
    events: list[Row] = broker.get(f"/api/events/replay?sinceSeq={since}")["events"]
    return events


def test_events_of_a_message_come_in_their_order_with_its_ids() -> None:
    with running() as broker:
        broker.spawn("cat", "cat")
        reply = broker.send("cat", "hello", wait_ms=150_000)
        mine = [e["kind"] for e in history(broker) if e.get("event_id") == reply["event_id"]]
        assert [kind for kind in mine if kind != "delivery_advanced"] == [
            "relay_inbound",
            "delivery_queued",
            "delivery_injected",
            "delivery_ack",
            "message_delivery_confirmed",
            "delivery_verified",
        ]


def test_every_stream_tells_the_same_from_every_cursor() -> None:
    with running(PATIENT) as broker:
        broker.spawn("cat", "cat")
        for number in range(5):
            broker.deliver("cat", f"message {number}", need="submitted")
        everything = history(broker)
        cursors = [event["seq"] for event in everything]
        assert cursors == sorted(set(cursors))
        assert all(event["record"] == event["seq"] // 1024 for event in everything)
        for start in (0, *cursors[:-1:3]):
            later = [event for event in everything if event["seq"] > start]
            assert history(broker, start) == later
            assert streamed(broker, start, cursors[-1]) == later
            with watching(broker, start) as ws:
                assert durable(ws, cursors[-1]) == later


def test_a_stream_resumed_after_a_kill_has_neither_hole_nor_double() -> None:
    with running(PATIENT) as broker:
        broker.spawn("cat", "cat")
        seen: list[Row] = []
        with watching(broker) as ws:
            for number in range(3):
                broker.deliver("cat", f"before {number}")
            seen += durable(ws, broker.get("/api/events/replay?sinceSeq=0")["events"][-1]["seq"])
            broker.kill()
            seen += rest(ws)
        broker.start()
        with watching(broker, seen[-1]["seq"]) as ws:
            for number in range(3):
                broker.deliver("cat", f"after {number}")
            seen += durable(ws, history(broker)[-1]["seq"])
        assert seen == history(broker)[: len(seen)]
        assert len({event["seq"] for event in seen}) == len(seen)


def test_a_stream_that_begins_in_a_burst_has_neither_hole_nor_double() -> None:
    with running(PATIENT) as broker:
        broker.spawn("cat", "cat")
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
        done = threading.Event()

        def talk() -> None:
            with httpx.Client(base_url=broker.http.base_url, headers=broker.http.headers) as http:
                for number in range(400):
                    http.post("/api/send", json={"to": "cat", "text": f"n {number}"})
            done.set()

        thread = threading.Thread(target=talk)
        thread.start()
        streams: list[list[Row]] = []
        try:
            while not done.is_set():
                with watching(broker) as ws:
                    streams.append(durable(ws, history(broker)[-1]["seq"]))
        finally:
            thread.join()
        assert streams
        everything = history(broker)
        for stream in streams:
            assert stream == everything[: len(stream)]


def test_a_reader_that_is_too_slow_for_memory_is_served_from_the_journal() -> None:
    with running() as broker:
        broker.spawn("cat", "cat")
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
        with watching(broker) as ws:
            first = durable(ws, history(broker)[-1]["seq"])
            for number in range(300):
                broker.send("cat", f"{number} " + "x" * 100_000)
            assert first + durable(ws, history(broker)[-1]["seq"]) == history(broker)


def test_a_cursor_ahead_of_the_journal_is_said_so_by_every_stream() -> None:
    with running() as broker:
        ahead = 1 << 40
        answer = broker.get(f"/api/events/replay?sinceSeq={ahead}")
        assert answer["events"] == []
        assert answer["currentSeq"] < ahead
        refused = broker.http.get("/api/events", headers={"Last-Event-ID": str(ahead)})
        assert (refused.status_code, refused.json()["code"]) == (409, "cursor_ahead")
        with watching(broker, ahead) as ws:
            gap = json.loads(ws.recv(DEADLINE_S))
            assert (gap["kind"], gap["reason"]) == ("replay_gap", "cursor_ahead")
            broker.spawn("cat", "cat")
            assert json.loads(ws.recv(DEADLINE_S))["kind"] == "agent_spawned"


def test_a_stream_without_a_key_is_not_opened() -> None:
    with running() as broker:
        url = str(broker.http.base_url.join("/ws")).replace("http", "ws", 1)
        for headers in ({}, {"X-API-Key": "wrong"}):
            with pytest.raises(InvalidStatus) as refused:
                connect(url, additional_headers=headers)
            assert refused.value.response.status_code == 401


def test_terminal_output_is_streamed_while_somebody_watches_and_is_not_kept() -> None:
    with running() as broker:
        with watching(broker) as ws:
            broker.spawn("cat", "cat")
            broker.deliver("cat", "to be seen")
            chunks = ""
            while "to be seen" not in chunks:
                event = json.loads(ws.recv(DEADLINE_S))
                if event["kind"] == "worker_stream":
                    assert event["name"] == "cat"
                    assert "seq" not in event
                    chunks += event["chunk"]
        assert all(event["kind"] != "worker_stream" for event in history(broker))


def test_a_graceful_end_closes_streams_after_the_last_event() -> None:
    with running() as broker:
        broker.spawn("cat", "cat")
        with watching(broker) as ws:
            broker.post("/api/shutdown")
            last = rest(ws)[-1]
        assert (last["kind"], last["reason"]) == ("agent_exited", "broker_stopped")
        assert broker.wait() == 0


def test_why_and_the_journal_are_told_over_http() -> None:
    with running() as broker:
        broker.spawn("cat", "cat")
        reply = broker.send("cat", "hello", wait_ms=150_000)
        story = broker.get(f"/api/why/{reply['event_id']}")
        assert story["id"] == reply["event_id"]
        assert story["state"] == "acked"
        assert story["deliveries"][0]["delivery_id"] == reply["deliveries"][0]["delivery_id"]
        assert broker.http.get("/api/why/evt_ffff").status_code == 404
        keyed = broker.send("cat", "again", idempotency_key="order/1", wait_ms=150_000)
        other = broker.send("cat", "once more", idempotency_key="order-2", wait_ms=150_000)
        for question in ("?key=order/1", "?key=order/1&from=human", f"?id={keyed['event_id']}"):
            [by_key] = broker.get(f"/api/why{question}")["stories"]
            assert (by_key["id"], by_key["state"]) == (keyed["event_id"], "acked")
        assert broker.get("/api/why/order-2?from=human")["id"] == other["event_id"]
        last = broker.get("/api/why?agent=CAT&last=2")["stories"]
        assert [each["id"] for each in last] == [
            sent["deliveries"][0]["delivery_id"] for sent in (keyed, other)
        ]
        for question, status in {
            "?key=unknown": 404,
            "?key=order/1&from=nobody": 404,
            "?agent=nobody&last=1": 404,
            "/no-such-key": 404,
            "?agent=cat": 400,
            "?agent=cat&last=0": 400,
            "?agent=cat&last=x": 400,
            "?key=k&id=evt_1": 400,
            "": 400,
        }.items():
            assert broker.http.get(f"/api/why{question}").status_code == status, question
        records = broker.records()
        assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
        rest = broker.http.get(f"/api/journal?from={reply['seq']}").text.splitlines()
        assert json.loads(rest[0])["seq"] == reply["seq"]
