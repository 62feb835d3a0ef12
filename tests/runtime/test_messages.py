"""Messages over HTTP: waited for, parked, taken back, brought back, and answered honestly."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator

import pytest
from websockets.sync.client import ClientConnection, connect

from ackbook.broker.runtime.system.processes import started_at
from ackbook.broker.wire.frames import Hello, Welcome
from tests.support.brokers import QUICK, Running, running
from tests.support.holders import DEADLINE_S, Link, chat, eventually, program, transcript


@pytest.fixture(scope="module")
def broker() -> Iterator[Running]:
    """One broker for tests whose agents have names of their own."""
    with running(QUICK) as one:
        yield one


def park(broker: Running, name: str) -> None:
    answer = broker.http.put(
        f"/api/spawned/{name}/delivery-mode", json={"mode": "manual_flush"}
    ).json()
    assert answer["matched"] is True


# --- waiting


def test_a_sender_that_waits_is_told_level_and_evidence(broker: Running) -> None:
    broker.spawn("waits", "cat")
    for need in ("written", "seen", "submitted"):
        reply = broker.send("waits", f"until {need}", wait_ms=150_000, need=need)
        assert reply["outcome"] == "confirmed"
        [row] = reply["deliveries"]
        assert row["delivery_id"].startswith("del_")
        assert (row["agent"], row["reason"]) == ("waits", None)
        if need != "written":
            assert (row["state"], row["verification"]) == ("acked", "echo")
            assert row["evidence"]["how"]
            assert row["level"] in ("seen", "submitted")


def test_a_wait_that_is_over_is_timed_out_and_the_message_still_waits(broker: Running) -> None:
    broker.spawn("parked", "cat")
    park(broker, "parked")
    reply = broker.send("parked", "held", wait_ms=50)
    assert reply["outcome"] == "timed_out"
    [row] = reply["deliveries"]
    assert (row["state"], row["reason"]) == ("held", "manual_flush")
    assert [p["body"] for p in broker.get("/api/spawned/parked/pending")["pending"]] == ["held"]


def test_a_message_that_nobody_sees_is_unconfirmed_and_not_a_success() -> None:
    with running({"window_ms": 300}) as broker:
        kept = broker.directory / "kept"
        broker.spawn("quiet", *program("quiet_keys", str(kept)))
        reply = broker.send("quiet", "into the dark", wait_ms=3_000)
        assert reply["outcome"] == "unconfirmed"
        [row] = reply["deliveries"]
        assert (row["state"], row["verification"]) == ("acked", "timeout_fallback")
        assert row["level"] == "written"
        assert kept.read_bytes().count(b"into the dark") == 1


def test_a_message_that_is_taken_back_while_waited_for_has_failed(broker: Running) -> None:
    broker.spawn("back", "cat")
    park(broker, "back")
    replies = []
    waiter = threading.Thread(
        target=lambda: replies.append(broker.send("back", "never mind", wait_ms=150_000))
    )
    waiter.start()
    eventually(lambda: broker.get("/api/spawned/back/pending")["pending"] != [], "it waits")
    [row] = broker.get("/api/spawned/back/pending")["pending"]
    cancelled = broker.post(f"/api/cancel/{row['event_id']}")
    assert cancelled["cancelled"] == [row["delivery_id"]]
    waiter.join()
    assert replies[0]["outcome"] == "failed"
    assert replies[0]["deliveries"][0]["state"] == "cancelled"
    assert broker.http.post(f"/api/cancel/{row['event_id']}").status_code == 404
    again = broker.http.post(f"/api/cancel/{row['delivery_id']}")
    assert (again.status_code, again.json()["code"]) == (409, "not_cancellable")


def test_a_waiting_sender_is_answered_when_the_broker_ends() -> None:
    with running() as broker:
        broker.spawn("cat", "cat")
        park(broker, "cat")
        replies = []
        waiter = threading.Thread(
            target=lambda: replies.append(broker.send("cat", "held", wait_ms=150_000))
        )
        waiter.start()
        eventually(lambda: broker.get("/api/pending")["pending"] != [], "it waits")
        broker.post("/api/shutdown")
        waiter.join()
        assert replies[0]["outcome"] == "timed_out"
        assert broker.wait() == 0


# --- channels, modes, redelivery


def test_a_channel_reaches_its_subscribers_and_says_who(broker: Running) -> None:
    for name in ("c1", "c2", "c3"):
        broker.spawn(name, "cat", channels=["team"])
    left = broker.post("/api/spawned/c3/unsubscribe", channels=["team"])
    assert left == {"name": "c3", "channels": []}
    reply = broker.send("#team", "all of you", wait_ms=150_000)
    assert (reply["targets"], reply["delivered"]) == (["c1", "c2"], 2)
    assert reply["outcome"] == "confirmed"
    joined = broker.post("/api/spawned/c3/subscribe", channels=["#team", "other"])
    assert joined["channels"] == ["other", "team"]
    assert broker.send("#team", "again")["delivered"] == 3


def test_a_mode_is_changed_only_where_it_is_what_its_caller_believes(broker: Running) -> None:
    broker.spawn("mode", "cat")
    path = "/api/spawned/mode/delivery-mode"
    now = broker.get(path)
    assert now["revision"] == "0"
    command = {"mode": "manual_flush", "expected_revision": "7"}
    missed = broker.http.put(path, json=command).json()
    assert (missed["matched"], missed["mode"], missed["revision"]) == (False, "auto_inject", "0")
    done = broker.http.put(path, json=command | {"expected_revision": "0"}).json()
    assert (done["matched"], done["mode"], done["revision"]) == (True, "manual_flush", "1")
    for body, code in (({"mode": "x"}, "invalid_mode"), (command | {"expected_revision": "x"}, "")):
        refused = broker.http.put(path, json=body)
        assert refused.status_code == 400
        assert refused.json()["code"] == (code or "invalid_revision")


def test_a_flush_takes_what_waits_and_not_what_comes_later(broker: Running) -> None:
    kept = broker.directory / "kept-flush"
    broker.spawn("flush", *chat(kept))
    park(broker, "flush")
    for number in range(3):
        broker.send("flush", f"number {number}")
    assert broker.post("/api/spawned/flush/flush") == {"flushed": 3}
    late = broker.send("flush", "late", wait_ms=500)
    assert late["outcome"] == "timed_out"
    eventually(lambda: len(transcript(kept)) == 3, "three were typed")
    assert [row["body"] for row in broker.get("/api/spawned/flush/pending")["pending"]] == ["late"]


def test_a_delivery_that_ended_unseen_is_brought_back_even_from_the_journal() -> None:
    with running({"window_ms": 200}) as broker:
        kept = broker.directory / "kept"
        broker.spawn("quiet", *program("quiet_keys", str(kept)))
        reply = broker.send("quiet", "in vain", wait_ms=3_000)
        [row] = reply["deliveries"]
        answer = broker.post("/api/dead-letters/redeliver", id=row["delivery_id"])
        [again] = answer["redelivered"]
        assert again["event_id"] == reply["event_id"]
        assert again["delivery_id"] != row["delivery_id"]
        twice = broker.post("/api/dead-letters/redeliver", id=row["delivery_id"])
        assert "already redelivered" in twice["skipped"][0]["reason"]
        unknown = broker.http.post("/api/dead-letters/redeliver", json={"id": "del_ff_1"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "dead_letter_not_found")
        broker.spawn("cat", "cat")
        seen = broker.deliver("cat", "seen")
        kept_back = broker.post("/api/dead-letters/redeliver", id=seen["delivery_id"])
        assert "double" in kept_back["skipped"][0]["reason"]


# --- terminals


def joined(broker: Running, name: str, query: str = "") -> ClientConnection:
    url = str(broker.http.base_url.join(f"/api/spawned/{name}/attach{query}"))
    headers = {"X-API-Key": broker.http.headers["X-API-Key"]}
    address = url.replace("http", "ws", 1)
    return connect(address, additional_headers=headers, ping_interval=None, close_timeout=0.2)


def shown(ws: ClientConnection, text: bytes) -> bytes:
    """What a joined terminal is shown until a text appears."""
    seen = b""
    while text not in seen:
        data = ws.recv(DEADLINE_S)
        assert isinstance(data, bytes)
        seen += data
    return seen


def test_a_terminal_is_shown_plain_and_as_a_repaint(broker: Running) -> None:
    broker.spawn("screen", "cat")
    broker.deliver("screen", "stands here")
    plain = broker.get("/api/spawned/screen/snapshot")
    assert plain["format"] == "plain"
    assert (plain["rows"], plain["cols"]) == (24, 80)
    assert "stands here" in plain["screen"]
    ansi = broker.get("/api/spawned/screen/snapshot?format=ansi")
    assert b"stands here" in base64.b64decode(ansi["screen"])
    refused = broker.http.get("/api/spawned/screen/snapshot?format=png")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_format")


def test_keystrokes_and_sizes_reach_the_terminal(broker: Running) -> None:
    broker.spawn("keys", "bash", "--norc", "--noprofile")
    typed = broker.post("/api/input/keys", data="stty size\r")
    assert typed == {"name": "keys", "bytes_written": 10}

    def shows(text: str) -> bool:
        return text in broker.get("/api/spawned/keys/snapshot")["screen"]

    eventually(lambda: shows("24 80"), "the first size was said")
    broker.post("/api/resize/keys", rows=30, cols=100)
    broker.post("/api/input/keys", data="stty size\r")
    eventually(lambda: shows("30 100"), "the second size was said")


def test_a_joined_terminal_is_painted_follows_and_types(broker: Running) -> None:
    broker.spawn("join", "cat")
    broker.deliver("join", "before")
    with joined(broker, "join") as ws, joined(broker, "join", "?view=true") as viewer:
        assert b"before" in shown(ws, b"before")
        shown(viewer, b"before")
        viewer.send(b"not for a viewer\r")
        ws.send(b"by hand\r")
        shown(ws, b"by hand")
        shown(viewer, b"by hand")
        ws.send(json.dumps({"type": "resize", "rows": 40, "cols": 120}))
        eventually(
            lambda: broker.get("/api/spawned/join/snapshot")["rows"] == 40, "it has the new size"
        )
    assert "not for a viewer" not in broker.get("/api/spawned/join/snapshot")["screen"]


def test_a_joined_terminal_is_closed_when_its_program_ends(broker: Running) -> None:
    broker.spawn("short", "bash", "--norc", "--noprofile")
    with joined(broker, "short") as ws:
        ws.send(b"exit\r")
        seen = b"".join(data for data in ws if isinstance(data, bytes))
    assert b"exit" in seen
    assert broker.agent("short")["exit"]["code"] == 0


# --- links


def test_a_link_that_is_lost_is_made_again_and_nothing_is_typed_twice(broker: Running) -> None:
    kept = broker.directory / "kept-lost"
    broker.spawn("lost", *chat(kept))
    started = broker.kinds("broker.started")[-1]
    [path] = (broker.directory / "holders").glob("lost.*.sock")
    opened = next(r["data"] for r in broker.records() if r["kind"] == "journal.segment")
    hello = Hello(
        epoch=started["epoch"],
        journal_id=opened["journal"],
        instance=started["instance"],
        pid=broker.pid,
        started=started_at(broker.pid),
    )

    def intrude() -> Welcome:
        """Take the place of the broker's link, until the broker takes it back."""
        link = Link(str(path))
        link.send(hello)
        welcome = link.wait(Welcome)
        link.wait_closed()
        link.close()
        return welcome

    for number in range(8):
        broker.send("lost", f"number {number}")
        intrude()
    broker.settled("lost")
    eventually(lambda: intrude().reports == (), "what is settled is forgotten by the holder")
    texts = [text for text in transcript(kept) if "number" in text]
    assert [text.split("number ")[1][0] for text in texts] == [str(n) for n in range(8)]
    assert broker.agent("lost")["state"] == "ready"


def test_a_graceful_end_in_a_burst_drops_nothing_and_doubles_nothing() -> None:
    with running(QUICK) as broker:
        kept = broker.directory / "kept"
        broker.spawn("bot", *chat(kept))
        sent = [broker.send("bot", f"number {n}")["event_id"] for n in range(40)]
        assert broker.stop() == 0
        broker.start("--respawn")
        broker.settled()
        eventually(lambda: len(transcript(kept)) >= len(sent), "what was seen was submitted, too")
        texts = [text for text in transcript(kept) if "number" in text]
        assert [f"[{event}]" in text for event, text in zip(sent, texts, strict=True)] == [
            True
        ] * 40
        assert broker.get("/api/dead-letters")["count"] == 0
