"""Identity on the wire: how a caller shows who it is, besides the key that all of them know.

A program that is started gets a token of its own in its environment; the journal keeps a hash of
it. The command line inside the program shows it with each request, so that whose request it is is
known. Over the socket in the directory the session of the program says as much without it. Both
attribute, and stop mistakes: the same user can leave a session, and a token out.
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

AgentDoor = Literal[
    "input",
    "hold",
    "flush",
    "cancel",
    "redeliver",
    "subscribe",
    "release",
    "compact",
    "shutdown",
    "policy",
]
"""What agents may not do unless the policy's `agents_may` names it, mostly to others: what changes
their terminals (`input`), queues, messages and channels, their lives (`release`, restarts as well),
and the broker itself. `callers` in the API has the words for each."""

DOORS: tuple[AgentDoor, ...] = get_args(AgentDoor)


class Caller(msgspec.Struct, frozen=True):
    """Who asks, as it is recorded; `agent` is its name where it is one."""

    commander: str
    agent: str = ""


def caller_of_agent(name: str) -> Caller:
    """An agent: its program asks, or its token was shown."""
    return Caller(agent_commander(name), name)


def caller_without_token(said: str) -> Caller:
    """Whoever knows the key; `said` is what it says of itself."""
    return Caller(OPERATOR if said == OPERATOR else CLIENT)


def hash_of(token: str) -> str:
    """What is kept of a token. It has 128 bits of chance, or what its giver chose."""
    return hashlib.sha256(token.encode()).hexdigest()
