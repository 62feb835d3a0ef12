"""`ackbook replay`: a moment by position or time, two of them compared, the first of a kind."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ackbook.journal import Reader
from ackbook.tools.history.moment_syntax import read_time
from tests.support.past import SMALL, Past, a_busy_day, make_snapshot
from tests.support.shell import Done, ackbook

NOW = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1e6)
END = int(datetime(2026, 1, 31, 18, 32, 5, 500_000, tzinfo=UTC).timestamp() * 1e6)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A directory with a past, and the ids in it. Nobody may change it."""
    root = tmp_path_factory.mktemp("told")
    return root, a_busy_day(root / "journal")


@pytest.fixture
def root(told: tuple[Path, dict[str, str]]) -> Path:
    return told[0]


def replay(root: Path, *arguments: str | Path) -> Done:
    return ackbook("replay", *arguments, "--dir", root, cwd=root)


def times(root: Path) -> dict[int, int]:
    return {line.seq: line.at for line in Reader(root / "journal").lines()}


def iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="microseconds")


# --- which moment is meant


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nine hours ahead of UTC, all year."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-01-31T18:32:05.5Z", "2026-01-31T18:32:05.5+00:00"),
        ("2026-02-01 03:32:05", "2026-01-31T18:32:05+00:00"),
        ("2026-01-31T20:00+02:00", "2026-01-31T18:00:00+00:00"),
        ("2026-02-01", "2026-01-31T15:00:00+00:00"),
        ("03:32", "2026-01-31T18:32:00+00:00"),
        ("03:32:06", "2026-01-30T18:32:06+00:00"),
        ("18:32Z", "2026-01-31T18:32:00+00:00"),
        ("18:33Z", "2026-01-30T18:33:00+00:00"),
        ("-5m", "2026-01-31T18:27:05.5+00:00"),
        ("end-90s", "2026-01-31T18:30:35.5+00:00"),
        ("-500ms", "2026-01-31T18:32:05+00:00"),
        ("-1h", "2026-01-31T17:32:05.5+00:00"),
        ("-2d", "2026-01-29T18:32:05.5+00:00"),
        ("5m", "2026-03-01T11:55:00+00:00"),
        ("2w", "2026-02-15T12:00:00+00:00"),
    ],
)
def test_a_time_is_read_as_the_clock_on_the_wall_shows_it(text: str, meant: str) -> None:
    at = read_time(text, END, NOW)
    assert at == int(datetime.fromisoformat(meant).timestamp() * 1e6)


@pytest.mark.parametrize(
    "text", ["", "soon", "25:00", "-5", "-5y", "5", "+5m", "2026-13-01", "4977"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert read_time(text, END, NOW) is None


@pytest.mark.parametrize("digits", ["9" * 14, "9" * 5_000, "\u0664\u0662"])
def test_digits_that_are_no_position_are_refused(digits: str, root: Path) -> None:
    for verb in (("diff", digits), ("bisect", "--pending-over", "1", "--from", digits)):
        done = replay(root, *verb)
        assert done.code == 2
        assert "is no time" in done.err


def test_a_time_shows_the_world_after_the_last_record_before_it(root: Path) -> None:
    at = times(root)
    for seq in (9, 19, 23, max(at)):
        last = max(other for other in at if at[other] <= at[seq])
        done = replay(root, "--at", iso(at[seq]), "--json")
        assert done.out == replay(root, "--to", str(last), "--json").out
        assert f"record {last}," in done.err
    assert replay(root, "--at", "end", "--json").out == replay(root, "--json").out
    far = replay(root, "--at", "-9000d", "--json")
    assert far.json()["seq"] == 0
    assert "before the first record" in far.err


def test_a_moment_that_cannot_be_understood_is_said_so_with_what_can(root: Path) -> None:
    for arguments in (
        ("--at", "soon"),
        ("diff", "5", "soon"),
        ("bisect", "--state=gone", "--to=soon"),
    ):
        done = replay(root, *arguments)
        assert (done.code, done.out) == (2, "")
        assert "'soon' is no time" in done.err
        assert "-5m" in done.err
    digits = replay(root, "--at", "20")
    assert digits.code == 2
    assert "ackbook replay --to 20" in digits.err
    both = replay(root, "--at", "end", "--to", "3")
    assert both.code == 2
    assert "replay diff" in both.err


# --- what differs


def test_nothing_differs_from_itself(root: Path) -> None:
    for moments in (("9", "9"), ("end",), ("end", str(root)), (f"{root}@9", "9"), ("-0s", "-0s")):
        done = replay(root, "diff", *moments)
        assert done.code == 0, (moments, done.out, done.err)
        assert "nothing differs" in done.out


def test_two_moments_differ_by_what_happened_between(
    told: tuple[Path, dict[str, str]],
) -> None:
    root, ids = told
    [evicted] = ackbook("cat", "--kind", "delivery.evicted", "--dir", root, cwd=root).lines()
    before, after = evicted["seq"] - 1, evicted["seq"]
    done = replay(root, "diff", str(before), str(after), "--json")
    assert done.code == 1
    found = done.json()
    assert set(found) == {"same", "a", "b", "broker", "agents", "counts", "deliveries"}
    assert found["same"] is False
    assert (found["a"]["seq"], found["b"]["seq"]) == (before, after)
    assert found["counts"] == [{"of": "counts", "field": "live", "a": 3, "b": 2},
                               {"of": "counts", "field": "evicted", "a": 0, "b": 1}]  # fmt: skip
    [first, *_] = found["deliveries"]
    assert first["delivery_id"] == ids["evicted"]
    assert (first["a"]["state"], first["b"]["state"]) == ("held", "evicted")
    people = replay(root, "diff", str(before), str(after))
    assert people.code == 1
    row = next(line for line in people.out.splitlines() if line.startswith(ids["evicted"]))
    assert row.split() == [ids["evicted"], "bob", "held:", "manual_flush", "evicted:", "queue_full"]
    assert any(line.split()[:4] == ["bob", "pending", "3", "2"] for line in people.out.splitlines())
    turned = replay(root, "diff", str(after), str(before), "--json").json()
    assert [(c["a"], c["b"]) for c in turned["counts"]] == [(2, 3), (1, 0)]


def test_two_journals_are_compared_and_said_to_be_two(root: Path, tmp_path: Path) -> None:
    with Past(tmp_path / "journal") as past:
        past.start()
        past.spawn("zoe")
    done = replay(root, "diff", "end", f"{tmp_path}@end")
    assert done.code == 1
    assert "two journals" in done.err
    assert "zoe" in done.out
    copied = tmp_path / "copy"
    shutil.copytree(root / "journal", copied)
    same = replay(root, "diff", str(copied), "end")
    assert (same.code, same.err) == (0, "")
    absent = replay(root, "diff", f"{tmp_path}/absent@3")
    assert absent.code == 3


def test_a_moment_of_a_bundle_is_compared_with_that_of_its_journal(
    root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "one.bundle"
    assert ackbook("bundle", "--range", "9..20", "-o", path, "--dir", root, cwd=root).code == 0
    same = replay(root, "diff", f"{path}@15", "15")
    assert same.code == 0
    assert str(path) in same.out
    there = ackbook("replay", "diff", "15", "20", "--dir", path, cwd=root)
    assert (there.code, there.err) == (1, "")
    assert str(path) in there.out


# --- the first moment


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (("--agent", "bob", "--pending-over", "2"), "message.enqueued"),
        (("--outcome", "evicted"), "delivery.evicted"),
        (("--state", "gone"), "agent.exited"),
        (("--held", "manual_flush"), "delivery.held"),
        (("--dead-letters-over", "0"), "delivery.dead_lettered"),
    ],
)
def test_the_first_record_is_found_with_its_decision_and_what_to_run_next(
    asked: tuple[str, ...], kind: str, root: Path
) -> None:
    done = replay(root, "bisect", *asked, "--json")
    assert done.code == 0, done.err
    found = done.json()
    assert set(found) == {"first", "until", "before", "searched"}
    first = found["first"]
    assert first["kind"] == kind
    [record] = ackbook(
        "cat", "--from", str(first["seq"]), "--to", str(first["seq"]), "--dir", root, cwd=root
    ).lines()
    assert first["data"] == record["data"]
    [decided] = ackbook(
        "cat", "--from", str(first["decided_at"]), "--to", str(first["decided_at"]),
        "--dir", root, cwd=root,
    ).lines()  # fmt: skip
    assert first["by"] == decided["by"]
    assert decided["seq"] == first["seq"] or decided["seq"] in record["cause"]
    people = replay(root, "bisect", *asked)
    assert f"record {first['seq']}" in people.out
    assert people.out.splitlines()[-1] == f"next: {first['next']}"
    following = ackbook(*shlex.split(first["next"])[1:], cwd=root)
    assert following.code == 0, following.err


def test_it_is_said_until_when_it_held(root: Path) -> None:
    found = replay(root, "bisect", "--agent", "bob", "--pending-over", "2", "--json").json()
    assert found["until"]["kind"] == "delivery.evicted"
    assert found["until"]["seq"] == found["first"]["seq"] + 1
    for seq, holds in ((found["first"]["seq"], 3), (found["until"]["seq"], 2)):
        world: Any = replay(root, "--to", str(seq), "--json").json()
        [bob] = [row for row in world["agents"] if row["name"] == "bob"]
        assert bob["pending"] == holds
    lasting = replay(root, "bisect", "--state", "gone", "--json").json()
    assert lasting["until"] is None


def test_a_search_may_begin_and_end_anywhere(root: Path) -> None:
    gone = replay(root, "bisect", "--state", "gone", "--json").json()["first"]["seq"]
    nowhere = replay(root, "bisect", "--state", "gone", "--to", str(gone - 1))
    assert nowhere.code == 1
    assert "none of the records" in nowhere.out
    late = replay(root, "bisect", "--state", "gone", "--from", str(gone), "--json").json()
    assert late["before"] is True
    assert late["searched"][0] == gone + 1
    people = replay(root, "bisect", "--state", "gone", "--from", str(gone))
    assert "held already" in people.out


def test_what_a_search_cannot_look_at_is_said(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    ids = a_busy_day(journal, SMALL)
    whole = replay(tmp_path, "bisect", "--outcome", "dead_letter", "--json").json()
    make_snapshot(journal, 20)
    sorted(journal.glob("0*.jsonl"))[0].unlink()
    found = replay(tmp_path, "bisect", "--outcome", "dead_letter", "--json").json()
    assert found["first"] == whole["first"]
    assert ids["dead"] in found["first"]["next"]
    assert (found["searched"][0], whole["searched"][0]) == (21, 1)
    people = replay(tmp_path, "bisect", "--outcome", "refused").out
    assert "none of the records 21 to" in people
    assert "not searched  records 1 to 20" in people
    earlier = replay(tmp_path, "bisect", "--outcome", "refused", "--to", "18")
    assert (earlier.code, earlier.out) == (3, "")
    assert "the first world that is known is that at record 20" in earlier.err


def test_a_search_ends_where_a_record_is_lost(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    a_busy_day(journal, SMALL)
    first = sorted(journal.glob("0*.jsonl"))[0]
    lines = first.read_bytes().split(b"\n")
    first.write_bytes(b"\n".join([*lines[:7], lines[7].replace(b'"at":1', b'"at":2'), *lines[8:]]))
    done = replay(tmp_path, "bisect", "--outcome", "dead_letter")
    assert done.code == 1
    assert "none of the records 1 to 7" in done.out
    assert "not searched  what follows on record 7, which is lost" in done.out


def test_a_search_for_nothing_is_wrong_usage(root: Path) -> None:
    for asked in ((), ("--agent", "bob")):
        done = replay(root, "bisect", *asked)
        assert done.code == 2
        assert "--pending-over" in done.err


def test_the_directory_may_be_named_before_the_word(root: Path, tmp_path: Path) -> None:
    done = ackbook("replay", "--dir", root, "bisect", "--state", "gone", cwd=tmp_path)
    assert done.code == 0
    assert ackbook("--dir", root, "replay", "diff", "5", "5", cwd=tmp_path).code == 0


def test_an_option_of_replay_itself_is_not_passed_over_before_a_word(root: Path) -> None:
    for option in (("--json",), ("--check",), ("--to", "5"), ("--set", "window_ms=1"), ("--all",)):
        done = replay(root, *option, "diff", "3", "4")
        assert done.code == 2
        assert f"{option[0]} stands before diff" in done.err


def test_going_through_the_past_changes_nothing_there(root: Path) -> None:
    def everything() -> dict[str, tuple[int, bytes]]:
        files = (path for path in root.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = everything()
    for arguments in (("--at", "-1s"), ("diff", "5"), ("bisect", "--state", "gone")):
        replay(root, *arguments)
    assert everything() == before
    assert os.access(root, os.W_OK)
