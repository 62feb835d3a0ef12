"""A simulated day is one that a broker could have had: all that can become of a message is in it,
the rules make each of its decisions again, what is told of it is true, and its journal is sound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ackbook.broker.history.story_query import StoryQuery, caches_of
from ackbook.journal import Reader, verify
from ackbook.projections.codec import decode_block
from ackbook.projections.facts import Policy
from ackbook.projections.world.fold import World, fold_all
from tests.support.ledger import Ledger
from tests.support.shell import ackbook
from tests.support.simulated import dump
from tests.support.traffic import Traffic

MESSAGES = 4_000
POLICY = Policy(queue_length_max=24, dead_letters_max=40, failures_max=6)
"""In a short day queues have to be short for anything to be pushed out of them."""

OUTCOMES = {
    ("verified", None, "seen"),
    ("verified", None, "submitted"),
    ("unverified", "echo not detected within 5s window", "written"),
    ("unverified", "echo not detected within 5s window", "submitted"),
    ("evicted", "queue_full", "recorded"),
    ("expired", "ttl", "recorded"),
    ("cancelled", "cancelled", "recorded"),
    ("released", "agent_released", "recorded"),
    ("dead_letter", "outcome_unknown", "recorded"),
    ("dead_letter", "recipient_gone", "recorded"),
    ("dead_letter", "retries_exhausted", "recorded"),
    ("open", None, "recorded"),
}
"""What became of a delivery, why, and how far it is known to have come."""

WAITS = ("manual_flush", "busy", "dialog", "input_not_empty", "agent_gone", "retry", "behind")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    directory = tmp_path_factory.mktemp("traffic")
    traffic = Traffic(directory / "journal", policy=POLICY)
    traffic.run(MESSAGES, hours=6)
    traffic.close()
    return directory, traffic.world


def test_its_journal_is_sound_and_tells_its_world(lived: tuple[Path, World]) -> None:
    directory, live = lived
    assert verify(directory / "journal").ok
    world = World()
    for block in Reader(directory / "journal").blocks():
        fold_all(world, decode_block(block))
    world.check()
    live.seq = world.seq
    assert dump(world) == dump(live)


def test_all_that_can_become_of_a_message_is_in_it(lived: tuple[Path, World]) -> None:
    directory, _ = lived
    rows = ackbook("export", "--dir", directory, cwd=directory).lines()
    assert len(rows) > MESSAGES
    assert {(row["outcome"], row["reason"], row["level"]) for row in rows} >= OUTCOMES
    assert all(any(row[f"waited_{why}_ms"] for row in rows) for why in WAITS)
    assert any(row["redelivered_as"] for row in rows)
    assert any(row["restarts"] for row in rows)


def test_what_is_told_of_a_delivery_is_the_truth(lived: tuple[Path, World]) -> None:
    journal = lived[0] / "journal"
    ledger = Ledger()
    for decision in decisions(journal):
        ledger.hear(decision)
    by_fate: dict[object, str] = {}
    for number, (delivery_id, account) in enumerate(ledger.accounts.items()):
        by_fate[account.state, account.reason, account.typed, number // 500] = delivery_id
    reader = Reader(journal)
    telling = StoryQuery(reader, journal, caches=caches_of(reader))
    assert len(by_fate) > 50
    for delivery_id in by_fate.values():
        story = telling.story(delivery_id)
        assert story is not None
        told, expected = story.to_dict(), ledger.expected(delivery_id)
        assert {key: told[key] for key in expected} == expected, story.sentence


def decisions(journal: Path) -> Iterator[list[dict[str, Any]]]:
    """The records of each decision as plain JSON, without those of the journal about itself."""
    records: list[dict[str, Any]] = []
    for line in Reader(journal).lines():
        if line.by is not None and records:
            yield records
            records = []
        if not line.kind.startswith("journal."):
            records.append(json.loads(line.raw))
    yield records


def test_each_decision_is_made_again_and_nothing_would_have_been_otherwise(
    lived: tuple[Path, World],
) -> None:
    directory, _ = lived
    checked = ackbook("replay", "--check", "--json", "--dir", directory, cwd=directory)
    assert (checked.code, checked.json()["ok"]) == (0, True)
    report = ackbook("replay", "--diff", "--json", "--dir", directory, cwd=directory).json()
    assert (report["differences"], report["assumed"]) == ([], 0)


def test_in_longer_queues_fewer_are_evicted_and_none_waits_for_ever(
    lived: tuple[Path, World],
) -> None:
    directory, _ = lived
    longer = ("--set", "queue_length_max=500", "--diff", "--json")
    report = ackbook("replay", *longer, "--dir", directory, cwd=directory).json()
    recorded, other = report["recorded"], report["what_if"]
    assert recorded["evicted"] > 100
    assert "evicted" not in other
    assert other["open"] <= recorded["open"]
    assert other["verified"] > recorded["verified"]


def test_the_same_seed_makes_the_same_day(lived: tuple[Path, World], tmp_path: Path) -> None:
    days = []
    for name in ("one", "two"):
        traffic = Traffic(tmp_path / name, seed=7)
        traffic.run(200, hours=1)
        traffic.close()
        days.append([line.raw for line in Reader(tmp_path / name).lines()])
    assert days[0] == days[1]
