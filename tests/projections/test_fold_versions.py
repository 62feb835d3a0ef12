"""A snapshot of every released version of the fold can be loaded for ever.

`golden/snapshots/fold-N.jsonl` is one that a release of version N left, and is never changed. A new
version of the fold adds a step to `projections/world/upgrades.py` and a file here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from ackbook.projections.world.fold import World
from ackbook.projections.world.serialization import (
    FOLD_VERSION,
    UnreadableWorld,
    dump,
    load,
)
from ackbook.projections.world.upgrades import RELEASED, FoldHistory

GOLDEN = Path(__file__).parent / "golden" / "snapshots"


def golden(version: int) -> bytes:
    """The entities of the snapshot: what stands between its header and its footer."""
    lines = (GOLDEN / f"fold-{version}.jsonl").read_bytes().splitlines(keepends=True)
    assert b'"fold":%d}' % version in lines[0]
    return b"".join(lines[1:-1])


@pytest.mark.parametrize("version", sorted(RELEASED.loadable))
def test_a_snapshot_of_every_released_version_loads(version: int) -> None:
    world = load([golden(version)], version)
    assert world.agents
    assert world.settled
    assert list(dump(load(with_newlines(dump(world))))) == list(dump(world))


def test_what_the_present_version_dumped_is_dumped_again_byte_for_byte() -> None:
    content = golden(FOLD_VERSION)
    assert b"".join(with_newlines(dump(load([content])))) == content


def test_there_is_a_golden_snapshot_of_every_version_and_the_oldest_one_stays() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {
        f"fold-{version}.jsonl" for version in RELEASED.loadable
    }
    assert RELEASED.oldest == 2, "0.1.0 was released with it"
    assert RELEASED.newest == FOLD_VERSION


def shout(lines: Iterator[bytes]) -> Iterable[bytes]:
    return (line.upper() for line in lines)


def twice(lines: Iterator[bytes]) -> Iterable[bytes]:
    for line in lines:
        yield line
        yield line


@pytest.mark.parametrize(
    ("version", "lines"), [(7, b"A\nA\nB\nB\n"), (8, b"a\na\nb\nb\n"), (9, b"a\nb\n")]
)
def test_older_lines_go_through_each_later_step_in_order(version: int, lines: bytes) -> None:
    history = FoldHistory(7, (shout, twice))
    assert history.newest == 9
    assert b"".join(history.upgraded([b"a\n", b"b\n"], version)) == lines


@pytest.mark.parametrize("version", [0, 1, FOLD_VERSION + 1])
def test_lines_of_another_version_are_no_world(version: int) -> None:
    with pytest.raises(UnreadableWorld, match=f"by version {version}.*loads those of version 2"):
        load(with_newlines(dump(World())), version)


def with_newlines(lines: Iterable[bytes]) -> Iterator[bytes]:
    return (line + b"\n" for line in lines)
