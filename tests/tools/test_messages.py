"""Messages from the command line: what is said of each, and the exit code that sums it up."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.shell import ACKBOOK, PATIENCE_S, House, environment, wait_until

DELIVERY_KEYS = {
    "delivery_id",
    "agent",
    "state",
    "level",
    "verification",
    "reason",
    "evidence",
}
PENDING_KEYS = {"delivery_id", "event_id", "agent", "from", "state", "attempts", "reason"}
PROGRAMS = Path(__file__).parent.parent / "support" / "programs"


def spawned(house: House, name: str, *command: str, channel: str = "") -> str:
    """A program under this name that is ready."""
    options = ("--channel", channel) if channel else ()
    done = house("spawn", name, *options, "--", *(command or ("cat",)))
    assert done.code == 0, done.err
    return name


def pending(house: House, name: str) -> list[Any]:
    rows: list[Any] = house("pending", name, "--json").json()["pending"]
    return rows


def test_a_message_that_arrived_everywhere_ends_with_0_and_says_how_it_is_known(
    lived_in: House,
) -> None:
    for name in ("one", "two"):
        spawned(lived_in, name, channel="pair")
    done = lived_in("send", "#pair", "hello you two", "--wait", "140", "--json")
    assert done.code == 0
    reply = done.json()
    assert set(reply) == {"event_id", "seq", "deliveries"}
    assert sorted(row["agent"] for row in reply["deliveries"]) == ["one", "two"]
    for row in reply["deliveries"]:
        assert set(row) == DELIVERY_KEYS
        assert (row["state"], row["verification"]) == ("acked", "echo")
        assert row["level"] in ("seen", "submitted")
        assert row["evidence"]["how"]
    assert "hello you two" in lived_in("screen", "one").out
    people = lived_in("send", "one", "and again", "--wait", "140")
    assert people.code == 0
    assert "seen" in people.out or "submitted" in people.out


def test_without_wait_a_message_is_recorded_and_nothing_more_is_claimed(lived_in: House) -> None:
    spawned(lived_in, "carol")
    reply = lived_in("send", "carol", "no hurry", "--json").json()
    assert set(reply) == {"event_id", "seq", "deliveries"}
    [row] = reply["deliveries"]
    assert set(row) == DELIVERY_KEYS
    assert row["verification"] is None
    [record] = lived_in("cat", "--id", reply["event_id"], "--kind", "message.*").lines()
    assert record["seq"] == reply["seq"]


def test_a_message_that_is_typed_but_never_seen_ends_with_9(lived_in: House) -> None:
    spawned(lived_in, "mute", sys.executable, str(PROGRAMS / "quiet_keys.py"), "kept")
    done = lived_in("send", "mute", "hello?", "--wait", "140", "--json")
    assert done.code == 9
    [row] = done.json()["deliveries"]
    assert row["verification"] == "timeout_fallback"
    assert row["level"] == "written"
    assert row["reason"]


def test_a_message_that_is_held_for_longer_than_the_wait_ends_with_6(lived_in: House) -> None:
    spawned(lived_in, "held")
    assert lived_in("hold", "held").code == 0
    done = lived_in("send", "held", "later", "--wait", "0.2", "--json")
    assert done.code == 6
    [row] = done.json()["deliveries"]
    assert (row["state"], row["reason"]) == ("held", "manual_flush")


def test_a_message_that_is_dropped_while_it_is_waited_for_ends_with_1(lived_in: House) -> None:
    spawned(lived_in, "leaving")
    lived_in("hold", "leaving")
    with subprocess.Popen(
        [*ACKBOOK, "send", "leaving", "too late", "--wait", "900", "--dir", lived_in.directory],
        env=environment(),
        stdout=subprocess.PIPE,
    ) as sender:
        wait_until(lambda: pending(lived_in, "leaving"), "the message in its queue")
        assert lived_in("release", "leaving").code == 0
        assert sender.wait(PATIENCE_S) == 1


def test_a_recipient_whose_queue_is_full_is_named_and_makes_it_1(lived_in: House) -> None:
    for name in ("full", "roomy"):
        spawned(lived_in, name, channel="crowd")
        lived_in("hold", name)
    connection = json.loads((lived_in.directory / "connection.json").read_bytes())
    with closing(http.client.HTTPConnection("127.0.0.1", connection["port"])) as link:
        for number in range(256):
            command = {"to": "full", "text": str(number), "priority": 0}
            link.request(
                "POST", "/api/send", json.dumps(command), {"X-API-Key": connection["api_key"]}
            )
            assert link.getresponse().read()
    lived_in("auto", "roomy")
    sent = lived_in("send", "#crowd", "one of you has no room", "--wait", "140", "--json")
    assert sent.code == 1
    assert [row["agent"] for row in sent.json()["deliveries"]] == ["roomy"]
    assert "refused: full (queue_full)" in sent.err
    unasked = lived_in("send", "#crowd", "never mind")
    assert unasked.code == 0
    alone = lived_in("send", "full", "nor here", "--priority", "4")
    assert alone.code == 8
    lived_in("release", "full")


def test_a_wait_of_no_time_is_an_answer_of_now(lived_in: House) -> None:
    spawned(lived_in, "now")
    lived_in("hold", "now")
    assert lived_in("send", "now", "later", "--wait", "0").code == 6


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "said"),
    [
        (("send", "nobody", "hello"), b"", 3, "nobody"),
        (("send", "#nowhere", "hello"), b"", 3, "nowhere"),
        (("send", "carl", ""), b"", 2, "empty"),
        (("send", "carl", "-"), b"", 2, "empty"),
        (("send", "carl", "-"), b"\n", 2, "empty"),
        (("send", "carl", "-"), b"\xff\xfe", 2, "UTF-8"),
        (("send", "carl", "-"), b"x" * (5 << 20), 8, "file"),
        (("send", "carl", "-"), b"x" * (600 << 10), 8, "file"),
    ],
    ids=["agent", "channel", "empty", "no_input", "newline", "not_utf8", "5MB", "600KB"],
)
def test_a_message_that_cannot_be_taken_says_why_and_leaves_no_trace(
    arguments: tuple[str, ...], stdin: bytes, code: int, said: str, lived_in: House
) -> None:
    if not any(row["name"] == "carl" for row in lived_in("ls", "--json").json()["agents"]):
        spawned(lived_in, "carl")
    before = lived_in("replay", "--json").json()["counts"]["enqueued"]
    done = lived_in(*arguments, stdin=stdin)
    assert done.code == code, done.err
    assert done.out == ""
    assert said in done.err
    assert "Traceback" not in done.err
    assert lived_in("replay", "--json").json()["counts"]["enqueued"] == before


def test_the_text_of_standard_input_is_the_message_without_its_last_newline(
    lived_in: House,
) -> None:
    spawned(lived_in, "reader")
    lived_in("hold", "reader")
    text = "two lines\n  and ünïcödé \u2028 "
    reply = lived_in("send", "reader", "-", "--json", stdin=f"{text}\n".encode()).json()
    [record] = lived_in("cat", "--id", reply["event_id"], "--kind", "message.*").lines()
    assert record["data"]["body"] == text


def test_the_options_of_a_message_are_recorded(lived_in: House) -> None:
    spawned(lived_in, "opted")
    lived_in("hold", "opted")
    options = ("--from", "boss", "--mode", "steer", "--priority", "0", "--ttl", "3600")
    key = ("--idempotency-key", "k1", "--need", "submitted")
    first = lived_in("send", "opted", "--json", *options, *key, "--", "-dash").json()
    [record] = lived_in("cat", "--id", first["event_id"], "--kind", "message.*").lines()
    data = record["data"]
    assert (data["body"], data["from"], data["mode"]) == ("-dash", "boss", "steer")
    assert (data["priority"], data["key"], data["need"]) == (0, "k1", "submitted")
    assert data["expires_at"] == record["at"] + 3_600_000_000

    again = lived_in("send", "opted", "--json", *options, *key, "--", "-dash").json()
    assert (again["event_id"], again["seq"]) == (first["event_id"], first["seq"])
    other = lived_in("send", "opted", *options, *key, "other")
    assert other.code == 8
    assert len(pending(lived_in, "opted")) == 1


def test_the_sender_is_the_agent_that_sends_else_a_human(lived_in: House) -> None:
    spawned(lived_in, "hears")
    lived_in("hold", "hears")
    lived_in("send", "hears", "1")
    lived_in("send", "hears", "2", env={"RELAY_AGENT_NAME": "writer"})
    lived_in("send", "hears", "3", "--from", "boss", env={"RELAY_AGENT_NAME": "writer"})
    assert [row["from"] for row in pending(lived_in, "hears")] == ["human", "writer", "boss"]


@pytest.mark.parametrize("path", ["/usr/bin:/bin", None], ids=["bare_path", "own_path"])
def test_inside_a_spawned_program_send_just_works(path: str | None, house: House) -> None:
    env = {} if path is None else {"PATH": path}
    assert house("up", "--background", env=env).code == 0
    spawned(house, "listener")
    house("hold", "listener")
    command = "ackbook send LISTENER 'from inside'"
    assert house("spawn", "insider", "--wait", "0", "--", "sh", "-c", command).code == 0
    wait_until(lambda: pending(house, "listener"), "a message from inside")
    assert pending(house, "listener")[0]["from"] == "insider"


def test_queues_are_shown_held_flushed_let_go_and_taken_back(lived_in: House) -> None:
    for name in ("queue", "elsewhere"):
        spawned(lived_in, name)
    lived_in("hold", "elsewhere")
    lived_in("send", "elsewhere", "not of this queue")
    held = lived_in("hold", "queue", "--json")
    assert held.json()["mode"] == "manual_flush"
    sent = [
        lived_in("send", "queue", f"message {n}", "--json").json()["deliveries"][0]["delivery_id"]
        for n in range(3)
    ]
    rows = pending(lived_in, "QUEUE")
    assert [row["delivery_id"] for row in rows] == sent
    assert all(set(row) == PENDING_KEYS for row in rows)
    everybody = lived_in("pending", "--json").json()
    assert set(everybody) == {"pending"}
    assert {row["delivery_id"] for row in everybody["pending"]} >= set(sent)
    people = lived_in("pending", "queue").out
    assert all(delivery_id in people for delivery_id in sent)

    back = lived_in("cancel", sent[1], "--json")
    assert (back.code, back.json()["cancelled"]) == (0, [sent[1]])
    assert lived_in("flush", "queue", "--json").json() == {"flushed": 2}
    wait_until(lambda: not pending(lived_in, "queue"), "the flushed messages typed")
    screen = lived_in("screen", "queue").out
    assert "message 0" in screen
    assert "message 1" not in screen
    late = lived_in("cancel", sent[0])
    assert late.code == 8
    assert "acked" in late.err

    lived_in("send", "queue", "message 3")
    auto = lived_in("auto", "queue", "--json").json()
    assert (auto["mode"], auto["flushed"]) == ("auto_inject", 1)
    wait_until(lambda: "message 3" in lived_in("screen", "queue").out, "the last message typed")


@pytest.mark.parametrize(
    "arguments",
    [
        ("pending", "nobody"),
        ("hold", "nobody"),
        ("auto", "nobody"),
        ("flush", "nobody"),
        ("release", "nobody"),
        ("restart", "nobody"),
        ("screen", "nobody"),
        ("attach", "nobody", "--view"),
        ("cancel", "evt_ffff"),
        ("redeliver", "del_ffff_1"),
    ],
    ids=" ".join,
)
def test_a_name_or_id_that_nobody_has_ends_with_3(
    arguments: tuple[str, ...], lived_in: House
) -> None:
    done = lived_in(*arguments)
    assert done.code == 3, done.err
    assert done.out == ""
    assert arguments[1] in done.err
    assert "; " in done.err, "the next step is named"


def test_what_was_given_up_is_listed_and_queued_again(lived_in: House) -> None:
    spawned(lived_in, "dropped")
    lived_in("hold", "dropped")
    sent = lived_in("send", "dropped", "once more", "--json").json()["deliveries"][0]
    assert lived_in("cancel", sent["delivery_id"]).code == 0
    again = lived_in("redeliver", sent["delivery_id"], "--json")
    assert again.code == 0
    assert set(again.json()) == {"redelivered", "skipped"}
    [row] = again.json()["redelivered"]
    assert row["delivery_id"] != sent["delivery_id"]
    assert [row["delivery_id"]] == [r["delivery_id"] for r in pending(lived_in, "dropped")]
    twice = lived_in("redeliver", sent["delivery_id"])
    assert twice.code == 8, twice.out + twice.err


def test_dead_letters_have_their_shape_and_come_back_all_at_once(house: House) -> None:
    house.up()
    assert house("dead", "--json").json() == {"dead_letters": []}
    assert house("redeliver", "--all").code == 0
    spawned(house, "doomed", sys.executable, str(PROGRAMS / "quiet_keys.py"), "kept")
    pid = house("ls", "--json").json()["agents"][0]["pid"]
    sent = house("send", "doomed", "are you there", "--json").json()["deliveries"][0]
    wait_until(
        lambda: pending(house, "doomed")[0]["state"] in ("typing", "awaiting"), "it being typed"
    )
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: house("dead", "--json").json()["dead_letters"], "a dead letter")
    [letter] = house("dead", "--json").json()["dead_letters"]
    assert {"delivery_id", "event_id", "agent", "from", "attempts", "reason"} <= set(letter)
    assert (letter["delivery_id"], letter["reason"]) == (sent["delivery_id"], "outcome_unknown")
    assert sent["delivery_id"] in house("dead").out
    again = house("redeliver", "--all", "--json").json()
    assert [row["event_id"] for row in again["redelivered"]] == [letter["event_id"]]
    assert house("dead", "--json").json() == {"dead_letters": []}
