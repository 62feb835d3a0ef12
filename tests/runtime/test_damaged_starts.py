"""Whatever happens to the files, no start comes to another world in silence; see `damage`."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.runtime.damage import BROKEN, MADE, run_seed

CASES = 40
"""A part; there are ten of them. `make damage` tries 20,000 and more."""


@pytest.mark.parametrize("part", range(10))
def test_a_start_refuses_or_has_the_world_that_was_there(part: int) -> None:
    tally: Counter[str] = Counter()
    for seed in range(part * CASES + 1, (part + 1) * CASES + 1):
        tally.update(run_seed(seed))
    said = [name for name in tally if name.startswith("seed")]
    assert not any(tally[kind] for kind in BROKEN), said
    assert tally["cases"] == CASES
    assert tally["refused"]
    assert tally["the_same"]
    assert len([make for make in MADE if tally[make.__name__.strip("_")]]) == len(MADE)
