"""Whatever can happen to a delivery, the story told of it is the truth.

Days of work are made from a seed: agents that are busy, blocked, ended and started again, holds,
floods into short queues, brokers that crash, reports that come late. A ledger is kept beside the
broker by other means (`tests.support.ledger`) and compared, for every delivery of the day:

- the state and its reason, and the record that settled it;
- whether it was ever typed, and in how many attempts;
- what kept its queue when it left untyped, or keeps it now: which delivery, for what reason, since
  which record, and by whom.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.core.days import Day
from tests.core.test_properties import explained

STEPS = 300
SEEDS_A_CHUNK = 10
CHUNKS = 5


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_why_names_the_true_cause_of_every_delivery(chunk: int) -> None:
    seen: Counter[object] = Counter()
    for seed in range(chunk * SEEDS_A_CHUNK, (chunk + 1) * SEEDS_A_CHUNK):
        seen.update(explained(Day(seed).run(STEPS)))
    assert len(seen) > 40
    assert seen.total() > 500
