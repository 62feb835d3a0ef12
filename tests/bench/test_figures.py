"""What the bench says of itself has to be right, or no figure is."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from ackbook.journal import Reader, open_log

from .figures import figure, save, share
from .history import AGENTS, Past
from .loops import CountingFiles, Round, bare_loop, produce
from .peers.syncs import count_syncs
from .rebuild import look_at_everything, parse_lines, rebuild, segments
from .starting import KNOWN


def test_a_figure_knows_whether_it_reached_its_goal() -> None:
    fast = figure("a", 0.9, "x", against="y", rounds=5, goal=0.85)
    slow = figure("b", 0.9, "x", against="y", rounds=5, goal=0.85, sense="at most")
    free = figure("c", 0.9, "x", against="y", rounds=5)
    assert (fast.met, slow.met, free.met) == (True, False, None)


def test_a_share_is_that_of_the_rounds_and_not_of_the_medians() -> None:
    assert share([10, 100, 1], [20, 100, 10]) == 0.5


def test_the_file_has_the_seven_fields_of_each_figure(tmp_path: Path) -> None:
    save([figure("a", 1.0, "x", against="y", rounds=5, goal=2)], tmp_path / "bench.json")
    (told,) = json.loads((tmp_path / "bench.json").read_text())
    assert set(told) == {"name", "value", "goal", "met", "against", "rounds", "unit"}


def test_a_fast_past_is_one_that_a_broker_could_have_written(tmp_path: Path) -> None:
    with Past(tmp_path) as past:
        past.arrive(2 * len(AGENTS))
        past.pend(len(AGENTS))
        arrived, waiting = 4 * 2 * len(AGENTS), len(AGENTS)
    assert rebuild(tmp_path) == Reader(tmp_path).head() > arrived + waiting
    assert look_at_everything(tmp_path) == parse_lines(tmp_path)
    assert len(segments(tmp_path)) == 1


def test_every_side_syncs_as_often_as_it_says(tmp_path: Path) -> None:
    """As the kernel counts it: under every batch of either loop stands a sync of its own."""
    bare = count_syncs([os.getpid()], lambda: bare_loop(tmp_path, 8, 80))
    assert bare in (None, 10 + 1)

    files = CountingFiles()
    log = open_log(tmp_path / "journal", kinds=KNOWN, trusted=True, files=files)
    told: list[Round] = []
    ours = count_syncs([os.getpid()], lambda: told.append(asyncio.run(produce(log, files, 8, 80))))
    log.close()
    assert told[0].per_sync <= 8
    assert ours is None or ours >= 10
