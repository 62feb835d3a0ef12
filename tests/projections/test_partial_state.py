"""What records behind a hole say of a queue is what the whole history says of it."""

from __future__ import annotations

from collections import Counter
from random import Random

from ackbook.projections.why.partial_state import UNKNOWN, PartialState
from ackbook.projections.why.wait_cause import wait_of
from ackbook.projections.world.fold import fold
from ackbook.projections.world.state import World
from tests.core.days import Day

SEEDS = 150
STEPS = 160
BEGINNINGS = 6


def test_what_was_said_since_any_record_keeps_a_queue_or_is_unknown() -> None:
    seen: Counter[str] = Counter()
    for seed in range(SEEDS):
        entries, chance = Day(seed).run(STEPS).entries, Random(seed)
        for begin in chance.sample(range(1, len(entries)), BEGINNINGS):
            world, said = World(), PartialState()
            for entry, following in zip(entries, [*entries[1:], None], strict=True):
                fold(world, entry)
                if entry.seq <= begin:
                    continue
                said.hear(entry)
                if following is not None and not bytes(following.by):
                    continue  # within a decision the two need not agree
                for agent in world.agents.values():
                    told = said.wait(agent.name)
                    seen[told.kind] += 1
                    if told != UNKNOWN and not (told.kind == "in_doubt" and not told.seq):
                        assert told == wait_of(agent, world.at), (seed, begin, entry)
    assert min(seen[kind] for kind in ("unknown", "held", "typing", "awaiting", "in_doubt")) > 50
