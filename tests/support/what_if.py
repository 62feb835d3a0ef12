"""What would have happened, asked of a list of entries: both passes, without a journal."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ackbook.broker.core.replay.recheck import decisions
from ackbook.broker.core.replay.recorded_replies import Reactions
from ackbook.broker.core.replay.what_if import Elsewhere
from ackbook.projections.codec import Entry
from ackbook.projections.facts import Policy
from ackbook.projections.world.fold import World


def elsewhere(told: Iterable[Entry], moved_us_min: int = 1, **other: object) -> Elsewhere:
    """The two worlds at the end of these entries, under a policy with other numbers."""
    entries = list(told)
    reactions = Reactions()
    for entry in entries:
        reactions.note(entry)

    def change(policy: Policy) -> Policy:
        return msgspec.structs.replace(policy, **other)

    here, there = World(), World()
    here.seq = there.seq = entries[0].seq - 1
    made = Elsewhere(here, there, change, reactions, moved_us_min)
    for group in decisions(entries):
        made.take(group)
    made.fates.finish()
    return made
