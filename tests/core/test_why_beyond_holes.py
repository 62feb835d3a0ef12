"""With any records taken out of a history, the story told of a delivery is true or says `unknown`.

Days of work are made from a seed, as in `test_why_is_true`, and of each a run of records is taken
out, wherever a decision may have begun or ended; behind it now and then the world is known again,
as from a snapshot. What is told is compared with the ledger of the whole day:

- a state and its reason are those of the ledger, or `unknown`; one that ended may have been queued
  again or dropped since, where the record of that was taken out and the story says what is missing;
- what kept a queue, since when and by whom is what the ledger says, or is not said;
- nothing is said to be typed or not typed that was not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest

from ackbook.projections.why.builder import why
from ackbook.projections.why.story import Story
from tests.core.days import Day
from tests.support.holed import Holed
from tests.support.ledger import Account, Agent, Ledger
from tests.support.simulated import Simulated

STEPS = 160
SEEDS_A_CHUNK = 10
CHUNKS = 8
HOLES_A_DAY = 5


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_with_records_taken_out_a_story_is_true_or_says_unknown(chunk: int) -> None:
    seen: Counter[object] = Counter()
    for seed in range(chunk * SEEDS_A_CHUNK, (chunk + 1) * SEEDS_A_CHUNK):
        broker = Day(seed).run(STEPS)
        chance = Random(seed)
        for _ in range(HOLES_A_DAY):
            seen.update(Compared(broker, Holed(broker, chance)).told())
    assert seen["unknown"] > 0
    assert seen["known, though not whole"] > 100
    assert seen["whole"] > 100
    assert seen["wait not said"] > 0
    assert seen["wait said behind a hole"] > 0
    assert seen["beginning lost"] > 0


class EndingsToo(Ledger):
    """A ledger that keeps every ending: what became a dead letter may be queued again."""

    def __init__(self) -> None:
        super().__init__()
        self.endings: dict[str, list[tuple[str, str | None, int]]] = {}

    def hear(self, decision: Sequence[dict[str, Any]]) -> None:
        super().hear(decision)
        for delivery_id, account in self.accounts.items():
            self._note(delivery_id, account)

    def _give_up(self, agent: Agent, account: Account, reason: str, seq: int) -> None:
        super()._give_up(agent, account, reason, seq)
        self._note(account.delivery_id, account)

    def _note(self, delivery_id: str, account: Account) -> None:
        if account.seq is None:
            return
        ending = account.state, account.reason, account.seq
        known = self.endings.setdefault(delivery_id, [])
        if ending not in known:
            known.append(ending)


class Compared:
    """One history with a hole, and what is told of it."""

    def __init__(self, broker: Simulated, holed: Holed) -> None:
        self._holed = holed
        self._ledger = EndingsToo()
        for decision in broker.decisions():
            self._ledger.hear(decision)

    def told(self) -> Iterator[str]:
        """Compare every story with the ledger; what was seen."""
        holed = self._holed
        for delivery_id in self._ledger.accounts:
            story = why(holed.left, delivery_id, holed.fetch, remembered=holed.remembered)
            if story is not None:
                yield from self._compared(delivery_id, story)
                continue
            assert not [each for each in holed.left if f"'{delivery_id}'" in str(each.fact)]
            if holed.known_at is not None:
                world = holed.remembered(holed.known_at)
                assert world is not None
                assert delivery_id not in world.deliveries

    def _compared(self, delivery_id: str, story: Story) -> Iterator[str]:
        expected, told = self._ledger.expected(delivery_id), story.to_dict()
        context = (story.sentence, expected, str(self._holed))
        assert story.sentence.startswith(delivery_id), context
        assert story.sentence.endswith("."), context
        if told["whole"]:
            assert {key: told[key] for key in expected} == expected, context
            yield "whole"
            return
        assert told["missing"] == [(self._holed.first, self._holed.last)], context
        self._compare_state(delivery_id, expected, told, context)
        assert told["typed"] in (expected["typed"], "unknown"), context
        assert told["attempts"] <= expected["attempts"], context  # type: ignore[operator]
        yield "unknown" if told["state"] == "unknown" else "known, though not whole"
        yield from self._compared_wait(expected["wait"], told, context)
        if self._holed.holds(self._ledger.accounts[delivery_id].joined):
            yield "beginning lost"

    def _compare_state(
        self, delivery_id: str, expected: dict[str, Any], told: dict[str, Any], context: object
    ) -> None:
        if told["state"] == "unknown":
            assert (told["reason"], told["settled_seq"]) == (None, None), context
            return
        if told["state"] != expected["state"] or told["settled_seq"] not in (
            None,
            expected["settled_seq"],
        ):
            endings = self._ledger.endings[delivery_id]
            ending = told["state"], told["reason"], told["settled_seq"]
            assert ending in endings, context
            [_, *later] = endings[endings.index(ending) :]
            assert all(self._holed.holds(seq) for _, _, seq in later[:1]), context
            return
        assert told["reason"] in (expected["reason"], "unknown"), context

    def _compared_wait(
        self, expected: dict[str, Any] | None, told: dict[str, Any], context: object
    ) -> Iterator[str]:
        wait = told["wait"]
        if wait is None:
            assert expected is None, context
        elif wait["kind"] == "unknown":
            assert wait == {
                "kind": "unknown",
                "delivery_id": "",
                "reason": None,
                "seq": None,
                "by": None,
            }
            yield "wait not said"
        else:
            assert expected is not None, context
            for key in ("kind", "delivery_id", "reason"):
                assert wait[key] == expected[key], context
            assert wait["seq"] in (None, expected["seq"]), context
            assert wait["by"] in (None, expected["by"]), context
            yield "wait said behind a hole"
