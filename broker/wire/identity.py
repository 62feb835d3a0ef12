"""Identity on the wire: how a caller shows who it is, besides the key that all of them know.

A program that is started gets a token of its own in its environment; the journal keeps a hash of
it. The command line inside the program shows it with each request, so that what comes from there is
known to. Tokens attribute, and stop mistakes: as the same user a program can leave its own out.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal, get_args

import msgspec

from ackbook.projections.commander import CLIENT, OPERATOR, agent_commander

TOKEN_HEADER: Final = "X-Agent-Token"
CALLER_HEADER: Final = "X-Ackbook-Caller"
"""What a caller says of itself that shows no token; only `operator` means anything."""

TOKEN_VARIABLE: Final = "RELAY_AGENT_TOKEN"
NAME_VARIABLE: Final = "RELAY_AGENT_NAME"

AgentDoor = Literal["input", "hold", "flush", "shutdown", "policy"]
"""What agents may not do unless the policy's `agents_may` names it: type into terminals, hold the
messages of others, flush them, end the broker, change the policy."""

DOORS: tuple[AgentDoor, ...] = get_args(AgentDoor)


class Caller(msgspec.Struct, frozen=True):
    """Who asks, as it is recorded; `agent` is its name where it is one."""

    commander: str
    agent: str = ""


def caller_of_agent(name: str) -> Caller:
    """An agent, whose token was shown."""
    return Caller(agent_commander(name), name)


def caller_without_token(said: str) -> Caller:
    """Whoever knows the key; `said` is what it says of itself."""
    return Caller(OPERATOR if said == OPERATOR else CLIENT)


def hash_of(token: str) -> str:
    """What is kept of a token. It has 128 bits of chance, or what its giver chose."""
    return hashlib.sha256(token.encode()).hexdigest()
