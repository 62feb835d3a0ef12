"""What must not be typed now is not typed at all, and what was begun waits for its Enter."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path

import pytest

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.wire.frames import Input, InputDone, TypeOrder, Welcome
from ackbook.projections.facts import HeldReason
from tests.support.holders import (
    Link,
    becomes,
    eventually,
    launch,
    message,
    program,
    running,
    short_directory,
    start,
)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def refused(link: Link, order: TypeOrder, reason: HeldReason) -> Report:
    """An order that must not begin."""
    link.send(order)
    report = link.report(order, lambda each: True)
    assert (report.phase, report.held, report.written) == ("not_begun", reason, None)
    link.settle(order)
    return report


def type_keys(link: Link, keys: bytes) -> None:
    """A human types, and the terminal has taken it."""
    request = len(link.frames)
    link.send(Input(request=request, data=keys))
    done = link.wait(InputDone, lambda each: each.request == request)
    assert done.bytes_written == len(keys)


def submitted(link: Link, order: TypeOrder) -> Report:
    link.send(order)
    return link.report(order, lambda each: each.submitted is not None)


def test_not_one_byte_is_typed_while_a_dialog_is_open(kept: Path) -> None:
    order = launch(kept.parent, *program("asks", str(kept)))
    with start(order) as holder:
        link = holder.join()
        assert not link.blocked("dialog").heuristic
        refused(link, message(1, "yes please"), "dialog")
        refused(link, message(1, "yes please", override=True), "dialog")
        assert kept.read_bytes() == b""
        type_keys(link, b"y")
        link.ready()
        submitted(link, message(1, "yes please"))
        becomes(lambda: kept.read_bytes()[:14], b"yRelay message")


def test_an_answer_that_a_human_has_begun_is_still_a_dialog(kept: Path) -> None:
    order = launch(kept.parent, *program("asks_for_a_line", str(kept)))
    with start(order) as holder:
        link = holder.join()
        link.blocked("dialog")
        type_keys(link, b"y")
        eventually(lambda: link.screen().rstrip().endswith("[y/N] y"), "the key on the screen")
        refused(link, message(1, "not an answer", override=True), "dialog")
        type_keys(link, b"es\r")
        link.ready()
        submitted(link, message(1, "not an answer"))
        becomes(lambda: kept.read_text()[:17], "yes\nRelay message")


def test_a_menu_anywhere_on_the_screen_holds_where_the_profile_knows_it(kept: Path) -> None:
    menu = "Proceed?\\n \u276f 1. Yes\\n   2. No\\n\\n Esc to cancel \u00b7 Tab to amend\\n"
    script = f"printf '{menu}'; read -s -n 1; clear; exec cat"
    order = launch(kept.parent, "bash", "--norc", "-c", script, profile="claude")
    with start(order) as holder:
        link = holder.join()
        link.blocked("dialog")
        refused(link, message(1, "not an answer", override=True), "dialog")
        type_keys(link, b"2")
        link.ready()
        submitted(link, message(1, "not an answer"))


def test_a_body_that_looks_like_a_dialog_does_not_hold_itself(kept: Path) -> None:
    with running("bash", "--norc", "--noprofile", "-i") as (_, link):
        submitted(link, message(1, "echo proceed? [y/n]"))


def test_a_dialog_that_opens_behind_the_text_holds_the_enter_until_it_is_closed(
    kept: Path,
) -> None:
    with running(*program("asks_midway", str(kept))) as (_, link):
        order = message(1, "surprise!")
        link.send(order)
        held = link.report(order, lambda each: each.held is not None)
        assert (held.phase, held.held) == ("typing", "dialog")
        assert b"\r" not in kept.read_bytes()
        os.kill(link.wait(Welcome).pid, signal.SIGUSR1)
        report = link.report(order, lambda each: each.phase == "written")
        assert report.held is None
        becomes(lambda: kept.read_bytes().count(b"\r"), 1)


def test_a_password_prompt_is_never_typed_into() -> None:
    with running(*program("password")) as (_, link):
        type_keys(link, b"the secret\r")
        assert not link.blocked("echo_off").heuristic
        refused(link, message(1, "not a password", override=True), "echo_off")
        type_keys(link, b"sesame\r")
        link.ready()
        submitted(link, message(1, "not a password"))
        assert "thank you" in link.screen()


@pytest.mark.parametrize("ends", [b"\r", b"\x03", b"\x15", b"\x7f\x7f"])
def test_a_human_who_types_holds_messages_until_the_line_is_empty(ends: bytes) -> None:
    with running("bash", "--norc", "--noprofile", "-i") as (_, link):
        type_keys(link, b":;")
        eventually(lambda: link.screen().rstrip().endswith(":;"), "the keys on the screen")
        refused(link, message(1, "not now", override=True), "human_typing")
        type_keys(link, ends)
        link.ready()
        submitted(link, message(1, "echo now"))
        assert ":;Relay" not in link.screen()


def test_what_a_terminal_answers_by_itself_is_no_human(kept: Path) -> None:
    with running(*program("quiet_keys", str(kept))) as (_, link):
        type_keys(link, b"\x1b[24;80R\x1b[?62;22c\x1b[I\x1b[<0;3;4M")
        order = message(1, "goes through", settle_ms=100)
        link.send(order)
        link.report(order, lambda each: each.phase == "written")


def test_a_command_in_front_of_a_shell_holds_until_the_prompt_is_back(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with running("bash", "--norc", "--noprofile", "-i") as (_, link):
        submitted(link, message(1, "", header=f"cat {shlex.quote(str(fifo))}"))
        condition = link.blocked("busy")
        assert condition.heuristic
        order = message(2, "echo done")
        refused(link, order, "busy")
        fifo.write_text("let go\n")
        link.ready()
        submitted(link, order)
        assert "let go" in link.screen()


def test_a_shell_between_two_commands_refuses_nothing_that_it_does_not_tell_of() -> None:
    with running("bash", "--norc", "--noprofile", "-i") as (_, link):
        for number in range(1, 6):
            link.ready()
            submitted(link, message(number, "", header="sleep 0.1"))
            order = message(100 + number, "", header=":")
            link.send(order, order)
            report = link.report(order, lambda each: each.phase in ("written", "not_begun"))
            assert report.phase == "written" or link.condition().reason == "busy"
            link.settle(order)


def test_a_deadline_of_the_broker_overrides_a_guess(tmp_path: Path) -> None:
    with running("bash", "--norc", "--noprofile", "-i") as (_, link):
        submitted(link, message(1, "", header="cat"))
        link.blocked("busy")
        refused(link, message(2, "for cat"), "busy")
        submitted(link, message(2, "for cat", override=True))


def test_an_agent_that_exits_to_its_shell_gets_no_more_messages(tmp_path: Path) -> None:
    script = "python3 -q; exec bash --norc --noprofile -i"
    with running("bash", "--norc", "-c", script) as (_, link):
        submitted(link, message(1, "print(1)", header=""))
        type_keys(link, b"exit()\r")
        assert not link.blocked("foreground_changed").heuristic
        refused(link, message(2, "rm -rf", header="", override=True), "foreground_changed")
        assert "rm -rf" not in link.screen()


def test_a_message_before_the_first_prompt_waits() -> None:
    """The program is at work until it is told to go on, however slowly the test comes to that."""
    script = "while [ ! -e go ]; do :; done; exec cat"
    with (
        short_directory() as directory,
        start(launch(directory, "sh", "-c", script)) as holder,
    ):
        link = holder.join()
        refused(link, message(1, "too early"), "not_ready")
        (directory / "go").touch()
        link.ready()
        submitted(link, message(1, "in time"))


def test_an_order_for_another_generation_is_refused_without_a_reason_to_wait() -> None:
    with running("cat") as (_, link):
        order = message(1, "for another one", generation=2)
        link.send(order)
        report = link.report(order, lambda each: True)
        assert (report.phase, report.held) == ("not_begun", None)
        assert link.screen().strip() == ""


def test_a_human_who_presses_enter_has_submitted_the_text(kept: Path) -> None:
    with running(*program("quiet_keys", str(kept))) as (_, link):
        order = message(1, "waits to be shown", settle_ms=60_000)
        link.send(order)
        eventually(lambda: kept.stat().st_size > 0, "the text was read")
        type_keys(link, b"\r")
        report = link.report(order, lambda each: each.phase != "typing")
        assert (report.phase, report.error) == ("written", "a human pressed Enter")
        later = message(2, "next", settle_ms=10)
        link.send(later)
        link.report(later, lambda each: each.phase == "written")
        typed = (order.header + order.body + "\r" + later.header + later.body + "\r").encode()
        becomes(kept.read_bytes, typed)


def test_a_human_who_clears_the_line_leaves_the_outcome_unknown(kept: Path) -> None:
    with running(*program("quiet_keys", str(kept))) as (_, link):
        order = message(1, "waits to be shown", settle_ms=60_000)
        link.send(order)
        eventually(lambda: kept.stat().st_size > 0, "the text was read")
        type_keys(link, b"\x15")
        report = link.report(order, lambda each: each.phase != "typing")
        assert (report.phase, report.written) == ("unknown", None)
        assert b"\r" not in kept.read_bytes()


def test_a_line_end_that_a_human_pastes_submits_nothing(kept: Path) -> None:
    with running(*program("quiet_keys", str(kept))) as (_, link):
        order = message(1, "waits to be shown", settle_ms=60_000)
        link.send(order)
        eventually(lambda: kept.stat().st_size > 0, "the text was read")
        type_keys(link, b"\x1b[200~one\rtwo\r\x1b[20")
        type_keys(link, b"1~\x1b\r")
        type_keys(link, b"\x15")
        report = link.report(order, lambda each: each.phase != "typing")
        assert (report.phase, report.error) == (
            "unknown",
            "a human took the text out of the input line",
        )


def test_a_human_who_answers_a_dialog_has_not_submitted_the_text_behind_it(kept: Path) -> None:
    with running(*program("asks_midway", str(kept))) as (_, link):
        order = message(1, "surprise!")
        link.send(order)
        link.report(order, lambda each: each.held is not None)
        type_keys(link, b"\r")
        os.kill(link.wait(Welcome).pid, signal.SIGUSR1)
        report = link.report(order, lambda each: each.phase != "typing")
        assert (report.phase, report.error) == ("written", "")
        becomes(lambda: kept.read_bytes().count(b"\r"), 2)
