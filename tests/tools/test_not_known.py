"""Where something cannot be known, every answer says so: none is made of what was not read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ackbook.broker.core.commands import SetMode
from ackbook.journal import Reader
from ackbook.projections.facts import AgentName
from tests.core.days import Day
from tests.support.past import SMALL, Past, make_snapshot
from tests.support.recorded import Recorded
from tests.support.shell import Done, ackbook

STEPS = 320
NOT_FAILED = ("verified", "unverified", "open", "unknown")


@pytest.fixture(scope="module")
def let_go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of which only the end is kept, with a snapshot."""
    root = tmp_path_factory.mktemp("let_go")
    with closing(Recorded(root / "journal")) as broker:
        Day(11, broker).run(STEPS)
    assert ackbook("compact", "--keep-audit", "none", "--dir", root, cwd=root).code == 0
    return root


@pytest.fixture
def holed(tmp_path: Path) -> tuple[Path, int]:
    """A day with a segment missing in the middle, and the last record before it."""
    with closing(Recorded(tmp_path / "journal")) as broker:
        Day(12, broker).run(STEPS)
    bases = Reader(tmp_path / "journal").bases
    middle = bases[len(bases) // 2]
    (tmp_path / "journal" / f"{middle:020d}.jsonl").unlink()
    return tmp_path, middle - 1


def ask(root: Path, *words: object) -> Done:
    return ackbook(*map(str, words), "--dir", root, cwd=root)


def position(delivery_id: str) -> int:
    return int(delivery_id.split("_")[1], 16)


def oldest(root: Path) -> int:
    return Reader(root / "journal").first_seq


@pytest.mark.parametrize("words", [("replay", "--to", "5"), ("replay", "diff", "5", "end")])
def test_a_moment_whose_world_is_not_kept_is_no_empty_world(
    let_go: Path, words: tuple[str, ...]
) -> None:
    for more in ((), ("--json",)):
        done = ask(let_go, *words, *more)
        assert (done.code, done.out) == (3, "")
        first = oldest(let_go)
        assert f"records before {first} are no longer kept" in done.err
        assert "ackbook replay --to" in done.err
    known = done.err.partition("ackbook replay --to ")[2].split()[0]
    assert ask(let_go, "replay", "--to", known, "--json").json()["seq"] == int(known)


def test_a_time_before_what_is_kept_is_not_the_beginning(let_go: Path) -> None:
    done = ask(let_go, "replay", "--at", "2001-01-01")
    assert (done.code, done.out) == (3, "")
    assert f"is before record {oldest(let_go)}, the first that is kept" in done.err


def test_a_world_before_a_hole_says_what_was_asked_for(holed: tuple[Path, int]) -> None:
    root, last = holed
    head = Reader(root / "journal").head()
    told = ask(root, "replay", "--json").json()
    assert (told["seq"], told["asked_seq"]) == (last, head)
    assert (
        f"what follows on record {last} cannot be read; {head} was asked" in ask(root, "replay").out
    )
    sides = ask(root, "replay", "diff", last - 3, head, "--json").json()
    assert (sides["b"]["seq"], sides["b"]["asked_seq"]) == (last, head)
    assert sides["b"]["at"] == told["at"]
    assert f"record {last}, " in ask(root, "replay", "diff", last - 3, head).out


def test_a_search_begins_where_the_world_is_known_and_is_never_empty(
    let_go: Path, holed: tuple[Path, int]
) -> None:
    pending = ask(let_go, "replay", "--json").json()["pending"]
    most = max(sum(row["agent"] == each["agent"] for row in pending) for each in pending)
    found = ask(let_go, "replay", "bisect", "--pending-over", most - 1, "--json").json()
    assert found["before"], "it held where the known world begins"
    assert found["searched"][0] > oldest(let_go)
    root, last = holed
    behind = ask(root, "replay", "bisect", "--pending-over", 0, "--from", last + 40)
    assert (behind.code, behind.out) == (3, "")
    assert "no world" in behind.err


def test_a_delivery_that_waits_is_told_of_though_its_beginning_was_let_go(let_go: Path) -> None:
    gone = oldest(let_go) - 1
    pending = ask(let_go, "replay", "--json").json()["pending"]
    early = [row for row in pending if position(row["delivery_id"]) <= gone]
    assert early
    for row in early:
        told = ask(let_go, "why", row["delivery_id"], "--json").json()
        assert (told["state"], told["reason"]) == (row["state"], row["reason"])
        assert told["missing"] == [[1, gone]]
        assert not told["whole"]
        assert f"records 1 to {gone} are no longer there" in told["sentence"]
    agent = early[0]["agent"]
    last = [
        each["id"] for each in ask(let_go, "why", "--agent", agent, "--last=99", "--json").lines()
    ]
    mine = [row["delivery_id"] for row in pending if row["agent"] == agent]
    assert set(mine) <= set(last)
    nobody = ask(let_go, "why", "--agent", "nobody", "--last")
    assert nobody.code == 3
    assert f"records 1 to {gone} are no longer there" in nobody.err


def test_a_bundle_explains_what_waits_though_its_beginning_was_let_go(
    let_go: Path, tmp_path: Path
) -> None:
    pending = ask(let_go, "replay", "--json").json()["pending"]
    wanted = min((row["delivery_id"] for row in pending), key=position)
    bundle = tmp_path / "b"
    assert ask(let_go, "bundle", wanted, "-o", bundle).code == 0
    there, here = (
        ackbook("why", wanted, "--json", "--dir", root, cwd=tmp_path).json()
        for root in (let_go, bundle)
    )
    for key in ("state", "reason", "typed", "attempts", "wait"):
        assert here[key] == there[key]


def test_a_record_that_cannot_be_read_is_not_one_that_never_was(holed: tuple[Path, int]) -> None:
    root, last = holed
    lost = ask(root, "why", f"evt_{last + 1:x}")
    assert lost.code == 3
    assert f"records {last + 1} to " in lost.err
    assert "cannot be read" in lost.err
    key = ask(root, "why", "no-such-key")
    assert f"records {last + 1} to " in key.err


def test_a_report_counts_what_a_hole_hides_as_unknown_and_says_what_is_missing(
    holed: tuple[Path, int],
) -> None:
    root, last = holed
    told = ask(root, "report", "--json").json()
    [[first, through]] = told["missing"]
    assert first == last + 1
    unknown = sum(row["deliveries"] for row in told["outcomes"] if row["outcome"] == "unknown")
    assert unknown
    people = ask(root, "report").out
    assert f"{unknown} unknown" in people
    assert f"what records {first} to {through} say" in people
    rows = [row["outcome"] for row in ask(root, "export").lines()]
    assert rows.count("unknown") == unknown
    table = root / "t.sqlite"
    assert ask(root, "export", "-o", table).code == 0
    with closing(sqlite3.connect(table)) as connection:
        [[failed]] = connection.execute("SELECT sum(not_delivered) FROM by_hour")
    assert failed == sum(outcome not in NOT_FAILED for outcome in rows)


def test_a_report_of_some_time_has_the_same_holds_with_and_without_snapshots(
    tmp_path: Path,
) -> None:
    journal = tmp_path / "journal"
    with Past(journal, SMALL) as past:
        past.start()
        past.spawn("bob")
        past.spawn("eve")
        past.tell(SetMode(name=AgentName("bob"), mode="manual_flush", by="zoe"))
        past.send("bob", "held since long before")
        past.tell(SetMode(name=AgentName("eve"), mode="manual_flush", by="ann"))
        past.send("eve", "held, and over before")
        past.tell(SetMode(name=AgentName("eve"), mode="auto_inject"))
        since = past.world.seq + 2
    make_snapshot(journal, since - 2)
    with Past(journal, SMALL) as past:
        past.start()
        past.send("bob", "later")
    asked = ("report", "--since", since, "--json")
    with_snapshot = ask(tmp_path, *asked).json()
    [hold] = [each for each in with_snapshot["holds"] if each["reason"] == "manual_flush"]
    assert (hold["agent"], hold["by"]) == ("bob", "zoe")
    assert hold["since_seq"] < since
    for snapshot in journal.glob("snapshot-*"):
        snapshot.unlink()
    assert ask(tmp_path, *asked).json() == with_snapshot


def test_another_policy_tells_nothing_from_no_decision_and_says_what_it_left_out(
    let_go: Path, holed: tuple[Path, int], tmp_path: Path
) -> None:
    (tmp_path / "none" / "journal").mkdir(parents=True)
    with Past(tmp_path / "none" / "journal"):
        pass
    for root in (let_go, tmp_path / "none"):
        for words in (("--check",), ("--set", "queue_length_max=3")):
            done = ask(root, "replay", *words)
            assert done.code == 3, done
            assert "no decision here can be made again" in done.err
            assert "would have fared" not in done.out
            assert "the same" not in done.out
    root, last = holed
    told = ask(root, "replay", "--set", "queue_length_max=3", "--json").json()
    [skipped] = told["not_looked_at"]
    assert (told["through"], skipped["first"], skipped["last"]) == (last, last + 1, told["head"])
    report = ask(root, "replay", "--check", "--json").json()
    assert (report["whole"], report["through"], report["head"]) == (False, last, told["head"])
    assert "as far as can be checked" in ask(root, "replay", "--check").out
