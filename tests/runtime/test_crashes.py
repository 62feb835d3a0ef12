"""What a broker that is killed leaves behind, and what the next one makes of it."""

from __future__ import annotations

import os
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from ackbook.broker.wire.frames import Launch
from ackbook.projections.facts import AgentName
from tests.support.brokers import QUICK, Running, idle, running
from tests.support.holders import chat, environment, eventually, gone, numbers, popen, transcript


def burst(broker: Running, names: list[str], count: int) -> dict[str, list[int]]:
    """Send numbered messages to each agent until the broker is gone; those acknowledged."""
    acknowledged: dict[str, list[int]] = {name: [] for name in names}
    url, headers = broker.http.base_url, broker.http.headers

    def send(name: str) -> None:
        with httpx.Client(base_url=url, headers=headers, timeout=150) as http:
            for number in range(count):
                body = {"to": name, "text": f"number {number} for {name}"}
                try:
                    answer = http.post("/api/send", json=body)
                except httpx.TransportError:
                    return
                assert answer.status_code == 200, answer.text
                acknowledged[name].append(number)

    threads = [threading.Thread(target=send, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return acknowledged


def test_a_broker_killed_in_a_burst_loses_nothing_and_types_nothing_twice() -> None:
    names = ["ann", "bob"]
    with running(QUICK) as broker:
        kept = {name: broker.directory / f"kept-{name}" for name in names}
        for name in names:
            broker.spawn(name, *chat(kept[name]))
        pids = {name: broker.agent(name)["pid"] for name in names}
        killer = threading.Timer(random.uniform(0.05, 0.6), broker.kill)
        killer.start()
        acknowledged = burst(broker, names, 200)
        killer.join()
        broker.start()
        assert {name: broker.agent(name)["pid"] for name in names} == pids
        broker.settled()
        for name in names:
            typed = numbers(kept[name])
            assert typed == sorted(set(typed)), "in order and none twice"
            assert set(acknowledged[name]) <= set(typed), "none lost"
        assert broker.get("/api/dead-letters")["count"] == 0
        assert broker.stop() == 0
        assert broker.verified()


def test_agents_that_are_kept_go_on_under_the_next_broker() -> None:
    with running() as broker:
        spawned = broker.spawn("cat", "cat")
        broker.post("/api/shutdown", keep_agents=True)
        assert broker.wait() == 0
        assert not gone(spawned["pid"])
        broker.start()
        agent = broker.agent("cat")
        assert (agent["pid"], agent["generation"]) == (spawned["pid"], 1)
        assert broker.deliver("cat", "hello again")["verification"] == "echo"
        [adopted] = broker.kinds("agent.adopted")
        assert adopted["pid"] == spawned["pid"]


def test_a_program_that_ended_while_no_broker_ran_is_told_by_its_holder() -> None:
    with running() as broker:
        spawned = broker.spawn("sh", "bash", "--norc")
        broker.kill()
        os.kill(spawned["pid"], signal.SIGKILL)
        eventually(lambda: gone(spawned["pid"]), "the program is gone")
        broker.start()
        broker.agent_is("sh", "gone")
        assert broker.agent("sh")["exit"] == {"reason": "signalled", "code": None, "signal": 9}


def test_agents_whose_holders_died_with_their_broker_wait_for_the_next_spawn() -> None:
    with running() as broker:
        spawned = broker.spawn("cat", "cat")
        parent = Path(f"/proc/{spawned['pid']}/stat").read_text().rpartition(")")[2].split()[1]
        broker.kill()
        os.kill(int(parent), signal.SIGKILL)
        eventually(lambda: gone(spawned["pid"]), "the program is gone")
        broker.start()
        assert broker.agent("cat")["exit"]["reason"] == "ended_with_broker"
        assert broker.send("cat", "kept for you")["delivered"] == 1
        assert broker.stop() == 0
        broker.start("--respawn")
        broker.agent_is("cat", "ready")
        broker.settled()
        [acked] = broker.kinds("delivery.acked")
        assert (acked["generation"], acked["verification"]) == (2, "echo")


def test_a_holder_that_no_record_names_is_ended_at_the_next_start() -> None:
    with idle() as broker:
        broker.start()
        broker.stop()
        stray = Launch(
            name=AgentName("stray"),
            generation=1,
            command="cat",
            args=(),
            cwd="/",
            env=environment(),
            socket=str(broker.directory / "holders" / "stray.1.sock"),
            spool=str(broker.directory / "spool"),
        )
        process, _ = popen(stray)
        try:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == b"ready\n"
            broker.start()
            eventually(lambda: process.poll() is not None, "the stray holder is gone")
            assert list((broker.directory / "holders").glob("*.sock")) == []
            assert broker.get("/api/spawned")["agents"] == []
        finally:
            process.kill()
            process.wait()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.stdout.close()


def test_a_socket_that_nobody_listens_on_is_removed_at_the_next_start() -> None:
    with idle() as broker:
        broker.start()
        broker.stop()
        (broker.directory / "holders" / "old.1.sock").touch()
        broker.start()
        assert list((broker.directory / "holders").iterdir()) == []


def test_modes_and_parked_messages_survive_a_kill() -> None:
    with running() as broker:
        broker.spawn("cat", "cat")
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
        sent = [broker.send("cat", f"parked {n}")["event_id"] for n in range(3)]
        broker.kill()
        broker.start()
        assert broker.get("/api/spawned/cat/delivery-mode")["mode"] == "manual_flush"
        waiting = broker.get("/api/spawned/cat/pending")["pending"]
        assert [row["event_id"] for row in waiting] == sent
        assert [row["body"] for row in waiting] == ["parked 0", "parked 1", "parked 2"]
        assert broker.post("/api/spawned/cat/flush") == {"flushed": 3}
        broker.settled()
        assert [row["event_id"] for row in broker.kinds("delivery.acked")] == sent


def test_an_idempotency_key_is_remembered_across_a_kill() -> None:
    with running() as broker:
        broker.spawn("cat", "cat")
        first = broker.send("cat", "once", idempotency_key="k")
        broker.kill()
        broker.start()
        again = broker.send("cat", "once", idempotency_key="k")
        assert (again["event_id"], again["repeated"]) == (first["event_id"], True)
        broker.settled()
        assert len(broker.kinds("message.enqueued")) == 1
        other = broker.http.post(
            "/api/send", json={"to": "cat", "text": "other", "idempotency_key": "k"}
        )
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


# --- disks


def test_a_full_disk_refuses_messages_and_loses_no_report() -> None:
    with idle() as broker:
        disk = broker.directory.parent / "disk"
        disk.write_text("fine")
        broker.start("--disk", str(disk))
        broker.spawn("cat", "cat")
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
        disk.write_text("full")
        accepted = []
        for number in range(4_000):
            answer = broker.http.post("/api/send", json={"to": "cat", "text": f"{number} " * 250})
            if answer.status_code == 507:
                break
            if answer.status_code == 200:
                accepted.append(answer.json()["event_id"])
        told = answer.json()
        assert (told["code"], told["retryable"]) == ("journal_full", True)
        broker.post("/api/spawned/cat/flush")
        done = {row["event_id"] for row in broker.get("/api/spawned/cat/pending")["pending"]}
        assert len(done) > 100
        disk.write_text("fine")
        eventually(
            lambda: broker.http.post("/api/send", json={"to": "cat", "text": "again"}).is_success,
            "messages are taken again",
        )
        broker.kill()
        assert broker.verified()


def test_what_was_intended_as_its_program_ended_is_typed_into_the_next_one() -> None:
    with idle() as broker:
        disk = broker.directory.parent / "disk"
        disk.write_text("fine")
        broker.start("--disk", str(disk))
        kept = broker.directory / "kept"
        pid = broker.spawn("ann", *chat(kept))["pid"]
        disk.write_text("slow")
        with ThreadPoolExecutor(1) as others:
            sent = others.submit(broker.send, "ann", "crossing")
            (segment,) = (broker.directory / "journal").glob("0*.jsonl")
            eventually(lambda: b"crossing" in segment.read_bytes(), "the intent is being written")
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: gone(pid), "its holder knows that the program ended")
            disk.write_text("fine")
            sent.result()
        broker.agent_is("ann", "gone")
        assert broker.kinds("delivery.attempted")
        assert broker.kinds("delivery.dead_lettered") == []
        broker.spawn("ann", *chat(kept))
        broker.settled()
        eventually(lambda: bool(transcript(kept)), "what was seen was submitted, too")
        assert [text.count("crossing") for text in transcript(kept)] == [1]


def test_a_failed_sync_publishes_nothing_and_ends_the_process() -> None:
    with idle() as broker:
        disk = broker.directory.parent / "disk"
        disk.write_text("fine")
        broker.start("--disk", str(disk))
        broker.spawn("cat", "cat")
        kept = broker.send("cat", "durable", wait_ms=150_000)
        disk.write_text("dying")
        answer = broker.http.post("/api/send", json={"to": "cat", "text": "not durable"})
        # HEAD is synced once a second as well: then it ends before it hears of this one.
        refused = (answer.status_code, answer.json()["code"])
        assert refused in ((500, "outcome_unknown"), (503, "shutting_down"))
        assert broker.wait() == 74
        assert not (broker.directory / "connection.json").exists()
        disk.write_text("fine")
        broker.start("--disk", str(disk))
        broker.settled()
        texts = [m["body"] for m in broker.kinds("message.enqueued")]
        assert texts[0] == "durable"
        assert kept["event_id"] in {row["event_id"] for row in broker.kinds("delivery.acked")}
        assert broker.stop() == 0
        assert broker.verified()


def test_a_graceful_end_on_a_full_disk_ends_and_loses_nothing() -> None:
    with idle() as broker:
        disk = broker.directory.parent / "disk"
        disk.write_text("fine")
        broker.start("--disk", str(disk))
        broker.spawn("cat", "cat")
        broker.http.put("/api/spawned/cat/delivery-mode", json={"mode": "manual_flush"})
        disk.write_text("full")
        accepted = 0
        while broker.http.post("/api/send", json={"to": "cat", "text": "x" * 4_000}).is_success:
            accepted += 1
        assert broker.stop() == 0
        disk.write_text("fine")
        broker.start("--disk", str(disk))
        assert len(broker.kinds("message.enqueued")) == accepted
