"""Screens of evidence are kept in bounds, for their owner only, and cost nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.runtime.holder import capture_file
from ackbook.broker.runtime.holder.capture_file import CaptureFile
from ackbook.broker.wire.evidence import TerminalView
from ackbook.broker.wire.screen_captures import Still, decode_still
from ackbook.projections.facts import DeliveryId, Evidence
from tests.support.holders import message, running
from tests.support.shell import wait_until

SEEN = Evidence(how="echo_line", offset_from=1, offset_to=9)


def stills(path: Path) -> list[Still]:
    files = [path.with_name(path.name + capture_file.OLD), path]
    lines = [line for each in files if each.exists() for line in each.read_bytes().splitlines()]
    return [still for still in map(decode_still, lines) if still is not None]


def report(number: int, *, seen: bool = True, submitted: bool = False) -> Report:
    return Report(
        delivery_id=DeliveryId(f"del_{number:x}_1"),
        attempt=1,
        generation=1,
        phase="typing",
        seen=SEEN if seen else None,
        submitted=SEEN if submitted else None,
    )


def view(text: str = "a row") -> TerminalView:
    return TerminalView(rows=(text, "", ""), cols=80, cursor=(1, 3), offset=5)


def test_a_screen_is_kept_when_a_text_is_seen_and_when_it_is_submitted(tmp_path: Path) -> None:
    path = tmp_path / "screens" / "a.jsonl"
    with running("cat", screens=str(path)) as (_, link):
        order = message(1, "something to be seen")
        link.send(order)
        link.report(order, lambda each: bool(each.seen and each.submitted))
        link.settle(order)
        link.screen()
    seen, submitted = stills(path)
    assert [seen.moment, submitted.moment] == ["seen", "submitted"]
    assert {(each.delivery_id, each.attempt) for each in (seen, submitted)} == {("del_1_1", 1)}
    assert "something to be seen" in "".join(seen.rows)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_text_that_is_not_seen_in_its_window_leaves_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    silent = "stty -echo -icanon; echo waiting; cat > /dev/null"
    with running("sh", "-c", silent, screens=str(path)) as (_, link):
        order = message(1, "nobody shows this", window_ms=300, settle_ms=100)
        link.send(order)
        link.report(order, lambda each: each.phase == "written")
        later = message(2, "nor this", window_ms=10, settle_ms=100)
        link.settle(order)
        link.send(later)
        link.report(later, lambda each: each.phase == "written")
        wait_until(lambda: "not_seen" in {each.moment for each in stills(path)}, "a picture", 30)
    assert all("nobody shows" not in row for each in stills(path) for row in each.rows)
    assert any("waiting" in row for each in stills(path) for row in each.rows)


@pytest.mark.parametrize("screens", ["/dev/full/a.jsonl", "/proc/nowhere/a.jsonl", ""])
def test_a_screen_that_cannot_be_kept_costs_nothing_else(screens: str) -> None:
    with running("cat", screens=screens) as (_, link):
        for number in (1, 2):
            order = message(number, "all the same")
            link.send(order)
            link.report(order, lambda each: bool(each.seen and each.submitted))
            link.settle(order)


def test_a_file_never_grows_beyond_its_bounds_and_keeps_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    captures = CaptureFile(str(path), lambda: view("x" * 5_000))
    for number in range(600):
        captures.told(report(number))
        assert sum(each.stat().st_size for each in tmp_path.iterdir()) <= capture_file.BYTES_MAX
    kept = stills(path)
    assert len(kept) > 80
    assert kept[-1].delivery_id == "del_257_1"
    assert [each.delivery_id for each in kept] == [
        f"del_{number:x}_1" for number in range(600 - len(kept), 600)
    ]


def test_a_screen_too_large_for_the_file_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    CaptureFile(str(path), lambda: view("x" * capture_file.BYTES_MAX)).told(report(1))
    assert not path.exists()


def test_a_torn_line_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    captures = CaptureFile(str(path), view)
    captures.told(report(1))
    path.chmod(0o600)
    whole = path.read_bytes()
    path.unlink()
    path.mkdir()
    captures.told(report(2))
    path.rmdir()
    path.write_bytes(whole[:20])
    captures.told(report(3))
    assert [each.delivery_id for each in stills(path)] == ["del_3_1"]


def test_evidence_that_is_told_again_is_kept_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    captures = CaptureFile(str(path), view)
    for submitted in (False, False, True, True):
        captures.told(report(1, submitted=submitted))
    assert [each.moment for each in stills(path)] == ["seen", "submitted"]


def test_the_files_of_old_holders_are_let_go(tmp_path: Path) -> None:
    for number in range(capture_file.FILES_MAX + 10):
        old = tmp_path / f"old{number:04d}.jsonl"
        old.touch()
        os.utime(old, (number, number))
    path = tmp_path / "new.jsonl"
    CaptureFile(str(path), view).told(report(1))
    names = sorted(each.name for each in tmp_path.iterdir())
    assert len(names) < capture_file.FILES_MAX
    assert path.name in names
    assert f"old{capture_file.FILES_MAX + 9:04d}.jsonl" in names
    assert "old0000.jsonl" not in names
