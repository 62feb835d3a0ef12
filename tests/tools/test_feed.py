"""The live feed, resumed across the end of a broker, without hole or repetition."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Any

from tests.support.shell import ACKBOOK, PATIENCE_S, House, environment, wait_until


class Follower:
    """A running `ackbook events --follow --json`, and what it has printed so far."""

    def __init__(self, house: House, since: str) -> None:
        self.events: list[Any] = []
        self._process = subprocess.Popen(
            [
                *ACKBOOK,
                "events",
                "--follow",
                "--json",
                f"--since={since}",
                "--dir",
                house.directory,
            ],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.events.append(json.loads(line))

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events]

    def ends(self) -> tuple[int, str]:
        code = self._process.wait(PATIENCE_S)
        self._listener.join(60)
        assert self._process.stderr is not None
        return code, self._process.stderr.read().decode()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join(60)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


def test_the_feed_goes_on_live_and_across_the_end_of_the_broker(house: House) -> None:
    house.up()
    first = Follower(house, "0")
    try:
        house("spawn", "bob", "--", "cat")
        house("send", "bob", "hello", "--wait", "140")
        wait_until(lambda: "delivery_verified" in first.kinds(), "the message on the feed")
        house.kill_broker()
        code, said = first.ends()
    finally:
        first.close()
    assert code == 0
    last = first.events[-1]["seq"]
    assert f"--since {last}" in said

    house.up()
    second = Follower(house, str(last))
    try:
        house("send", "bob", "and again", "--wait", "140")
        wait_until(lambda: "delivery_verified" in second.kinds(), "the next message on the feed")
        house("down")
        second.ends()
    finally:
        second.close()
    whole = house("events", "--json").lines()
    told = first.events + second.events
    assert told == whole[: len(told)]
    assert len(whole) - len(told) < 10, "only what the end of the broker itself recorded"


def test_from_now_on_nothing_old_is_told(house: House) -> None:
    house.up()
    house("spawn", "bob", "--", "cat")
    follower = Follower(house, "now")
    try:
        # When the follower's "now" is, nobody else can know: something happens until it is told.
        wait_until(lambda: house("send", "bob", "news") and follower.events, "the news")
        assert "agent_spawned" not in follower.kinds()
        house("down")
        assert follower.ends()[0] == 0
    finally:
        follower.close()


def test_on_a_running_broker_the_offline_verbs_agree_with_it(house: House) -> None:
    house.up()
    house("spawn", "bob", "--", "cat")
    house("hold", "bob")
    sent = house("send", "bob", "waits", "--json").json()
    replayed = house("replay", "--json").json()
    assert replayed["pending"] == house("pending", "--json").json()["pending"]
    assert [row["name"] for row in replayed["agents"]] == ["bob"]
    assert replayed["seq"] >= sent["seq"]
    assert house("verify").code == 0
    assert house("why", sent["event_id"], "--json").json()["state"] == "held"
