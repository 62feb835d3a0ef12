"""A directory that is moved at any moment of a life, and another journal that takes its place.

On the simulated disk somebody steps in before every single call that changes something.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from ackbook.journal import (
    Displaced,
    Draft,
    Limits,
    Log,
    Reader,
    compact,
    open_log,
    verify,
    write_snapshot,
)
from tests.support.disk import SimulatedDisk

A, B = Path("/sim/a"), Path("/sim/b")
SMALL = Limits(
    segment_bytes_max=3_000,
    room_bytes_min=1_000,
    room_bytes_max=2_000,
    reserve_bytes=1_200,
    control_bytes=600,
    line_bytes_max=400,
    batch_bytes_max=1_000,
)
FOLD = 1
NUMBERS = 30


class Life:
    """One journal at A, from its start to its end; `told` is what was acknowledged."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.told: list[int] = []
        self.other: Log | None = None
        self.told_before = 0

    def live(self) -> None:
        log = open_log(A, files=self.disk, limits=SMALL, new_id="a", fold_version=FOLD)
        with contextlib.closing(log):
            self._work(log)

    def _work(self, log: Log) -> None:
        for number in range(NUMBERS):
            put(log, number)
            self.told.append(number)
            if number % 10 == 9:
                log.sync_head()
                snapshot = write_snapshot(
                    A,
                    journal_id=log.journal_id,
                    position=log.head,
                    fold_version=FOLD,
                    lines=[b"{}"],
                    files=log.files,
                )
                log.note_snapshot(snapshot)
                compact(log, fold_version=FOLD)

    def swap(self) -> None:
        """Somebody moves it, and begins another one in its place."""
        self.told_before = len(self.told)
        self.disk.move_dir(A, B)
        self.other = open_log(A, files=self.disk, limits=SMALL, new_id="b", fold_version=FOLD)
        put(self.other, 1_000)


def put(log: Log, number: int) -> None:
    draft = Draft("x.counted", b'{"n":%d,"text":"%b"}' % (number, b"x" * 200))
    while not log.secure(log.measure(draft)):
        log.commit()
    log.stage([draft], log.now(), expect=log.next_seq)
    log.commit()


def numbers(disk: SimulatedDisk, directory: Path) -> list[int]:
    lines = Reader(directory, files=disk).lines()
    return [int(line.data[5 : line.data.index(b",")]) for line in lines if line.kind[:2] == "x."]


def calls_of_a_life() -> int:
    disk = SimulatedDisk()
    Life(disk).live()
    return disk.calls


CALLS = calls_of_a_life()


@pytest.mark.parametrize("first", range(1, 9))
def test_whenever_it_is_moved_nothing_is_written_into_the_one_in_its_place(first: int) -> None:
    assert CALLS > 200, "the life rolls, makes snapshots, compacts and closes"
    for calls in range(first, CALLS + 1, 8):
        disk = SimulatedDisk(calls)
        life = Life(disk)
        disk.interfere_in(calls, life.swap)
        said = ""
        try:
            life.live()
        except Displaced as error:
            said = str(error)
        whole = len(life.told) == NUMBERS  # it was moved while it wrote its last words
        assert str(B) in said or whole
        # The one whose look was over; nothing after it.
        assert len(life.told) <= life.told_before + 1
        assert life.other is not None
        put(life.other, 1_001)
        life.other.close()
        assert numbers(disk, A) == [1_000, 1_001]
        assert verify(A, files=disk).ok
        assert numbers(disk, B)[: len(life.told)] == life.told
        log = open_log(B, files=disk, limits=SMALL, new_id="a", fold_version=FOLD)
        log.close()
        assert verify(B, files=disk).ok
