"""A command that begins where imports are done says and does what a fresh one does."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.support.shell import Done, House, ackbook


@pytest.mark.parametrize(
    "words",
    [
        ("--version",),
        ("--help",),
        ("send", "--help"),
        ("no-such-verb",),
        ("send",),
        ("ls",),
        ("send", "bob", "é\U0001f600 \u2028"),
        ("verify", "--json"),
        ("cat", "--kind", "*", "--json"),
        ("completion", "bash"),
    ],
    ids=" ".join,
)
def test_both_say_the_same(words: tuple[str, ...], tmp_path: Path) -> None:
    def run(fresh: bool) -> Done:
        return ackbook(*words, cwd=tmp_path, env={"COLUMNS": "77"}, fresh=fresh)

    assert run(False) == run(True)


def test_both_read_standard_input_and_act_on_the_directory_that_is_named(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.up()
    house("spawn", "bob", "--", "cat")
    for fresh in (False, True):
        given = {"ACKBOOK_DIR": str(house.directory)}
        done = ackbook(
            *("send", "bob", "-"), cwd=tmp_path, stdin=b"from a pipe\n", env=given, fresh=fresh
        )
        assert done.code == 0, done.err
    said = [
        row["data"]["body"] for row in house("cat", "--kind", "message.enqueued", "--json").lines()
    ]
    assert said == ["from a pipe"] * 2
    house.close()


def test_many_at_a_time_get_their_own_answers(tmp_path: Path) -> None:
    answers: dict[int, Done] = {}

    def ask(number: int) -> None:
        answers[number] = ackbook(f"no-such-{number}", cwd=tmp_path)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, done in answers.items():
        assert (done.code, f"no-such-{number}" in done.err) == (2, True)
