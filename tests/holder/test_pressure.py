"""Floods, programs that do not read, and brokers that do not: all stays bounded and alive."""

from __future__ import annotations

import os
import re
import signal
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from ackbook.broker.wire.frames import Input, InputDone, Output, ScreenShown, WatchOrder, Welcome
from tests.support.holders import Holder, Link, eventually, message, program, running

FLOOD_BYTES = 64 * 1024 * 1024
MEMORY_GROWTH_MAX = 24 * 1024 * 1024


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def resident(holder: Holder) -> int:
    pages = Path(f"/proc/{holder.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def shown(link: Link) -> ScreenShown:
    """Ask for the screen and be answered, flood or not."""
    link.screen()
    last = link.frames[-1]
    return last if isinstance(last, ScreenShown) else shown(link)


def flood(link: Link) -> None:
    """Let the flood begin, and wait until it flows."""
    link.send(Input(request=1, data=b"\r"))
    link.wait(InputDone)


def test_a_flood_neither_grows_the_holder_nor_keeps_it_from_answering() -> None:
    with running(*program("flood")) as (holder, link):
        before = resident(holder)
        order = message(1, "lost in the flood", settle_ms=100)
        flood(link)
        link.send(order)
        eventually(lambda: shown(link).offset > FLOOD_BYTES, "a flood that is read")
        assert resident(holder) - before < MEMORY_GROWTH_MAX


def test_a_watcher_that_does_not_read_misses_output_and_is_shown_the_gap() -> None:
    with running(*program("flood")) as (holder, link):
        before = resident(holder)
        link.send(WatchOrder(on=True))
        flood(link)
        eventually(lambda: written(holder, link) > FLOOD_BYTES, "a flood nobody reads")
        assert resident(holder) - before < MEMORY_GROWTH_MAX
        link.wait(Output, lambda piece: piece.offset > FLOOD_BYTES)
        pieces = [each for each in link.frames if isinstance(each, Output)]
        gaps = [
            later.offset - len(later.data) - earlier.offset for earlier, later in pairwise(pieces)
        ]
        assert max(gaps) > 0
        assert min(gaps) >= 0


def written(holder: Holder, link: Link) -> int:
    """Bytes that the flooding program has written, as the kernel counts them."""
    lines = Path(f"/proc/{link.wait(Welcome).pid}/io").read_text().split()
    return int(lines[lines.index("wchar:") + 1])


def test_a_partial_write_is_recorded_and_the_holder_stays_responsive(kept: Path) -> None:
    with running(*program("not_reading", str(kept))) as (_, link):
        taken = 0
        for number in range(1, 100):
            order = message(number, "x" * 7_000, settle_ms=50)
            link.send(order)
            link.report(order, lambda each: each.phase == "typing")
            assert "ready>" in link.screen()
            report = link.report(order, lambda each: each.phase != "typing")
            link.settle(order)
            if report.phase != "written":
                break
            assert report.written is not None
            taken += report.written.bytes_written
        assert (report.phase, report.written, report.seen) == ("unknown", None, None)
        partial = re.match(r"the terminal took (\d+) of \d+ bytes and then no more", report.error)
        assert partial is not None
        os.kill(link.wait(Welcome).pid, signal.SIGUSR1)
        taken += int(partial[1])
        eventually(lambda: kept.exists() and kept.stat().st_size == taken, "all that was taken")


def _answers(request: int, done: InputDone) -> bool:
    return done.request == request


def test_a_terminal_that_takes_no_byte_was_not_written_to(kept: Path) -> None:
    with running(*program("not_reading", str(kept))) as (_, link):
        for request in range(1, 20):
            link.send(Input(request=request, data=b"\x1b[I" * 30_000))
            if link.wait(InputDone, partial(_answers, request)).bytes_written == 0:
                break
        order = message(1, "not a byte")
        link.send(order)
        report = link.report(order, lambda each: each.phase != "typing")
        assert (report.phase, report.written) == ("not_written", None)
