"""Messages typed into real programs arrive, are proved by what the programs show, and only once."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import msgspec
import pytest

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.wire.frames import TypeOrder
from ackbook.broker.wire.keystrokes import salted
from tests.support.holders import (
    Link,
    becomes,
    chat,
    message,
    program,
    running,
    transcript,
)

LINES = "the first line\nthe second line\n\nthe last line"

REAL_PROGRAMS = {
    "cat": ("cat",),
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "python": ("python3", "-q"),
    "node": ("node",),
    "sqlite3": ("sqlite3",),
}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def delivered(link: Link, order: TypeOrder) -> Report:
    """Send one message and see it through to the end."""
    link.ready()
    link.send(order)
    report = link.report(order, lambda each: each.phase not in ("typing", "not_begun"))
    assert report.phase == "written", report
    report = link.report(order, lambda each: bool(each.seen and each.submitted))
    link.settle(order)
    return report


@pytest.mark.parametrize("body", ["a single line", LINES], ids=["single", "multi"])
@pytest.mark.parametrize("name", REAL_PROGRAMS)
def test_a_message_to_a_real_program_is_verified_by_its_echo(name: str, body: str) -> None:
    if shutil.which(name) is None and name in ("node", "sqlite3"):
        pytest.skip(f"{name} is not installed")
    with running(*REAL_PROGRAMS[name]) as (_, link):
        for number in (1, 2):
            report = delivered(link, message(number, body))
            assert report.seen is not None
            assert report.seen.how in ("echo_line", "grid_rows")
            assert report.seen.matched == f"evt_{number}"
            assert report.written is not None
            assert report.written.enter == "settled"
            assert report.seen.offset_from >= report.written.offset


@pytest.mark.parametrize("body", ["a single line", LINES, "x\ty"], ids=["single", "multi", "tab"])
def test_a_message_to_a_line_editor_arrives_whole(kept: Path, body: str) -> None:
    with running(*chat(kept)) as (_, link):
        order = message(1, body)
        report = delivered(link, order)
        assert report.written is not None
        assert (report.written.form, report.written.enter) == ("paste", "settled")
        becomes(lambda: transcript(kept), [order.header + body])


@pytest.mark.parametrize("body", ["a single line", LINES, "long " * 100])
def test_a_message_to_a_bordered_full_screen_program_is_found_on_it(kept: Path, body: str) -> None:
    with running(*program("boxed", str(kept))) as (_, link):
        order = message(1, body)
        report = delivered(link, order)
        assert report.written is not None
        assert report.written.enter == "settled"
        becomes(lambda: transcript(kept), [order.header + body])


def test_enter_comes_late_enough_for_a_program_that_looks_for_bursts(kept: Path) -> None:
    with running(*program("bursts", str(kept))) as (_, link):
        order = message(1, "one of its own")
        link.send(order)
        link.report(order, lambda each: each.submitted is not None)
        becomes(lambda: transcript(kept), [order.header + order.body])


def test_what_a_full_screen_program_showed_before_proves_nothing(kept: Path) -> None:
    with running(*program("boxed", str(kept))) as (_, link):
        first = delivered(link, message(1, "the same again"))
        other = msgspec.structs.replace(message(1, "the same again"), delivery_id="del_1_2")
        again = delivered(link, other)
        assert first.seen is not None
        assert again.seen is not None
        assert again.seen.offset_from >= first.seen.offset_to
        becomes(lambda: len(transcript(kept)), 2)


def test_a_text_that_reached_the_terminal_is_not_typed_for_a_later_attempt(kept: Path) -> None:
    """Which only a broker orders whose journal was put back from a copy."""
    with running(*program("boxed", str(kept))) as (_, link):
        first = delivered(link, message(1, "once and for all"))
        link.settle(message(1, "once and for all"))
        again = delivered(link, message(1, "once and for all", attempt=2))
        assert again == msgspec.structs.replace(first, attempt=2)
        delivered(link, message(2, "the next one"))
        assert [line.count("once and for all") for line in transcript(kept)] == [1, 0]


def test_another_text_under_a_known_name_is_another_message(kept: Path) -> None:
    with running(*program("boxed", str(kept))) as (_, link):
        delivered(link, message(1, "of one history"))
        link.settle(message(1, "of one history"))
        delivered(link, message(1, "of another one"))
        becomes(lambda: len(transcript(kept)), 2)


@pytest.mark.parametrize("name", ["cat", "bash", "python"])
def test_twenty_messages_arrive_once_each_and_in_order(name: str) -> None:
    with running(*REAL_PROGRAMS[name], rows=200) as (_, link):
        for number in range(1, 21):
            delivered(link, message(number, f"message {number}"))
        shown = [line for line in link.screen().split("\n") if "Relay message" in line]
        ids = [line.split("[")[1].split("]")[0] for line in shown]
        assert list(dict.fromkeys(ids)) == [f"evt_{number:x}" for number in range(1, 21)]
        copies = {"cat": 2, "bash": 1, "python": 2}[name]
        assert all(ids.count(each) == copies for each in ids)


@pytest.mark.parametrize("editor", ["chat", "boxed"])
def test_a_transcript_proves_twenty_messages_once_each_and_in_order(
    kept: Path, editor: str
) -> None:
    command = chat(kept) if editor == "chat" else program("boxed", str(kept))
    with running(*command) as (_, link):
        orders = [message(number, f"{LINES} {number}") for number in range(1, 21)]
        for order in orders:
            delivered(link, order)
        becomes(lambda: transcript(kept), [order.header + order.body for order in orders])


def test_a_program_that_shows_nothing_is_never_said_to_have_shown_it(kept: Path) -> None:
    with running(*program("quiet_keys", str(kept))) as (_, link):
        order = message(1, "nobody sees this", settle_ms=200)
        link.send(order)
        report = link.report(order, lambda each: each.phase == "written")
        assert report.written is not None
        assert report.written.enter == "deadline"
        later = message(2, "nor this", settle_ms=200)
        link.settle(order)
        link.send(later)
        last = link.report(later, lambda each: each.phase == "written")
        assert (report.seen, report.submitted, last.seen) == (None, None, None)
        typed = (order.header + order.body + "\r" + later.header + later.body + "\r").encode()
        becomes(kept.read_bytes, typed)


def test_a_program_that_keeps_only_the_first_line_is_not_believed() -> None:
    with running(*program("keeps_first_line")) as (_, link):
        order = message(1, LINES, settle_ms=200)
        link.send(order)
        report = link.report(order, lambda each: each.submitted is not None)
        assert order.event_id in link.screen()
        assert report.seen is None


def test_a_placeholder_for_a_large_paste_needs_a_profile_that_knows_it(kept: Path) -> None:
    with running(*program("boxed", str(kept), "placeholder")) as (_, link):
        order = message(1, "\n".join("abcdefgh"), settle_ms=200)
        link.send(order)
        report = link.report(order, lambda each: each.phase == "written")
        assert report.written is not None
        assert report.written.enter == "deadline"


def test_a_placeholder_that_the_profile_knows_is_proof_of_a_large_paste(kept: Path) -> None:
    command = program("boxed", str(kept), "placeholder")
    with running(*command, profile="claude") as (_, link):
        order = message(1, "\n".join("abcdefgh"))
        report = delivered(link, order)
        assert report.seen is not None
        assert report.written is not None
        assert (report.seen.how, report.written.enter) == ("paste_placeholder", "settled")
        becomes(lambda: transcript(kept), [order.header + order.body])


@pytest.mark.parametrize(
    ("profile", "mode", "keys"),
    [
        ("claude", "steer", b"\x1b"),
        ("opencode", "steer", b"\x1b\x1b"),
        ("claude", "wait", b""),
        ("generic", "steer", b""),
    ],
)
def test_only_steering_interrupts_and_only_where_the_profile_says_how(
    kept: Path, profile: str, mode: str, keys: bytes
) -> None:
    command = program("quiet_keys", str(kept))
    with running(*command, profile=profile) as (_, link):
        order = message(1, "turn left", mode=mode, settle_ms=50)
        link.send(order)
        link.report(order, lambda each: each.phase == "written")
        becomes(kept.read_bytes, keys + (order.header + order.body).encode() + b"\r")


def test_a_program_in_line_mode_is_not_interrupted() -> None:
    with running("cat", profile="opencode") as (_, link):
        delivered(link, message(1, "turn left", mode="steer"))
        assert "^[" not in link.screen()


def test_a_hint_is_part_of_the_same_paste(kept: Path) -> None:
    with running(*chat(kept)) as (_, link):
        one = message(1, "short", hint="(answer with the tool)")
        two = message(2, LINES, hint="(answer with the tool)")
        for order in (one, two):
            delivered(link, order)
        becomes(
            lambda: transcript(kept),
            [
                one.header + "short (answer with the tool)",
                two.header + LINES + "\n(answer with the tool)",
            ],
        )


HOSTILE = "a\x1b[201~\rb\x03c\x04d\x15e\x13f\u2028g\x9b201~h\x1b\x1bi\x7fj\x00k\r\nl\u202em"


def test_a_hostile_body_presses_no_key_in_a_line_editor(kept: Path) -> None:
    with running(*chat(kept)) as (_, link):
        order = message(1, HOSTILE)
        delivered(link, order)
        body = "a[201~\nbcdef\ng201~hijk\nlm"
        becomes(lambda: transcript(kept), [order.header + body])


def test_a_hostile_body_presses_no_key_in_line_mode() -> None:
    with running("cat") as (_, link):
        order = message(1, HOSTILE)
        report = delivered(link, order)
        assert report.written is not None
        assert report.written.form == "folded"
        assert (order.header + "a[201~ / bcdef / g201~hijk / lm") in link.screen()
        delivered(link, message(2, "still alive"))


@pytest.mark.parametrize("name", ["cat", "bash", "chat"])
def test_a_body_of_100_kilobytes_is_spooled_to_a_file_and_named(kept: Path, name: str) -> None:
    command = chat(kept) if name == "chat" else REAL_PROGRAMS[name]
    body = "".join(f"line {number} \u00fc\n" for number in range(8_000)).strip()
    with running(*command) as (holder, link):
        report = delivered(link, message(1, body))
        assert report.written is not None
        assert report.written.form == "spooled"
        (file,) = Path(holder.launch.spool).iterdir()
        assert file.read_text() == body
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        # A screen breaks a long path, also at a blank, which is not seen at its edge.
        assert "".join(str(file).split()) in "".join(link.screen().split())
        holder.close()
        assert not file.exists()


def test_a_line_that_cannot_even_name_a_file_is_held_for_its_length() -> None:
    with running("cat") as (_, link):
        order = message(1, "x" * 5_000, header="h" * 4_000)
        link.send(order)
        report = link.report(order, lambda each: True)
        assert (report.phase, report.held) == ("not_begun", "canonical_limit")
        assert link.screen().strip() == ""


def test_a_spool_that_cannot_be_written_is_a_failed_write_and_types_nothing() -> None:
    with running("cat", spool="/proc/nowhere") as (_, link):
        order = message(1, "x" * 5_000)
        link.send(order)
        report = link.report(order, lambda each: True)
        assert report.phase == "not_written"
        assert "spool" in report.error
        assert link.screen().strip() == ""


def test_a_query_to_the_terminal_is_answered_by_the_screen() -> None:
    with running(*program("queries")) as (_, link):
        assert "answer ESC[3;5R" in link.screen()


def test_salted_hashes_stand_for_what_was_typed(kept: Path) -> None:
    with running(*program("quiet_keys", str(kept))) as (_, link):
        order = message(1, "hash me", settle_ms=100)
        link.send(order)
        written = link.report(order, lambda each: each.written is not None).written
        assert written is not None
        assert written.salted_body == salted(written.salt, order.body.encode())
        becomes(lambda: len(kept.read_bytes()), written.bytes_written)
        assert written.salted_typed == salted(written.salt, kept.read_bytes().rstrip(b"\r"))
