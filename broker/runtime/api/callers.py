"""Callers: who asks, by what a request shows, and what is not for agents.

Today that is the token. A connection whose other end is known to belong to an agent's session (a
socket in the directory, with the pid of its peer) would be named here, before the token is looked
at, and whatever it shows.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import HTTPConnection

from ackbook.broker.runtime.api.service import Service
from ackbook.broker.wire.identity import (
    CALLER_HEADER,
    TOKEN_HEADER,
    AgentDoor,
    Caller,
    caller_of_agent,
    caller_without_token,
)
from ackbook.broker.wire.problems import Problem
from ackbook.projections.names import match_key


async def caller_of(service: Service, request: HTTPConnection) -> Caller:
    """Who asks. Raises `Problem` for a token that is nobody's."""
    headers: Mapping[str, str] = request.headers
    token = headers.get(TOKEN_HEADER, "").strip()
    if not token:
        return caller_without_token(headers.get(CALLER_HEADER, ""))
    name = await service.tokens.settled(token)
    if name is None:
        said = "this agent's token is not known here: its program was started again, or let go"
        raise Problem("unknown_token", f"{said}; without RELAY_AGENT_TOKEN it is no agent's")
    return caller_of_agent(name)


def check_claim(caller: Caller, field: str, claimed: str) -> None:
    """Raises `Problem` where an agent says that it is somebody else."""
    if caller.agent and match_key(claimed) != match_key(caller.agent):
        said = f"{field} is {claimed}, and the token is of {caller.agent}"
        raise Problem("not_allowed", f"{said}; leave {field} out, and it is {caller.agent}")


async def check_door(service: Service, caller: Caller, door: AgentDoor, whose: str = "") -> None:
    """Raises `Problem` where an agent does what is not for agents. `whose`: the agent that it is
    done to; to itself it may."""
    if not caller.agent or (whose and match_key(whose) == match_key(caller.agent)):
        return
    may = await service.engine.ask(lambda world, at: world.policy.agents_may)
    if door not in may:
        what = _FORBIDDEN[door]
        raise Problem(
            "not_allowed",
            f"{caller.agent} is an agent, and agents do not {what};"
            f" allow it with: ackbook up --set agents_may={','.join((*may, door))}",
        )


_FORBIDDEN: dict[AgentDoor, str] = {
    "input": "type into terminals",
    "hold": "hold the messages of others",
    "flush": "flush the messages of others",
    "shutdown": "end the broker",
    "policy": "change the policy",
}
