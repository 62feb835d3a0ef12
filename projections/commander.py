"""Who commanded: the one word that a record has for it.

`operator`: a person at the command line. `agent:NAME`: the agent whose token was shown. `client`:
whoever else knows the broker's key. Empty: nobody (a report, a deadline), or a record of a version
that did not say.
"""

from __future__ import annotations

from typing import Final

OPERATOR: Final = "operator"
CLIENT: Final = "client"
_AGENT: Final = "agent:"


def agent_commander(name: str) -> str:
    """The word for an agent."""
    return _AGENT + name


def commander_told(commander: str) -> str:
    """The same for people: `the operator`, `a client`, `agent bob`; empty for nobody."""
    match commander:
        case "operator":
            return "the operator"
        case "client":
            return "a client"
        case _:
            return commander.replace(_AGENT, "agent ", 1)
