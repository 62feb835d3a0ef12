"""How a process ends has one list of numbers, and an error of the journal one of them."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from ackbook import journal
from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.journal_endings import (
    COMMANDS,
    EXIT_CODES,
    error_at_a_shell,
    exit_code_of,
    exit_code_of_verdict,
    step_at_a_shell,
)
from ackbook.broker.runtime.maintenance.worker_process import WorkFailed, work
from ackbook.journal import AttemptFailed, Damage, JournalError, NextStep, Poisoned, Remedy, verify
from ackbook.journal.maintenance.archive_worker import worker_command
from ackbook.journal.recovery.decision_table import RecoveryAction
from tests.support.past import a_busy_day

ROOT = Path(__file__).parent.parent.parent
LAYERS = ("journal", "projections", "broker", "tools")
TELLING = {74, 130, 141}
"""Numbers that mean an exit code and nothing else; the small ones mean many things."""


def kinds(error: type[JournalError]) -> Iterator[type[JournalError]]:
    yield error
    for each in error.__subclasses__():
        yield from kinds(each)


def test_the_number_of_an_exit_code_stands_in_one_place() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for layer in LAYERS
        for path in (ROOT / layer).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value in TELLING
    }
    assert found == {"broker/exit_codes.py"}


def test_every_error_of_the_journal_ends_a_command_with_a_code_of_the_table() -> None:
    raised = {each for each in kinds(JournalError) if each.__module__ == journal.errors.__name__}
    bases = {JournalError, journal.DamageFound}
    for error in raised - bases:
        nearest = [kind for kind in error.__mro__ if kind in EXIT_CODES]
        assert nearest, error
    assert {error.__name__: int(code) for error, code in EXIT_CODES.items()} == {
        "TornTail": 1,
        "OutOfReach": 3,
        "Corrupt": 4,
        "SnapshotUnusable": 4,
        "Locked": 5,
        "Lost": 7,
        "JournalFull": 8,
        "NetworkFileSystem": 8,
        "NotOpen": 8,
        "RecordRefused": 8,
        "TargetTaken": 8,
        "NewerFormat": 10,
        "AttemptFailed": 74,
        "DiskFailed": 74,
        "ReadOnly": 74,
    }


def test_what_is_a_kind_of_another_error_ends_like_it_and_the_machine_with_74() -> None:
    assert exit_code_of(Poisoned("it failed", "start again")) is ExitCode.IO_ERROR
    assert exit_code_of(MemoryError()) is ExitCode.IO_ERROR
    assert exit_code_of(OSError(5, "no disk")) is ExitCode.IO_ERROR


def test_verify_ends_as_the_error_that_says_the_same(tmp_path: Path) -> None:
    a_busy_day(tmp_path)
    found = verify(tmp_path)
    codes = {
        each.value: exit_code_of_verdict(replace(found, verdict=each.value))
        for each in RecoveryAction
    }
    assert found.verdict == "keep"
    assert codes == {"newer": 10, "lost": 7, "corrupt": 4, "cut": 1, "keep": 0}


def test_a_remedy_is_a_command_at_a_shell() -> None:
    assert {remedy: step_at_a_shell(NextStep("", remedy, "/j")) for remedy in COMMANDS} == {
        Remedy.VERIFY: "ackbook verify --dir /j",
        Remedy.SALVAGE: "ackbook salvage --dir /j --out DIR",
        Remedy.REPAIR: "ackbook repair --dir /j --dry-run",
        Remedy.HEAD_TOKEN: "ackbook head --dir /j",
    }
    assert set(COMMANDS) == set(Remedy)
    says_more = NextStep("", Remedy.VERIFY, after=" says more")
    assert step_at_a_shell(says_more) == "ackbook verify says more"
    assert step_at_a_shell(NextStep("try again {later}")) == "try again {later}"


def test_what_is_wrong_is_one_line_with_a_command() -> None:
    step = NextStep("then ", Remedy.VERIFY, "/j{0}")
    told = "it failed. Next: then ackbook verify --dir /j{0}"
    assert error_at_a_shell(AttemptFailed("it failed", step)) == told
    damage = Damage("HEAD", 2, 40, "it is bad", "a proof", step)
    place = "HEAD, line 2, byte 40: it is bad (a proof)"
    assert error_at_a_shell(damage) == f"{place}. Next: then ackbook verify --dir /j{{0}}"


def test_a_worker_of_the_journal_is_quoted_in_the_words_of_a_shell(tmp_path: Path) -> None:
    a_busy_day(tmp_path)
    segment = min(tmp_path.glob("0*.jsonl"))
    segment.write_bytes(b"x" + segment.read_bytes()[1:])
    base = int(segment.stem)

    async def fail() -> None:
        with pytest.raises(
            WorkFailed, match=r"was not archived: .*Next: ackbook verify says more$"
        ):
            await work(worker_command(tmp_path, [base]))

    asyncio.run(fail())
