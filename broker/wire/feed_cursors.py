"""Feed cursors: where a reader of the feed goes on, and of which history that is a place.

```
cursor   =  position [ "." lineage ]      17408 or 17408.7f3c19e0
```
A journal that was put back goes on at positions that were given before, so a position alone may be
one in another history: of what came there after the copy was made, and is not here. What the feed
gives as `id:` ends in the tag of its history, as ids do (`projections.ids`); an event itself holds
the position only. A position alone that somebody names as `sinceSeq` is taken as of this history,
and one that comes back as `Last-Event-ID` as of the first, whose ids have no tag.
"""

from __future__ import annotations

import re

import msgspec

from ackbook.journal.limits import INTEGER_MAX
from ackbook.projections.events.derive import record_of
from ackbook.projections.ids import TAG
from ackbook.projections.world.fold import World

_CURSOR = re.compile(rf"(?P<position>[0-9]{{1,16}})(?:\.(?P<lineage>{TAG}))?", re.ASCII)


class FeedCursor(msgspec.Struct, frozen=True):
    """A position, and the tag of the history that it is of."""

    position: int
    lineage: str


class Histories(msgspec.Struct, frozen=True):
    """Those that a journal went through, as in `World`."""

    lineages: tuple[str, ...]
    forks: tuple[int, ...]

    @classmethod
    def of(cls, world: World) -> Histories:
        return cls(world.lineages, world.forks)

    @property
    def present(self) -> str:
        """The tag of the one that goes on; empty for a journal that was never put back."""
        return self.lineages[-1] if self.lineages else ""

    def has(self, cursor: FeedCursor) -> bool:
        """Whether what stands at this place in the history of the cursor stands there in this
        one: it is of this one, or of one before it and not after they parted."""
        known = ("", *self.lineages)
        if cursor.lineage not in known:
            return False
        later = self.forks[known.index(cursor.lineage) :]
        return all(record_of(cursor.position) <= fork for fork in later)


def read_cursor(text: str, otherwise: str) -> FeedCursor | None:
    """The cursor that this is; None for what is none. A position alone is of the history
    `otherwise`."""
    found = _CURSOR.fullmatch(text)
    if found is None or int(found["position"]) > INTEGER_MAX:
        return None
    return FeedCursor(int(found["position"]), found["lineage"] or otherwise)
