"""Where one stands in a past: the same view from whichever side it is come to."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ackbook.projections.analysis.rows import agent_rows, counts
from ackbook.projections.world.fold import World, fold
from ackbook.tools.cli.place import Place
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.record_filter import RecordFilter
from ackbook.tools.replay import stepper
from ackbook.tools.replay.stepper import Stepper, StepView
from tests.bench.history import Past as LongPast
from tests.journal.damaged_corpus import CORPUS, SMALL
from tests.support.past import a_busy_day


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JournalHistory:
    """A short past, in which few records count as near."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(stepper, "NEAR", 6)
    monkeypatch.setattr(stepper, "WINDOW", 4)
    a_busy_day(tmp_path / "journal", SMALL)
    return JournalHistory(Place(tmp_path / "journal"))


def seen(stepper: Stepper, seq: int) -> StepView:
    stepper.stand(seq)
    view = stepper.view()
    assert view is not None
    assert view.line.seq == seq
    assert view.known
    return view


def test_a_view_is_the_same_from_whichever_side_it_is_come_to(history: JournalHistory) -> None:
    head = history.head()
    forward = Stepper(history)
    views = {seq: seen(forward, seq) for seq in range(1, head + 1)}
    back = Stepper(history)
    assert {seq: seen(back, seq) for seq in range(head, 0, -1)} == views
    jumping = Stepper(history)
    for seq in random.Random(1).choices(range(1, head + 1), k=100):
        assert seen(jumping, seq) == views[seq]


def test_a_view_shows_the_world_of_a_full_fold(history: JournalHistory) -> None:
    world, stepper = World(), Stepper(history)
    for entry in history.entries():
        fold(world, entry)
        stepper.stand(entry.seq)
        view = stepper.view()
        assert view is not None
        assert (view.agents, view.counts) == (agent_rows(world, world.at), counts(world))


def test_seeking_finds_each_record_that_is_wanted_in_both_directions(
    history: JournalHistory,
) -> None:
    head = history.head()
    for wanted in (RecordFilter(agent="ANN"), RecordFilter(kinds=("agent.*", "delivery.held"))):
        expected = [line.seq for line in history.lines() if wanted(line)]
        assert 2 < len(expected) < head
        for forward in (True, False):
            stepper = Stepper(history)
            stepper.stand(1 if forward else head)
            found = [stepper.seq] if stepper.seq in expected else []
            while stepper.seek(wanted, forward=forward):
                found.append(stepper.seq)
            assert found == (expected if forward else expected[::-1])
            assert stepper.seq == found[-1], "a search without an answer moves nothing"


def test_behind_a_hole_the_record_is_shown_and_the_world_is_not_known() -> None:
    history = JournalHistory(Place(CORPUS / "flipped_in_a_sealed_segment"))
    stepper = Stepper(history)
    seqs = [line.seq for line in history.lines()]
    behind = next(seq for seq, before in zip(seqs[1:], seqs, strict=False) if seq > before + 1)
    stepper.stand(behind)
    view = stepper.view()
    assert view is not None
    assert not view.known
    stepper.stand(behind - 1)
    assert stepper.view() is None


def test_a_search_moves_only_once_it_has_found(tmp_path: Path) -> None:
    with LongPast(tmp_path / "journal") as past:
        past.arrive(3_000)
        last = past.log.head.seq
    stepper = Stepper(JournalHistory(Place(tmp_path)))
    for forward, begun in ((True, 1), (False, last)):
        stepper.stand(begun)
        wanted = RecordFilter(kinds=("journal.segment", "agent.ready"))
        stepper.seek(wanted, forward=forward)
        found = stepper.seq
        assert found != begun
        stepper.stand(begun)
        passed = [
            (at, stepper.seq)
            for at in stepper.search(RecordFilter(agent="nobody"), forward=forward)
        ]
        assert len(passed) >= 2
        assert {seq for _, seq in passed} == {begun}
        for _ in stepper.search(wanted, forward=forward):
            assert stepper.seq == begun
        assert stepper.seq == found
