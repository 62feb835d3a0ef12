"""What a broker may rely on, held by the real holder and by the scripted one alike."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.runtime.system.processes import started_at
from ackbook.broker.wire.frames import (
    EndOrder,
    EpochRefusal,
    Hello,
    Input,
    InputDone,
    Named,
    Output,
    ProgramEnded,
    Resize,
    ScreenAsked,
    ScreenShown,
    WatchOrder,
    Welcome,
)
from tests.support.holders import (
    FAKE,
    REAL,
    Holder,
    Link,
    eventually,
    gone,
    launch,
    message,
    program,
    short_directory,
    start,
)

Starter = Callable[..., contextlib.AbstractContextManager[Holder]]


@pytest.fixture(params=[REAL, FAKE], ids=["real", "fake"])
def module(request: pytest.FixtureRequest) -> tuple[str, ...]:
    chosen: tuple[str, ...] = request.param
    return chosen


@pytest.fixture
def started(module: tuple[str, ...]) -> Starter:
    """Starts a holder of a program that reads lines behind a prompt."""

    @contextlib.contextmanager
    def starter(**more: object) -> Iterator[Holder]:
        with (
            short_directory() as directory,
            start(launch(directory, *program("password"), **more), module) as holder,
        ):
            yield holder

    return starter


def test_a_holder_says_who_it_is(started: Starter) -> None:
    with started(generation=7) as holder:
        welcome = holder.connect().hello()
        assert (welcome.name, welcome.generation, welcome.named) == ("a", 7, False)
        assert welcome.holder_pid == holder.process.pid
        assert (welcome.reports, welcome.ended) == ((), None)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            Hello(epoch=2, journal_id="j", instance="a"),
            Hello(epoch=1, journal_id="j", instance="b"),
        ),
        (
            Hello(epoch=2, journal_id="j", instance="a"),
            Hello(epoch=2, journal_id="j", instance="b"),
        ),
        (
            Hello(epoch=2, journal_id="j", instance="a"),
            Hello(epoch=3, journal_id="k", instance="a"),
        ),
        (
            Hello(epoch=2, journal_id="j", instance="a"),
            Hello(epoch=3, journal_id="j", instance="b", lineages=("aaaa",)),
        ),
        (
            Hello(epoch=2, journal_id="j", instance="a", lineages=("aaaa",)),
            Hello(epoch=3, journal_id="j", instance="b"),
        ),
        (
            Hello(epoch=2, journal_id="j", instance="a", lineages=("aaaa",)),
            Hello(epoch=3, journal_id="j", instance="b", lineages=("bbbb",)),
        ),
    ],
    ids=[
        "lower epoch",
        "same epoch, other instance",
        "other journal",
        "history that goes on from one whose broker lives",
        "history that the holder has left",
        "other history",
    ],
)
def test_an_older_broker_is_refused_and_the_newer_one_is_not_disturbed(
    started: Starter, first: Hello, second: Hello
) -> None:
    with started() as holder:
        newer = holder.connect()
        newer.send(first, Named())
        newer.wait(Welcome)
        older = holder.connect()
        older.send(second)
        refusal = older.wait(EpochRefusal)
        assert (refusal.reason, refusal.epoch) == ("older_epoch", 2)
        older.wait_closed()
        assert "line>" in newer.screen()


def test_a_history_that_goes_on_is_obeyed_once_the_broker_before_is_gone(
    started: Starter,
) -> None:
    """Whatever its epoch is: a journal that was put back counts from where the copy was made."""
    with subprocess.Popen(["sleep", "1000"]) as before, started() as holder:
        process = {"pid": before.pid, "started": started_at(before.pid)}
        first = holder.connect()
        first.send(Hello(epoch=7, journal_id="j", instance="a", **process), Named())
        first.wait(Welcome)
        first.screen()
        first.close()
        goes_on = Hello(epoch=2, journal_id="j", instance="b", lineages=("aaaa",))
        early = holder.connect()
        early.send(goes_on)
        assert str(before.pid) in early.wait(EpochRefusal).detail
        before.kill()
        before.wait()
        late = holder.connect()
        late.send(goes_on)
        assert late.wait(Welcome).named


@pytest.mark.parametrize("epoch", [1, 2], ids=["same epoch and instance", "higher epoch"])
def test_a_newer_connection_takes_over_and_the_older_one_is_closed(
    started: Starter, epoch: int
) -> None:
    with started() as holder:
        old = holder.join(epoch=1)
        new = holder.connect()
        assert new.hello(epoch=epoch).named
        old.wait_closed()
        assert "line>" in new.screen()


def test_what_an_older_broker_still_sends_is_thrown_away_or_told(started: Starter) -> None:
    with started() as holder:
        old = holder.join()
        old.ready()
        new = holder.connect()
        os.kill(holder.process.pid, signal.SIGSTOP)
        try:
            old.send(message(1, "from the past"))
            new.send(Hello(epoch=2, journal_id="j", instance="two"))
        finally:
            os.kill(holder.process.pid, signal.SIGCONT)
        told = new.wait(Welcome).reports
        order = message(2, "from the present")
        new.ready()
        new.send(order)
        new.report(order, lambda each: each.phase == "written" or each.held == "busy")
        if told:
            eventually(lambda: "from the past" in new.screen(), "what was begun")
        else:
            assert "from the past" not in new.screen()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"frame":"named"}\n', "bad_frame"),
        (b"GET / HTTP/1.1\n", "bad_frame"),
        (b'{"frame":"hello","epoch":1,"journal_id":"j","instance":"i","protocol":9}\n', None),
    ],
    ids=["before hello", "no frame", "other protocol"],
)
def test_a_stranger_is_refused(started: Starter, line: bytes, reason: str | None) -> None:
    with started() as holder:
        broker = holder.join()
        stranger = holder.connect()
        stranger.send_raw(line)
        assert stranger.wait(EpochRefusal).reason == (reason or "other_protocol")
        stranger.wait_closed()
        assert "line>" in broker.screen()


def test_an_attempt_is_begun_once_however_often_it_is_ordered(started: Starter) -> None:
    with started() as holder:
        link = holder.join()
        link.ready()
        order = message(1, "only once")
        link.send(order, order)
        first = link.report(order, lambda each: each.submitted is not None)
        link.send(order)
        link.wait(Report, lambda each: each is not first and each == first)
        link.settle(order)
        link.send(order)
        assert link.screen().count("only once") == 1


def test_reports_only_ever_say_more(started: Starter) -> None:
    with started() as holder:
        link = holder.join()
        link.ready()
        order = message(1, "more and more")
        link.send(order)
        link.report(order, lambda each: bool(each.submitted and each.seen and each.input_empty))
        reports = [each for each in link.frames if isinstance(each, Report)]
        assert [reports[0].phase, reports[-1].phase] == ["typing", "written"]
        for earlier, later in pairwise(reports):
            for known in ("written", "seen", "submitted"):
                was = getattr(earlier, known)
                assert was is None or getattr(later, known) == was


def test_a_report_is_kept_until_it_is_settled(started: Starter) -> None:
    with started() as holder:
        link = holder.join()
        link.ready()
        order = message(1, "keep me")
        link.send(order)
        report = link.report(order, lambda each: bool(each.seen and each.input_empty))
        link.close()
        link = holder.connect()
        assert link.hello(epoch=2).reports == (report,)
        link.settle(order)
        link.screen()
        link = holder.connect()
        assert link.hello(epoch=3).reports == ()


def test_a_welcome_names_the_attempts_that_were_settled_apart_from_the_others(
    started: Starter,
) -> None:
    with started() as holder:
        link = holder.join()
        link.ready()
        settled, kept = message(1, "settled"), message(2, "kept")
        reports = []
        for order in (settled, kept):
            link.send(order)
            reports.append(link.report(order, lambda each: bool(each.seen and each.input_empty)))
        link.settle(settled)
        link.screen()
        welcome = holder.connect().hello(epoch=2)
        assert (welcome.settled, welcome.reports) == ((reports[0],), (reports[1],))


@pytest.mark.parametrize("is_settled", [True, False], ids=["settled", "not settled"])
def test_a_text_that_has_reached_the_terminal_is_not_typed_by_a_later_attempt(
    started: Starter, is_settled: bool
) -> None:
    """Only a broker orders it again whose journal was put back from a copy."""
    with started() as holder:
        link = holder.join()
        link.ready()
        order, again = message(1, "reached it"), message(1, "reached it", attempt=2)
        link.send(order)
        first = link.report(order, lambda each: bool(each.submitted and each.input_empty))
        if is_settled:
            link.settle(order)
        link.send(again)
        told = link.report(again, lambda each: True)
        assert told == msgspec.structs.replace(first, attempt=2)
        assert link.screen().count("reached it") == 1


@pytest.mark.parametrize("attempt", [1, 2])
def test_another_text_under_a_known_name_is_another_message(started: Starter, attempt: int) -> None:
    """A copy of a journal gives names again that were given before."""
    with started() as holder:
        link = holder.join()
        link.ready()
        order, other = message(1, "the first"), message(1, "the other", attempt=attempt)
        link.send(order)
        link.report(order, lambda each: bool(each.submitted and each.input_empty))
        link.settle(order)
        link.screen()
        seen = len(link.frames)
        link.send(other)
        link.wait(
            Report,
            lambda each: each in link.frames[seen:] and bool(each.submitted and each.input_empty),
        )
        screen = link.screen()
        assert (screen.count("the first"), screen.count("the other")) == (1, 1)


def test_an_attempt_that_was_not_begun_may_be_ordered_again_once_that_is_settled(
    started: Starter,
) -> None:
    with started() as holder:
        link = holder.join()
        link.ready()
        order = message(1, "again")
        link.send(Input(request=1, data=b"half a line"))
        link.blocked("human_typing")
        link.send(order)
        report = link.report(order, lambda each: True)
        assert (report.phase, report.held) == ("not_begun", "human_typing")
        link.send(Input(request=2, data=b"\r"))
        link.settle(order)
        link.ready()
        link.send(order)
        link.report(order, lambda each: each.submitted is not None)


def test_an_order_for_another_generation_is_not_begun(started: Starter) -> None:
    with started(generation=2) as holder:
        link = holder.join()
        link.ready()
        order = message(1, "for the one before", generation=1)
        link.send(order)
        report = link.report(order, lambda each: True)
        assert (report.phase, report.held) == ("not_begun", None)
        assert "for the one before" not in link.screen()


def test_keys_reach_the_program_and_are_acknowledged(started: Starter) -> None:
    with started() as holder:
        link = holder.join()
        link.ready()
        link.send(Input(request=5, data=b"typed"))
        assert link.wait(InputDone).bytes_written == 5
        eventually(lambda: "line> typed" in link.screen(), "the keys on the screen")


def test_a_resized_terminal_has_its_new_size(started: Starter) -> None:
    with started() as holder:
        link = holder.join()
        link.send(Resize(rows=10, cols=40), ScreenAsked(request=1, format="ansi"))
        shown = link.wait(ScreenShown)
        assert (shown.rows, shown.cols, shown.format) == (10, 40, "ansi")


def test_output_streams_to_who_watches_without_a_gap_and_stops_when_told(
    started: Starter,
) -> None:
    with started() as holder:
        link = holder.join()
        link.ready()
        link.send(WatchOrder(on=True))
        begins = link.wait(Welcome).offset
        order = message(1, "watch this")
        link.send(order)
        link.report(order, lambda each: each.submitted is not None)
        eventually(lambda: b"watch this" in watched(link), "the output")
        pieces = [each for each in link.frames if isinstance(each, Output)]
        for piece in pieces:
            assert piece.offset - len(piece.data) >= begins
            begins = piece.offset
        link.send(WatchOrder(on=False))
        link.screen()
        count = len(link.output())
        link.send(Input(request=9, data=b"unseen"))
        link.wait(InputDone, lambda each: each.request == 9)
        eventually(lambda: "unseen" in link.screen(), "the keys on the screen")
        assert len(link.output()) == count


def watched(link: Link) -> bytes:
    """The output that has come so far; asking for the screen brings in what is under way."""
    link.screen()
    return link.output()


def test_a_holder_that_was_not_named_ends_with_its_broker(started: Starter) -> None:
    with started() as holder:
        link = holder.connect()
        pid = link.hello().pid
        link.close()
        assert holder.wait() == 0
        assert gone(pid)


def test_a_holder_that_was_not_named_ends_with_its_standard_input(started: Starter) -> None:
    with started() as holder:
        assert holder.process.stdin is not None
        holder.process.stdin.close()
        assert holder.wait() == 0
        assert not Path(holder.launch.socket).exists()


def test_a_holder_to_which_nobody_comes_ends_by_itself(started: Starter) -> None:
    with started(stay_s=0) as holder:
        assert holder.wait() == 0


def test_a_named_holder_outlives_its_broker(started: Starter) -> None:
    with started() as holder:
        link = holder.join()
        pid = link.wait(Welcome).pid
        link.screen()
        assert holder.process.stdin is not None
        holder.process.stdin.close()
        link.close()
        link = holder.connect()
        assert link.hello(epoch=2).pid == pid
        assert "line>" in link.screen()


def test_end_ends_the_program_tells_it_and_leaves_nothing(started: Starter) -> None:
    with started() as holder:
        link = holder.join()
        pid = link.wait(Welcome).pid
        link.send(EndOrder(grace_ms=10_000))
        assert link.wait(ProgramEnded).reason == "signalled"
        assert holder.wait() == 0
        assert gone(pid)
        assert not Path(holder.launch.socket).exists()


def test_the_end_of_a_program_names_what_was_begun_and_nothing_else(started: Starter) -> None:
    with started() as holder:
        link = holder.join()
        link.ready()
        settled, kept = message(1, "settled"), message(2, "kept")
        for order in (settled, kept):
            link.send(order)
            link.report(order, lambda each: bool(each.submitted and each.input_empty))
            if order is settled:
                link.settle(order)
        link.send(Input(request=1, data=b"\x04"))
        assert link.wait(ProgramEnded).began == ((kept.delivery_id, kept.attempt),)
        late = message(3, "too late")
        link.send(late)
        assert link.report(late, lambda each: True).phase == "not_begun"


def test_the_end_of_a_program_waits_for_a_broker_that_comes_later(started: Starter) -> None:
    with started() as holder:
        link = holder.join()
        link.ready()
        link.send(Input(request=1, data=b"\x04"))
        link.wait(ProgramEnded)
        link.close()
        link = holder.connect()
        ended = link.hello(epoch=2).ended
        assert ended is not None
        assert (ended.reason, ended.code) == ("exited", 1)
        order = message(1, "too late")
        link.send(order)
        assert link.report(order, lambda each: True).held == "agent_gone"
        link.send(EndOrder())
        assert holder.wait() == 0
