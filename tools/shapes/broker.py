"""What verbs read in a broker's answers where that is less than the broker says, or what they print
with `--json` by themselves. All other answers are read as what they are: see `ackbook.broker.wire`.

As with all shapes, fields are added, never renamed or removed; a key without a value is null.
"""

from __future__ import annotations

import msgspec

from ackbook.projections.analysis.row_shapes import ExitRow


class AgentStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A program that runs under a name, and whether its terminal takes input yet."""

    name: str
    generation: int
    pid: int
    state: str


class AgentMet(AgentStarted, frozen=True, kw_only=True):
    """The same, with how it ended where it already has."""

    exit: ExitRow | None = None


class Name(msgspec.Struct, frozen=True):
    """An agent, where only its name is of interest."""

    name: str


class Names(msgspec.Struct, frozen=True):
    """Who is there."""

    agents: list[Name]


class DoneReply(msgspec.Struct, frozen=True):
    """An answer that has nothing to tell."""
