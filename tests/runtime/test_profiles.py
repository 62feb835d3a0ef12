"""A spawn names a profile, and its program is typed into as that profile says, for as long as it is
there under its name."""

from __future__ import annotations

from pathlib import Path

from ackbook.broker.wire.profiles import PROFILES
from tests.support.brokers import Running, running
from tests.support.holders import program, transcript

LARGE = "\n".join("abcdefgh")
"""The program shows a note in place of a paste of so many lines."""


def proof(broker: Running, to: str) -> str:
    """How the large text was seen."""
    delivery = broker.deliver(to, LARGE)["delivery_id"]
    acked = [each for each in broker.kinds("delivery.acked") if each["delivery_id"] == delivery]
    how: str = acked[0]["evidence"]["how"]
    return how


def profiles(broker: Running) -> list[str | None]:
    return [each.get("profile") for each in broker.kinds("agent.spawned")]


def test_a_profile_is_recorded_and_rules_over_restarts_of_program_and_broker(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "kept"
    with running() as broker:
        broker.spawn("boxed", *program("boxed", str(kept), "placeholder"), profile="claude")
        assert profiles(broker) == ["claude"]
        assert proof(broker, "boxed") == "paste_placeholder"
        broker.kill()
        broker.start()
        assert broker.kinds("agent.adopted"), "its holder lived on"
        assert proof(broker, "boxed") == "paste_placeholder"
        broker.post("/api/spawned/boxed/restart", wait_ms=150_000)
        broker.agent_is("boxed", "ready", broker.agent("boxed")["generation"])
        assert proof(broker, "boxed") == "paste_placeholder"
        assert profiles(broker) == ["claude", "claude"]
        assert len(transcript(kept)) == 3


def test_without_a_profile_an_agent_is_generic_and_the_record_says_nothing() -> None:
    with running() as broker:
        broker.spawn("one", "cat")
        broker.spawn("two", "cat", profile="generic")
        assert profiles(broker) == [None, None]


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    with running() as broker:
        body = {"name": "bob", "cli": "cat", "profile": "clyde"}
        refused = broker.http.post("/api/spawn", json=body)
        assert refused.status_code == 400
        known = ", ".join(PROFILES)
        assert refused.json()["message"] == f"profile 'clyde' is not known; known are: {known}"
        for wrong in ("", 7):
            again = broker.http.post("/api/spawn", json=body | {"profile": wrong})
            assert again.status_code == 400
        assert profiles(broker) == []
