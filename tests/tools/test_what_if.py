"""`replay --set --diff` from the command line: its answer, its words and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from ackbook.projections.facts import Policy
from tests.support.past import SMALL, a_busy_day, make_snapshot
from tests.support.shell import Done, ackbook

KEYS = {
    *("changes", "decisions", "through", "head", "recorded", "what_if", "differences"),
    *("assumed", "assumes", "not_looked_at"),
}
ROW_KEYS = {
    *("event_seq", "delivery_id", "agent", "redelivery_of", "recorded", "what_if", "moved_ms"),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("told")
    return root, a_busy_day(root / "journal")


def asked(root: Path, *options: str) -> Done:
    return ackbook("replay", *options, "--dir", root, cwd=root)


def test_a_longer_queue_would_have_kept_what_was_evicted(
    told: tuple[Path, dict[str, str]],
) -> None:
    root, ids = told
    done = asked(root, "--set", "queue_length_max=3", "--diff", "--json")
    assert done.code == 0
    report = done.json()
    assert set(report) == KEYS
    assert report["changes"] == {"queue_length_max": 3}
    (row,) = report["differences"]
    assert set(row) == ROW_KEYS
    assert (row["delivery_id"], row["agent"]) == (ids["evicted"], "bob")
    assert (row["recorded"]["outcome"], row["recorded"]["reason"]) == ("evicted", "queue_full")
    assert row["what_if"]["outcome"] == "open"
    assert (row["moved_ms"], row["what_if"]["at"]) == (None, None)
    assert report["recorded"]["evicted"] == 1
    assert "evicted" not in report["what_if"]
    assert report["through"] == report["head"]


def test_people_get_a_table_and_what_it_assumes(told: tuple[Path, dict[str, str]]) -> None:
    root, ids = told
    done = asked(root, "--set", "queue_length_max=3", "--set", "settle_ms=5")
    assert ids["evicted"] in done.out
    assert "still waiting" in done.out
    assert done.out.count("assumes  ") == 6
    assert "settle_ms is obeyed at the terminal" in done.out


def test_with_nothing_changed_nothing_differs(told: tuple[Path, dict[str, str]]) -> None:
    root, _ = told
    assert "no delivery would have fared otherwise" in asked(root, "--diff").out
    report = asked(root, "--diff", "--json").json()
    assert report["differences"] == []
    assert report["recorded"] == report["what_if"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("queue_lenght_max=3", "did you mean queue_length_max?"),
        ("queue_length_max", "write KEY=VALUE"),
        ("queue_length_max=many", "--set queue_length_max=many"),
        ("queue_length_max=-1", "must not be negative"),
        ("queue_policy=evict_all", "--set queue_policy=evict_all"),
    ],
)
def test_what_is_no_policy_is_refused(
    setting: str, said: str, told: tuple[Path, dict[str, str]]
) -> None:
    root, _ = told
    done = asked(root, "--set", setting)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_key_that_is_set_twice_is_refused(told: tuple[Path, dict[str, str]]) -> None:
    done = asked(told[0], "--set", "window_ms=1", "--set", "window_ms=2")
    assert (done.code, done.out) == (2, "")
    assert "--set window_ms is there twice" in done.err


def test_a_wrong_key_is_answered_with_all_of_them(told: tuple[Path, dict[str, str]]) -> None:
    root, _ = told
    said = asked(root, "--set", "speed=9").err
    assert all(key in said for key in Policy.__struct_fields__)


@pytest.mark.parametrize(
    "options",
    [("--check", "--diff"), ("--to", "3", "--check"), ("--to", "3", "--set", "keys_max=1")],
)
def test_two_questions_at_once_are_refused(
    options: tuple[str, ...], told: tuple[Path, dict[str, str]]
) -> None:
    root, _ = told
    done = asked(root, *options)
    assert (done.code, done.out) == (2, "")


def test_what_waits_in_a_snapshot_is_compared_too(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    ids = a_busy_day(journal, SMALL)
    make_snapshot(journal, 21)
    sorted(journal.glob("0*.jsonl"))[0].unlink()
    report = asked(tmp_path, "--set", "queue_length_max=3", "--diff", "--json").json()
    (row,) = report["differences"]
    assert (row["delivery_id"], row["what_if"]["outcome"]) == (ids["evicted"], "open")
    assert asked(tmp_path, "--diff", "--json").json()["differences"] == []


def test_where_there_is_no_record_there_is_nothing_to_ask(tmp_path: Path) -> None:
    assert asked(tmp_path, "--diff").code == 3
