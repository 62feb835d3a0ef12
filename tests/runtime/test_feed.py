"""The feed against a real journal: complete for every reader, and bounded in memory for each."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ackbook.broker.history.journal_entries import events_after
from ackbook.broker.runtime.engine import feed as feeds
from ackbook.broker.runtime.engine.feed import Feed, Subscription
from ackbook.projections.events.derive import cursor_of, to_json
from tests.support.engines import DEADLINE_S, Bench, play, send, working


def following(bench: Bench, feed: Feed) -> list[bytes]:
    """What a reader of everything has to be given."""
    return [to_json(event) for event in events_after(bench.directory, 0, feed.head)]


def test_a_reader_that_falls_behind_is_bounded_and_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "WAITING_MAX", 32)

    async def story() -> None:
        feed = Feed(tmp_path / "journal", 0)
        async with working(tmp_path, watchers=(feed,)) as bench:
            await bench.agent(ready=False)
            slow = feed.subscribe(0)
            quick = feed.subscribe(0)
            given: dict[Subscription, list[bytes]] = {slow: [], quick: []}
            for number in range(200):
                await bench.engine.carry(send(f"{number}"))
                given[quick] += [message for _, message in await quick.read()]
                if number == 20:
                    given[slow] += [message for _, message in await slow.read()]
                assert slow.waiting <= 32
            assert not slow.live, "it is served from the journal"
            for each, messages in given.items():
                while len(messages) < len(following(bench, feed)):
                    async with asyncio.timeout(DEADLINE_S):
                        messages += [message for _, message in await each.read()]
                assert messages == following(bench, feed)

    play(story())


def test_a_reader_of_large_events_is_bounded_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "WAITING_BYTES_MAX", 100_000)

    async def story() -> None:
        feed = Feed(tmp_path / "journal", 0)
        async with working(tmp_path, watchers=(feed,)) as bench:
            await bench.agent(ready=False)
            slow = feed.subscribe(cursor_of(feed.head))
            slow_task = asyncio.create_task(slow.read())
            await asyncio.sleep(0)
            for _ in range(20):
                await bench.engine.carry(send("x" * 30_000))
                assert slow.waiting_bytes <= 100_000
            await slow_task
            assert not slow.live

    play(story())


def test_ephemeral_messages_leave_room_for_events(tmp_path: Path) -> None:
    async def story() -> None:
        feed = Feed(tmp_path / "journal", 0)
        async with working(tmp_path, watchers=(feed,)) as bench:
            await bench.agent(ready=False)
            viewer = feed.subscribe(cursor_of(feed.head), ephemeral=True)
            reading = asyncio.create_task(viewer.read())
            await asyncio.sleep(0)
            assert viewer.live
            for _ in range(10_000):
                feed.broadcast(b'{"kind":"worker_stream"}')
            assert viewer.waiting <= feeds.WAITING_MAX // 2
            await bench.engine.carry(send("event"))
            given = await reading
            while not any(cursor for cursor, _ in given):
                given += await viewer.read()
            kinds = [json.loads(message)["kind"] for cursor, message in given if cursor]
            assert kinds[:2] == ["relay_inbound", "delivery_queued"]
            assert viewer.live, "nothing was crowded out"

    play(story())


def test_a_reader_within_a_record_gets_only_the_rest_of_it(tmp_path: Path) -> None:
    async def story() -> None:
        feed = Feed(tmp_path / "journal", 0)
        async with working(tmp_path, watchers=(feed,)) as bench:
            await bench.agent(ready=False)
            await bench.engine.carry(send("two events"))
            events = list(events_after(bench.directory, 0, feed.head))
            inbound = next(event for event in events if event.kind == "relay_inbound")
            rest = feed.subscribe(inbound.seq)
            given = await rest.read()
            assert [cursor for cursor, _ in given] == [
                event.seq for event in events if event.seq > inbound.seq
            ]

    play(story())


def test_a_closed_feed_is_read_to_its_end_first(tmp_path: Path) -> None:
    async def story() -> None:
        feed = Feed(tmp_path / "journal", 0)
        async with working(tmp_path, watchers=(feed,)) as bench:
            await bench.agent(ready=False)
            late = feed.subscribe(0)
            feed.close()
            given: list[bytes] = []
            while messages := await late.read():
                given += [message for _, message in messages]
            assert given == following(bench, feed)

    play(story())
