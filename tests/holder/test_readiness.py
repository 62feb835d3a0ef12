"""When a terminal takes a message, what stands in the way, and what a human is doing."""

from __future__ import annotations

import msgspec
import pytest

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.wire.attempts import OPEN_MAX, SETTLED_MAX, Attempts
from ackbook.broker.wire.evidence import TerminalView
from ackbook.broker.wire.frames import TerminalCondition
from ackbook.broker.wire.human_input import ENDING_MS, HumanLine, Keyboard, abandons, submits
from ackbook.broker.wire.profiles import GENERIC
from ackbook.broker.wire.readiness import BUSY_MS_MIN, Readiness, Sight, input_line
from ackbook.projections.facts import DeliveryId, Evidence, HeldReason


def sight(row: str = "$ ", **more: object) -> Sight:
    base = Sight(
        view=TerminalView(rows=(row,), cols=80, cursor=(1, len(row) + 1), offset=1),
        canonical=False,
        echo=False,
        paste=False,
        front="home",
        quiet_ms=10_000,
        age_ms=10_000,
        spoken=True,
        human=False,
    )
    return msgspec.structs.replace(base, **more)


def ready() -> Readiness:
    readiness = Readiness(GENERIC)
    assert readiness.look(sight(paste=True)) == TerminalCondition(state="ready", how="prompt")
    return readiness


YOUNG_MS = 100


@pytest.mark.parametrize(
    ("seen", "how"),
    [
        (sight(quiet_ms=60, age_ms=YOUNG_MS), "prompt"),
        (sight(">>> ", quiet_ms=60, age_ms=YOUNG_MS), "prompt"),
        (sight("working", quiet_ms=500, age_ms=YOUNG_MS), "quiet"),
        (sight("", spoken=False, quiet_ms=1_500, age_ms=YOUNG_MS), "quiet"),
        (sight("working", quiet_ms=5, age_ms=20_000), "deadline"),
    ],
)
def test_a_program_becomes_ready_by_its_first_sign(seen: Sight, how: str) -> None:
    assert Readiness(GENERIC).look(seen) == TerminalCondition(state="ready", how=how)


@pytest.mark.parametrize(
    "seen",
    [
        sight(quiet_ms=5, age_ms=YOUNG_MS),
        sight("working", quiet_ms=60, age_ms=YOUNG_MS),
        sight("", spoken=False, quiet_ms=500, age_ms=YOUNG_MS),
    ],
    ids=["a prompt in mid-output", "no prompt yet", "silent for a moment"],
)
def test_a_program_without_a_sign_is_starting_and_nothing_is_told(seen: Sight) -> None:
    readiness = Readiness(GENERIC)
    assert readiness.look(seen) is None
    assert readiness.now(seen).state == "starting"


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (sight(canonical=True, echo=False), "echo_off"),
        (sight("Proceed? [y/N] "), "dialog"),
        (sight("overwrite (yes/no)? "), "dialog"),
        (sight(human=True), "human_typing"),
    ],
)
def test_a_veto_blocks_at_once_also_before_the_first_prompt(
    seen: Sight, reason: HeldReason
) -> None:
    for readiness in (Readiness(GENERIC), ready()):
        condition = readiness.look(seen)
        assert condition == TerminalCondition(state="blocked", reason=reason)
        assert readiness.look(seen) is None


def test_our_own_text_at_the_cursor_is_no_dialog() -> None:
    assert ready().now(sight("ask them [y/n]", paste=True, ours_at_cursor=True)).state == "ready"


@pytest.mark.parametrize(
    "seen",
    [
        sight(paste=True, front="child"),
        sight(paste=True, canonical=True, echo=True),
        sight(paste=False),
    ],
    ids=["another program in front", "back in line mode", "no pastes any more"],
)
def test_a_busy_terminal_is_a_guess_that_is_told_only_when_it_lasts(seen: Sight) -> None:
    readiness = ready()
    assert readiness.now(seen) == TerminalCondition(state="blocked", reason="busy", heuristic=True)
    assert readiness.look(seen) is None
    later = msgspec.structs.replace(seen, age_ms=seen.age_ms + BUSY_MS_MIN)
    told = readiness.look(later)
    assert told is not None
    assert told.heuristic
    again = readiness.look(sight(paste=True, age_ms=seen.age_ms + 2 * BUSY_MS_MIN))
    assert again == TerminalCondition(state="ready", how="unblocked")


def test_a_program_that_left_its_shell_behind_is_a_veto() -> None:
    condition = ready().look(sight(paste=True, front="lost"))
    assert condition == TerminalCondition(state="blocked", reason="foreground_changed")


@pytest.mark.parametrize(
    ("ends", "shown"),
    [(b"\r", ""), (b"\n", "half"), (b"\x03", "$ "), (b"\x15", "$ ")],
)
def test_a_line_that_a_human_began_ends_when_its_last_key_was_taken(
    ends: bytes, shown: str
) -> None:
    human = HumanLine()
    human.keys(b"hal", "$ ", 0)
    human.keys(b"f", "$ hal", 1)
    human.keys(ends, "$ half", 2)
    human.look("$ half", 3)
    assert human.typing, "the key is on its way"
    human.look("$ half^C", 4)
    assert human.typing, "the key was shown, the line still stands"
    human.look(shown, 5)
    assert not human.typing


def test_a_line_in_a_program_that_shows_nothing_ends_after_a_while() -> None:
    human = HumanLine()
    human.keys(b"secret\r", "Password: ", 0)
    assert not human.typing, "one burst that ends with Enter leaves nothing"
    human.keys(b"secret", "Password: ", 0)
    human.keys(b"\r", "Password: ", 0)
    human.look("Password: ", ENDING_MS - 1)
    assert human.typing
    human.look("Password: ", ENDING_MS)
    assert not human.typing


def test_a_line_that_follows_an_ended_one_counts() -> None:
    human = HumanLine()
    human.keys(b"one\rtwo", "$ ", 0)
    assert human.typing
    human.keys(b"\r", "$ two", 1)
    human.keys(b"three", "$ two", 2)
    human.look("$ ", 3)
    assert human.typing


def test_a_line_that_was_deleted_again_is_no_line() -> None:
    human = HumanLine()
    human.keys(b"a", "$ ", 0)
    human.look("$ ", 1)
    assert human.typing, "the key has not been shown yet"
    human.look("$ a", 2)
    human.keys(b"\x7f", "$ a", 3)
    human.look("$ ", 4)
    assert not human.typing


def test_what_a_terminal_sends_by_itself_begins_no_line() -> None:
    human = HumanLine()
    for data in (
        b"\x1b[24;80R",
        b"\x1b[?62;22c",
        b"\x1b[I\x1b[O",
        b"\x1b[<35;10;4M",
        b"\x1b]11;rgb:0/0/0\x1b\\",
        b"\x1b[C\x1b[D",
        b"\x7f",
    ):
        human.keys(data, "$ ", 0)
        assert not human.typing, data
    human.keys(b"\x1b[A", "$ ", 0)
    assert human.typing, "a line from the history"


@pytest.mark.parametrize("cut", range(26))
def test_a_line_end_within_a_paste_ends_no_line_however_the_paste_is_cut(cut: int) -> None:
    sent, keyboard = b":\x1b[200~one\r\x1b[201~", Keyboard()
    keys = keyboard.keys(sent[:cut]) + keyboard.keys(sent[cut:])
    assert keys.startswith(b":")
    assert not submits(keys)
    assert submits(keyboard.keys(b"\r"))


def test_enter_with_alt_ends_no_line_and_enter_after_escape_does() -> None:
    keyboard = Keyboard()
    assert not submits(keyboard.keys(b"\x1b\r"))
    assert submits(keyboard.keys(b"\x1b") + keyboard.keys(b"\r"))


def test_a_paste_without_an_end_is_over_at_a_lone_control_c() -> None:
    keyboard = Keyboard()
    assert not submits(keyboard.keys(b"\x1b[200~one") + keyboard.keys(b"\r"))
    assert abandons(keyboard.keys(b"\x03"))
    assert submits(keyboard.keys(b"\r"))


def test_an_answer_to_a_dialog_is_a_line_while_it_stands_behind_the_question() -> None:
    human = HumanLine()
    human.keys(b"y", "Sure? [y/N] ", 0, asked=True)
    human.look("Sure? [y/N] y", 1)
    assert human.answering
    human.look("ready> ", 2)
    assert not human.typing


def test_a_row_that_is_full_is_still_the_input_line() -> None:
    full = TerminalView(rows=("$ " + "a" * 8, ""), cols=10, cursor=(2, 1), offset=1)
    assert input_line(full) == full.rows[0]
    next_row = msgspec.structs.replace(full, rows=("a" * 10, "$ b"), cursor=(2, 4))
    assert input_line(next_row) == "$ b"


def test_keys_that_submit_and_keys_that_abandon_are_told_apart() -> None:
    assert submits(b"x\r")
    assert not submits(b"x")
    assert abandons(b"\x03")
    assert not abandons(b"\r")


def report(number: int, phase: str = "written", attempt: int = 1) -> Report:
    fields = {"delivery_id": f"d{number}", "attempt": attempt, "generation": 1, "phase": phase}
    return msgspec.convert(fields, Report)


def test_reports_are_news_once_and_kept_until_settled() -> None:
    attempts = Attempts()
    assert attempts.put(report(1, "typing"))
    assert not attempts.put(report(1, "typing"))
    assert attempts.put(report(1))
    assert attempts.unsettled() == (report(1),)
    key = (DeliveryId("d1"), 1)
    attempts.settle(key)
    assert attempts.unsettled() == ()
    assert attempts.known(key) == report(1)


def test_evidence_after_the_settlement_is_told_until_it_is_settled_too() -> None:
    attempts = Attempts()
    attempts.put(report(1))
    key = (DeliveryId("d1"), 1)
    attempts.settle(key)
    later = msgspec.structs.replace(report(1), seen=Evidence(how="echo_line"))
    assert attempts.put(later)
    assert attempts.unsettled() == (later,)
    attempts.settle(key)
    assert attempts.unsettled() == ()
    assert attempts.known(key) == later


def test_what_was_not_begun_is_forgotten_once_settled() -> None:
    attempts = Attempts()
    attempts.put(report(1, "not_begun"))
    key = (DeliveryId("d1"), 1)
    assert attempts.known(key) is not None
    attempts.settle(key)
    assert attempts.known(key) is None


def test_the_memory_of_attempts_is_bounded() -> None:
    attempts = Attempts()
    for number in range(SETTLED_MAX + 5):
        attempts.put(report(number))
        attempts.settle((DeliveryId(f"d{number}"), 1))
    assert attempts.known((DeliveryId("d4"), 1)) is None
    assert attempts.known((DeliveryId("d5"), 1)) is not None
    for number in range(OPEN_MAX):
        assert not attempts.full
        attempts.put(report(number, attempt=2))
    assert attempts.full
