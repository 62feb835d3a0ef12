"""Cursors of a feed whose journal was put back from a copy: nobody goes on where another history
went on."""

from __future__ import annotations

import json

import pytest

from ackbook.broker.wire.feed_cursors import FeedCursor, Histories, read_cursor
from tests.runtime.test_events import durable, history, watching
from tests.support.brokers import QUICK, Row, Running, running
from tests.support.holders import DEADLINE_S

HISTORIES = Histories(("aaaa", "bbbb"), (10, 20))
"""Of one that was put back when it ended in record 10, and again when it ended in 20."""


def cursor(record: int, lineage: str) -> FeedCursor:
    return FeedCursor(record * 1024 + 3, lineage)


@pytest.mark.parametrize(
    ("record", "lineage", "here"),
    [
        (5, "", True),
        (10, "", True),
        (11, "", False),
        (20, "aaaa", True),
        (21, "aaaa", False),
        (21, "bbbb", True),
        (99, "bbbb", True),
        (5, "cccc", False),
    ],
)
def test_a_cursor_is_good_as_far_as_its_history_is_this_one(
    record: int, lineage: str, here: bool
) -> None:
    assert HISTORIES.has(cursor(record, lineage)) is here


def test_a_journal_that_was_never_put_back_has_every_cursor_without_a_tag() -> None:
    assert Histories((), ()).has(cursor(99, ""))
    assert not Histories((), ()).has(cursor(1, "aaaa"))


def test_an_ancestor_ends_where_the_earliest_of_its_successors_begins() -> None:
    assert not Histories(("aaaa", "bbbb"), (10, 8)).has(cursor(9, ""))


@pytest.mark.parametrize("text", ["", "1.", ".aaaa", "1.xyz!", "-1", "1.aaaa.b", "9" * 16, "٣"])
def test_what_is_no_cursor_is_none(text: str) -> None:
    assert read_cursor(text, "") is None


def test_a_position_alone_is_of_the_history_that_is_meant() -> None:
    assert read_cursor("7", "aaaa") == FeedCursor(7, "aaaa")
    assert read_cursor("7.bbbb", "aaaa") == FeedCursor(7, "bbbb")


# --- on the wire


def put_back(broker: Running) -> str:
    """Its journal looks like a copy from now on; the tag of the history that begins."""
    broker.kill()
    (broker.directory / "journal" / "LOCK").unlink()
    broker.start()
    lineage: str = broker.get("/api/session")["lineage"]
    return lineage


def streamed(broker: Running, given: str) -> list[tuple[str, Row]]:
    """The events that are there after this `Last-Event-ID`, each with its own."""
    found = []
    with broker.http.stream(
        "GET", "/api/events?follow=false", headers={"Last-Event-ID": given}
    ) as answer:
        assert answer.status_code == 200, answer.read()
        kept = ""
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                kept = value
            elif name == "data":
                found.append((kept, json.loads(value)))
    return found


def refused(broker: Running, given: str) -> tuple[int, str]:
    answer = broker.http.get("/api/events?follow=false", headers={"Last-Event-ID": given})
    return answer.status_code, answer.json()["code"]


def test_a_stream_says_of_which_history_its_cursors_are_and_refuses_those_of_another() -> None:
    with running(QUICK) as broker:
        assert "lineage" not in broker.get("/api/session")
        broker.spawn("cat", "cat")
        broker.deliver("cat", "before")
        before = streamed(broker, "0")
        assert [kept for kept, _ in before] == [str(event["seq"]) for _, event in before]
        lineage = put_back(broker)
        broker.deliver("cat", "after")
        last, event = streamed(broker, "0")[-1]
        assert last == f"{event['seq']}.{lineage}"
        # What was common to both goes on; what was not is of another history.
        [*_, (common, _)] = before
        assert (last, event) in streamed(broker, common)
        assert streamed(broker, f"{event['seq'] - 1}.{lineage}")[0] == (last, event)
        assert refused(broker, str(event["seq"])) == (409, "other_history")
        assert refused(broker, f"{event['seq']}.0badcafe") == (409, "other_history")
        assert refused(broker, f"{1 << 40}.{lineage}") == (409, "cursor_ahead")
        # A position that somebody names is one of this history.
        answer = broker.http.get(f"/api/events?follow=false&sinceSeq={event['seq'] - 1}")
        assert f"id: {last}\n" in answer.text


def test_a_socket_names_the_history_first_and_says_where_a_cursor_is_of_another() -> None:
    with running(QUICK) as broker:
        broker.spawn("cat", "cat")
        lineage = put_back(broker)
        with watching(broker) as ws:
            assert json.loads(ws.recv(DEADLINE_S)) == {"kind": "history", "lineage": lineage}
            events = history(broker)
            assert durable(ws, events[-1]["seq"]) == events
        again = put_back(broker)
        assert again != lineage
        broker.deliver("cat", "after")
        end = history(broker)[-1]["seq"]
        with watching(broker, f"{end}.{lineage}") as ws:
            assert json.loads(ws.recv(DEADLINE_S))["lineage"] == again
            gap = json.loads(ws.recv(DEADLINE_S))
            assert (gap["kind"], gap["reason"]) == ("replay_gap", "other_history")
            broker.deliver("cat", "and on")
            end = history(broker)[-1]["seq"]
            assert durable(ws, end)[-1]["seq"] == end
