"""`replay --check` on whole, bounded, cut and wrong journals: what it says is honest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from ackbook.broker.core import standing_rules
from ackbook.broker.core.attempt_report import Report
from ackbook.broker.core.commands import ReportAttempt, Send, SetMode
from ackbook.journal import open_log, salvage
from ackbook.projections.facts import AgentName, Policy
from tests.decisions.make import write_journal
from tests.decisions.stories import Told
from tests.support.forged import blind_head
from tests.support.orders import deliver, message, spawn
from tests.support.past import SMALL, Past, a_busy_day, make_snapshot
from tests.support.shell import Done, ackbook

KEYS = {
    *("ok", "whole", "decisions", "through", "head", "diverged", "origin_not_told", "cut_short"),
    *("redacted", "divergences", "not_checked"),
}


def checked(journal: Path, *options: str) -> Done:
    return ackbook("replay", "--check", *options, "--dir", journal, cwd=journal.parent)


def otherwise(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal of a broker that typed three times what had to wait for a flush."""
    told = Told(Policy(queue_length_max=2))
    spawn(told, "bob")
    with monkeypatch.context() as broken:
        broken.setattr(standing_rules, "why_held", lambda agent, delivery: (None, 0, None))
        for number in range(3):
            told.ask(SetMode(name=AgentName("bob"), mode="manual_flush"))
            told.wait(200)
            told.sent(message("bob", f"{number}"))
            deliver(told, told.typed()[0])
            told.ask(SetMode(name=AgentName("bob"), mode="auto_inject"))
    write_journal(directory, told)
    return directory


def test_a_journal_of_these_rules_is_the_same(tmp_path: Path) -> None:
    a_busy_day(tmp_path / "journal")
    done = checked(tmp_path / "journal", "--json")
    report = done.json()
    assert done.code == 0
    assert set(report) == KEYS
    assert report["ok"] is True
    assert report["decisions"] > 15
    assert report["divergences"] == report["not_checked"] == []


def test_the_first_divergence_is_shown_with_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = otherwise(tmp_path / "journal", monkeypatch)
    done = checked(journal, "--json")
    assert done.code == 1
    report = done.json()
    assert report["diverged"] == 3
    (first,) = report["divergences"]
    assert first["recorded"]["kind"] == "delivery.attempted"
    assert first["decided"]["kind"] == "delivery.held"
    assert first["decided"]["data"]["reason"] == "manual_flush"
    assert {"kind", "reason", "cause"} <= set(first["differs"])
    assert first["command"]["command"] == "send"
    assert first["first_seq"] == first["seq"] - 1
    every = checked(journal, "--json", "--all").json()["divergences"]
    assert [row["decided"]["kind"] for row in every] == ["delivery.held"] * 3
    told = checked(journal).out
    assert "delivery.attempted" in told
    assert "delivery.held" in told
    assert "3 of" in told
    assert checked(journal, "--all").out.count("decided again") == 3


def test_after_a_lost_beginning_it_goes_on_from_a_snapshot(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    a_busy_day(journal, SMALL)
    make_snapshot(journal, 20)
    sorted(journal.glob("0*.jsonl"))[0].unlink()
    report = checked(journal, "--json").json()
    (skipped,) = report["not_checked"]
    assert (skipped["first"], skipped["last"]) == (1, 20)
    assert report["ok"] is True
    assert 0 < report["decisions"] < 13


def test_where_nothing_is_known_nothing_is_said_to_be_the_same(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    a_busy_day(journal, SMALL)
    sorted(journal.glob("0*.jsonl"))[0].unlink()
    done = checked(journal)
    assert done.code == 3
    assert "no decision here can be made again: the world before it is not known" in done.err


def test_what_lies_behind_an_accepted_loss_is_said_to_be_unchecked(tmp_path: Path) -> None:
    journal, saved = tmp_path / "journal", tmp_path / "saved"
    a_busy_day(journal, SMALL)
    path = sorted(journal.glob("0*.jsonl"))[1]
    lines = path.read_bytes().split(b"\n")
    lines[3] = lines[3].replace(b'"at":1', b'"at":2')
    path.write_bytes(b"\n".join(lines))
    found = salvage(journal, saved)
    report = checked(saved, "--json").json()
    (skipped,) = report["not_checked"]
    assert skipped["first"] == found.lost[0].first
    assert skipped["last"] == report["head"]
    assert skipped["first"] == report["through"] + 1
    assert (report["ok"], report["whole"]) == (True, False)


def test_a_redacted_bundle_is_decided_as_the_journal_was(tmp_path: Path) -> None:
    with Past(tmp_path / "journal") as past:
        past.start(Policy(keys_max=2))
        past.spawn("bob")
        for number, body in enumerate(["x", "y", "y", "z", "x", ""]):
            key = "private"[: 1 + number % 4]
            past.tell(Send(sender="amy", target="@BOB", body=body, key=key, ttl_ms=60_000))
        head = past.log.head.seq
    for first in (1, 8):
        path = tmp_path / f"from{first}"
        asked = ("--range", f"{first}..{head}", "--redact", "-o", path)
        assert ackbook("bundle", *asked, "--dir", tmp_path, cwd=tmp_path).code == 0
        report = checked(path, "--json").json()
        assert (report["ok"], report["redacted"], report["origin_not_told"]) == (True, [], 0)
        assert report["decisions"] >= 5


def test_what_redaction_keeps_from_being_decided_is_named_and_no_divergence(
    tmp_path: Path,
) -> None:
    error = "x" * 500 + " password=hunter2"
    with Past(tmp_path / "journal") as past:
        past.start()
        past.spawn("bob")
        typed = past.send("bob", "typed at once").deliveries[0][0]
        report = Report(delivery_id=typed, attempt=1, generation=1, phase="not_written")
        past.tell(ReportAttempt(AgentName("bob"), msgspec.structs.replace(report, error=error)))
        head = past.log.head.seq
    path = tmp_path / "one"
    asked = ("--range", f"1..{head}", "--redact", "-o", path)
    assert ackbook("bundle", *asked, "--dir", tmp_path, cwd=tmp_path).code == 0
    done = checked(path, "--json")
    assert done.code == 0
    assert done.json()["redacted"] == [head]
    assert done.json()["divergences"] == []
    assert f"cannot be made again without what was taken out: {head}" in checked(path).out
    assert checked(tmp_path, "--json").json()["redacted"] == []


def test_a_divergence_is_one_in_a_redacted_bundle_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = otherwise(tmp_path / "journal", monkeypatch)
    head = checked(journal, "--json").json()["through"]
    path = tmp_path / "one"
    asked = ("--range", f"1..{head}", "--redact", "-o", path)
    assert ackbook("bundle", *asked, "--dir", journal, cwd=tmp_path).code == 0
    report = checked(path, "--json").json()
    assert (report["diverged"], report["redacted"]) == (3, [])


def test_a_decision_that_a_crash_cut_short_is_no_divergence(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with Past(journal) as past:
        past.start()
        past.spawn("bob")
        past.send("bob", "typed at once")
        head = past.log.head.seq
        shutil.copytree(journal, tmp_path / "copy")
    copy = next((tmp_path / "copy").glob("0*.jsonl"))
    blind_head(tmp_path / "copy")
    lines = copy.read_bytes().rstrip(b"\n").split(b"\n")
    assert json.loads(lines[-1])["kind"] == "delivery.attempted"
    copy.write_bytes(b"\n".join(lines[:-1]) + b"\n")
    open_log(tmp_path / "copy").close()
    report = checked(tmp_path / "copy", "--json").json()
    assert (report["ok"], report["cut_short"]) == (True, 1)
    assert report["through"] >= head


def test_what_was_redacted_is_no_divergence(tmp_path: Path) -> None:
    told = Told(Policy(queue_length_max=2))
    spawn(told, "bob")
    told.sent(message("bob", "of which the hash is kept", key="a key of some length"))
    deliver(told, told.typed()[0])
    write_journal(tmp_path / "journal", told)
    bundle = ("bundle", "--range", f"1..{told.world.seq}", "--redact", "-o", "one.bundle")
    assert ackbook(*bundle, "--dir", "journal", cwd=tmp_path).code == 0
    report = checked(tmp_path / "one.bundle", "--json").json()
    assert (report["ok"], report["divergences"]) == (True, [])
    assert report["decisions"] > 3
