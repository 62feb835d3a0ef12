"""What the journal keeps of a program: all of its order, once, whoever starts it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ackbook.broker.core.commands import Spawn
from ackbook.broker.runtime.agents.launch_spec import again, recorded
from ackbook.broker.wire.frames import Launch
from ackbook.broker.wire.identity import TOKEN_VARIABLE, hash_of
from ackbook.projections.facts import AgentName, AgentSpawned, RestartPolicy
from tests.support.orders import ended, program, spawn
from tests.support.simulated import Simulated

FULL = {
    "args": ("-u", "--quiet"),
    "cwd": "/srv",
    "env_names": ("HOME",),
    "channels": ("dev", "general"),
    "holder": "bob.1.sock",
    "cli": "cat -u --quiet",
    "model": "m",
    "session_id": "s",
    "team": "t",
    "parent": "p",
    "source": "api",
    "profile": "claude",
    "rows": 30,
    "cols": 120,
    "restart": RestartPolicy(enabled=True, max_restarts=3),
}


def test_a_program_is_recorded_as_it_was_ordered() -> None:
    broker = Simulated()
    ordered = program("bob", **FULL)
    broker.ask(Spawn(program=ordered))
    (fact,) = broker.facts(AgentSpawned)
    assert msgspec.structs.asdict(fact) == msgspec.structs.asdict(ordered)


def test_what_is_started_again_differs_only_in_what_is_new() -> None:
    first = AgentSpawned(**msgspec.structs.asdict(program("bob", **FULL)))
    order = again(first, {"B": "2", "A": "1"}, "restart", 2)
    frame = Launch(
        name=AgentName("bob"),
        generation=2,
        command=first.command,
        args=first.args,
        cwd="/opt",
        env=order.env | {TOKEN_VARIABLE: "agt_one"},
        socket="",
        spool="",
    )
    command = recorded(order, frame, Path("/run/bob.2.sock"), 77)
    assert msgspec.structs.asdict(command.program) == msgspec.structs.asdict(first) | {
        "generation": 2,
        "pid": 77,
        "cwd": "/opt",
        "env_names": ("A", "B"),
        "holder": "bob.2.sock",
        "source": "restart",
        "restart_count": 2,
        "token_sha256": hash_of("agt_one"),
    }


def test_a_name_is_kept_as_it_was_first_written() -> None:
    broker = Simulated()
    spawn(broker, "Bob")
    ended(broker, "Bob")
    broker.ask(Spawn(program=program("BOB", 2)))
    assert [fact.name for fact in broker.facts(AgentSpawned)] == ["Bob", "Bob"]


def test_the_record_of_a_program_quotes_its_order_once() -> None:
    broker = Simulated()
    broker.ask(Spawn(program=program("bob", **FULL)))
    (entry,) = [entry for entry in broker.entries if isinstance(entry.fact, AgentSpawned)]
    assert bytes(entry.by) == b'{"command":"spawn"}'
