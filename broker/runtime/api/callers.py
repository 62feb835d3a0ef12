"""Callers: who asks, and what is not for agents.

A connection over the socket in the directory that comes from the session of an agent's program is
the agent's, whatever it shows. What left that session, or comes over the port, is who its token
says; without one it is a client, or the operator, if it says so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from starlette.requests import HTTPConnection

from ackbook.broker.runtime.agents.holder_session import HolderSession
from ackbook.broker.runtime.api.peers import NO_SESSION, peer_session
from ackbook.broker.runtime.api.service import Service
from ackbook.broker.runtime.system.processes import stat
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
    """Who asks. Raises `Problem` for a token that is nobody's (`unknown_token`), and for what is
    left of an agent's earlier program (`not_allowed`)."""
    program = await _program_of(service, request)
    if program is not None:
        if not service.tokens.is_current(program.name, program.generation):
            said = (
                f"{program.name} was let go or started again, and this is its program from before"
            )
            raise Problem("not_allowed", f"{said}; what is new has a session of its own")
        return caller_of_agent(program.name)
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
    if not is_own(caller, claimed):
        said = f"{field} is {claimed}, and {caller.agent} asks"
        raise Problem("not_allowed", f"{said}; leave {field} out, and it is {caller.agent}")


def is_own(caller: Caller, *whose: str) -> bool:
    """Whether the caller may take it for its own: an agent what is of its name, others all."""
    return not caller.agent or match_key(caller.agent) in map(match_key, whose)


async def check_door(service: Service, caller: Caller, door: AgentDoor, *whose: str) -> None:
    """Raises `Problem` where an agent does what is not for agents. `whose`: the agents that it is
    done to; to itself it may."""
    if is_own(caller, *whose):
        return
    may = await service.engine.ask(lambda world, at: world.policy.agents_may)
    if door not in may:
        what = _FORBIDDEN[door]
        raise Problem(
            "not_allowed",
            f"{caller.agent} is an agent, and agents do not {what};"
            f" allow it with: ackbook up --set agents_may={','.join((*may, door))}",
        )


async def _program_of(service: Service, request: HTTPConnection) -> HolderSession | None:
    """The holder of the program whose session it comes from. A program may ask before its name is
    durable: then it waits until it is."""
    leader = peer_session(request)
    if leader == NO_SESSION:
        return None
    found = service.holders.in_session(leader)
    if found is None and _is_coming(leader):
        await service.tokens.none_is_coming()
        found = service.holders.in_session(leader)
    return found


def _is_coming(leader: int) -> bool:
    """Whether a holder that we started has started this program, named or not."""
    program = stat(leader)
    holder = None if program is None else stat(program.parent)
    return holder is not None and holder.parent == os.getpid()


_FORBIDDEN: dict[AgentDoor, str] = {
    "input": "type into terminals",
    "hold": "hold the messages of others",
    "flush": "flush the messages of others",
    "cancel": "take back the messages of others",
    "redeliver": "redeliver the messages of others",
    "subscribe": "change the channels of others",
    "release": "end or restart others",
    "compact": "compact the journal",
    "shutdown": "end the broker",
    "policy": "change the policy",
}
