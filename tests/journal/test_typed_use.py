"""A type checker knows what goes into a journal and what comes out of it.

In the program below each line that is marked is wrong, and the checker has to say so: a mark that
nothing stands behind is an error as well.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
from dataclasses import dataclass
from typing import TypedDict, assert_type

from msgspec import Struct

from ackbook.journal import AsyncJournal, History, Journal, Record, open_journal, read_journal


@dataclass
class Order:
    item: str


class Line(TypedDict):
    item: str


class Cup(Struct):
    size: int


with open_journal("orders") as journal:
    assert_type(journal, Journal)
    assert_type(journal.append("order.placed", {"item": "tea"}), int)
    journal.append("order.placed", Order("tea"))
    journal.append("order.placed", Line(item="tea"))
    journal.append("order.placed", Cup(2))
    journal.append("order.placed", b'{"item":"tea"}')
    assert_type(journal.append_all([("a.b", {"n": 1})]), range)
    journal.append("order.placed", [1, 2])  # type: ignore[arg-type]
    journal.append("order.placed", 5)  # type: ignore[arg-type]
    journal.append(b"order.placed", {})  # type: ignore[arg-type]
    journal.snapshot([1, 2])  # type: ignore[call-arg]
    assert_type(journal.state().load(dict[str, int]), dict[str, int] | None)
    for record in journal.read():
        assert_type(record, Record)
        assert_type(record.load(Order), Order)
        record.value["item"] + 1  # type: ignore[operator]
        record.seq = 5  # type: ignore[misc]


async def serve() -> None:
    async with open_journal("orders") as journal:
        assert_type(journal, AsyncJournal)
        assert_type(await journal.append("order.placed", {"item": "tea"}), int)
        await journal.append("order.placed", 5)  # type: ignore[arg-type]
        async for record in journal.follow():
            assert_type(record, Record)


history = read_journal("orders")
assert_type(history, History)
history.append("order.placed", {})  # type: ignore[attr-defined]
"""


@pytest.mark.timeout(900)
def test_a_type_checker_tells_right_use_from_wrong(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
