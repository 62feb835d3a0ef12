"""What `why` is asked about: an id, an idempotency key, or what an agent was sent last.

People rarely have an id at hand, so a question is first turned into ids, the same on the command
line and over HTTP. Where several messages are meant, that is said with what asks for one of them.
This module knows options and names, not how a story is told.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from ackbook.broker.history.story_query import KeyUse, StoryQuery
from ackbook.projections.ids import position_of
from ackbook.projections.names import canonical

LAST_MAX = 1_000
"""Stories told at once."""


class Misasked(Exception):
    """A question that means nothing, or several things. `next_step`: what to type instead."""

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step


class NothingKnown(Misasked):
    """No record is about what is asked for."""


class Meant(NamedTuple):
    """The messages or deliveries that are meant, and what else could have been."""

    ids: list[str]
    note: str = ""


class WhyQuestion(msgspec.Struct, frozen=True):
    """The words of one question, as they were given."""

    id: str | None = None
    key: str | None = None
    sender: str | None = None
    agent: str | None = None
    last: int | None = None

    def check(self) -> None:
        """Raise `Misasked` for a question that means nothing, or two things at once."""
        if sum(each is not None for each in (self.id, self.key, self.agent)) != 1:
            raise Misasked("name one thing: an ID, --key KEY, or --agent NAME --last [N]")
        if (self.agent is None) != (self.last is None):
            raise Misasked("--agent and --last belong together: --agent NAME --last [N]")
        if self.last is not None and not 0 < self.last <= LAST_MAX:
            raise Misasked(f"the last {self.last} cannot be told: say 1 to {LAST_MAX}")
        if self.sender is not None and self._key is None:
            raise Misasked("--from says whose idempotency key is meant; name the key")

    def resolve(self, telling: StoryQuery) -> Meant:
        """The ids that are meant. Raises `NothingKnown` where no record is about it, and `Misasked`
        where several senders used the key: its `next_step` asks for one of them."""
        if self.agent is not None:
            assert self.last is not None
            found = telling.last_deliveries(self.agent, self.last)
            if not found:
                lost = telling.missing
                what = f"nothing was ever queued for {self.agent}"
                if lost:
                    what = f"no record that is left queued anything for {self.agent}; {lost}"
                raise NothingKnown(what, "ackbook replay lists the agents")
            return Meant([*found])
        if self._key is not None:
            return self._meant(self._key, telling.uses_of(self._key, self.sender), telling.missing)
        assert self.id is not None
        return Meant([self.id])

    @property
    def _key(self) -> str | None:
        """The idempotency key: named as one, or an ID that is none."""
        if self.id is not None and position_of(self.id) is None:
            return self.id
        return self.key

    def _meant(self, key: str, uses: list[KeyUse], lost: str) -> Meant:
        """The message that a key stands for: the last one of its sender that was taken. `lost`:
        where it might be named, too."""
        if not uses:
            whose = "" if self.sender is None else f" of {self.sender}"
            raise NothingKnown(
                f"no record names {key}, neither as an id nor as an idempotency key{whose}"
                + (f"; {lost}" if lost else ""),
                "ids are shown by: ackbook send, ackbook pending, ackbook events",
            )
        senders = sorted({canonical(use.sender) for use in uses})
        if len(senders) > 1:
            told = ", ".join(f"{use.sender} ({use.event_id}, seq {use.seq})" for use in uses)
            raise Misasked(
                f"{len(senders)} senders used the key {key}: {told}",
                f"say whose is meant: ackbook why --key {key} --from {senders[0]}",
            )
        meant = max(uses, key=lambda use: (use.taken, use.seq))
        others = ", ".join(use.event_id for use in uses if use is not meant)
        used = f"{key} was used {len(uses)} times by {senders[0]}; also: {others}"
        return Meant([meant.event_id], used if others else "")
