"""What `why` is asked about: an id, an idempotency key, or what an agent was sent last.

People rarely have an id at hand, so a question is first turned into ids. Where several messages are
meant, that is said with the command that asks for one of them. This module knows options and names,
not how a story is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.core.ids import position_of
from broker.runtime.telling import KeyUse, Telling

from .failures import Exit, Failure
from .output import plain, say

LAST_MAX = 1_000
"""Stories told at once."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The words of one question, as they were given."""

    id: str | None
    key: str | None
    sender: str | None
    agent: str | None
    last: int | None

    def check(self) -> None:
        """Raise `Failure` for a question that means nothing, or two things at once."""
        if sum(each is not None for each in (self.id, self.key, self.agent)) != 1:
            raise Failure(
                Exit.USAGE, "name one thing: an ID, --key KEY, or --agent NAME --last [N]"
            )
        if (self.agent is None) != (self.last is None):
            raise Failure(Exit.USAGE, "--agent and --last belong together: --agent NAME --last [N]")
        if self.sender is not None and self._key is None:
            raise Failure(Exit.USAGE, "--from says whose idempotency key is meant; name the key")

    def resolve(self, telling: Telling) -> list[str]:
        """The ids of the messages or deliveries that are meant."""
        if self.agent is not None:
            assert self.last is not None
            found = telling.last_deliveries(self.agent, self.last)
            if not found:
                lost = telling.missing
                what = f"nothing was ever queued for {self.agent}"
                if lost:
                    what = f"no record that is left queued anything for {self.agent}; {lost}"
                raise Failure(Exit.NOT_FOUND, what, "ackbook replay lists the agents")
            return list(found)
        if self._key is not None:
            uses = telling.uses_of(self._key, self.sender)
            return [self._meant(self._key, uses, telling.missing)]
        assert self.id is not None
        return [self.id]

    @property
    def _key(self) -> str | None:
        """The idempotency key: named as one, or an ID that is none."""
        if self.id is not None and position_of(self.id) is None:
            return self.id
        return self.key

    def _meant(self, key: str, uses: list[KeyUse], lost: str) -> str:
        """The message that a key stands for: the last one of its sender that was taken. `lost`:
        where it might be named, too."""
        if not uses:
            whose = "" if self.sender is None else f" of {self.sender}"
            raise Failure(
                Exit.NOT_FOUND,
                f"no record names {key}, neither as an id nor as an idempotency key{whose}"
                + (f"; {lost}" if lost else ""),
                "ids are shown by: ackbook send, ackbook pending, ackbook events",
            )
        senders = sorted({use.sender for use in uses})
        if len(senders) > 1:
            told = ", ".join(f"{use.sender} ({use.event_id}, seq {use.seq})" for use in uses)
            raise Failure(
                Exit.USAGE,
                plain(f"{len(senders)} senders used the key {key}: {told}"),
                plain(f"say whose is meant: ackbook why --key {key} --from {senders[0]}"),
            )
        meant = max(uses, key=lambda use: (use.taken, use.seq))
        if len(uses) > 1:
            others = ", ".join(use.event_id for use in uses if use is not meant)
            say(f"{plain(key)} was used {len(uses)} times by {plain(senders[0])}; also: {others}")
        return meant.event_id
