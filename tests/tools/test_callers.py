"""The command line inside a program speaks for that program's agent, by itself; outside it is the
operator's. `why`, `ls` and `report` say who commanded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.agent_session import NOTHING, AgentSession
from tests.support.shell import Done, House, wait_for_end, wait_until


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A broker with two agents: `ann`, and `bob`, a shell in which commands are run."""
    house = House(tmp_path_factory.mktemp("é callers"))
    house.up()
    for name, command in (("ann", ("cat",)), ("bob", ("sh",))):
        assert house("spawn", name, "--wait", "60", "--", *command).code == 0
    yield house
    house.close()


def inside(house: House, *arguments: str, env: dict[str, str] | None = None) -> Done:
    """A command as the program of bob would run it: with its environment."""
    return house(*arguments, env={**environment_of(house, "bob"), **(env or {})})


def environment_of(house: House, name: str) -> dict[str, str]:
    """What the broker gave this agent's program to know itself by."""
    rows = {row["name"]: row for row in house("ls", "--json").json()["agents"]}
    values = Path(f"/proc/{rows[name]['pid']}/environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(value).partition("=") for value in values)
    return {key: text for key, _, text in pairs if key.startswith(("RELAY_", "ACKBOOK_"))}


def commander(house: House, kind: str) -> object:
    records = house("cat", "--kind", kind).out.splitlines()
    return json.loads(records[-1])["data"].get("commander")


def test_a_program_knows_its_own_token_and_not_the_brokers_key(lived_in: House) -> None:
    known = environment_of(lived_in, "bob")
    own = set(known) - {"ACKBOOK_TEST_MARK"}
    assert own == {"ACKBOOK_DIR", "RELAY_AGENT_NAME", "RELAY_AGENT_TOKEN"}
    assert known["RELAY_AGENT_TOKEN"] != environment_of(lived_in, "ann")["RELAY_AGENT_TOKEN"]


def test_what_a_program_sends_is_its_agents_and_nobody_elses(lived_in: House) -> None:
    assert inside(lived_in, "send", "ann", "from inside").code == 0
    assert commander(lived_in, "message.enqueued") == "agent:bob"
    refused = inside(lived_in, "send", "ann", "not mine", "--from", "ann")
    assert refused.code == 8
    assert "from is ann, and bob asks" in refused.err
    renamed = inside(lived_in, "send", "ann", "hi", env={"RELAY_AGENT_NAME": "ann"})
    assert renamed.code == 8


@pytest.mark.parametrize(
    "command",
    [
        *(("hold", "ann"), ("auto", "ann"), ("flush", "ann"), ("release", "ann")),
        *(("restart", "ann"), ("compact",), ("down",)),
    ],
    ids=lambda words: words[0],
)
def test_what_is_not_for_agents_ends_with_8_and_says_what_would_allow_it(
    command: tuple[str, ...], lived_in: House
) -> None:
    done = inside(lived_in, *command)
    assert done.code == 8, done
    assert "bob is an agent, and agents do not" in done.err
    assert "ackbook up --set agents_may=" in done.err
    assert lived_in("ls").code == 0


def test_an_agent_looks_at_what_it_likes_and_holds_its_own(lived_in: House) -> None:
    for command in (("ls",), ("screen", "ann"), ("pending",), ("hold", "bob"), ("auto", "bob")):
        assert inside(lived_in, *command).code == 0, command


def test_outside_it_is_the_operator(lived_in: House) -> None:
    assert lived_in("send", "ann", "from outside").code == 0
    assert commander(lived_in, "message.enqueued") == "operator"


def test_a_token_is_not_shown_to_another_broker(lived_in: House, house: House) -> None:
    """What an agent starts and commands elsewhere is not that broker's agent."""
    house.up()
    known, there = environment_of(lived_in, "bob"), ("--dir", house.directory)
    assert house("spawn", "bob", *there, "--", "cat", env=known).code == 0
    assert house("send", "bob", "hi", *there, env=known).code == 0
    assert commander(house, "message.enqueued") == "operator"


def test_a_directory_is_known_by_what_it_is_and_not_by_its_path(lived_in: House) -> None:
    link = lived_in.root / "another name"
    link.symlink_to(lived_in.root)
    by_link = link / lived_in.directory.name
    known = environment_of(lived_in, "bob")
    assert lived_in("send", "ann", "hi", "--dir", by_link, env=known).code == 0
    assert commander(lived_in, "message.enqueued") == "agent:bob"
    ended = known | {"RELAY_AGENT_TOKEN": "of-a-program-that-was-let-go"}
    assert lived_in("send", "ann", "hi", "--dir", by_link, env=ended).code == 8


def test_in_a_directory_that_was_moved_an_agent_is_still_that(house: House) -> None:
    """Its environment has the old path; the broker at the new one knows its token."""
    house.up()
    for name in ("ann", "bob"):
        assert house("spawn", name, "--wait", "60", "--", "cat").code == 0
    known, pid = environment_of(house, "bob"), house.broker_pid
    assert pid is not None
    moved = House(house.root, "moved")
    house.directory.rename(moved.directory)
    wait_for_end(pid)
    with closing(moved):
        there = ("--dir", moved.directory)
        refused = house("up", *there, "--set", "hold_ms=1", "--background", env=known)
        assert refused.code == 8, refused
        moved.up()
        assert house("send", "ann", "hi", *there, env=known).code == 0
        assert commander(moved, "message.enqueued") == "agent:bob"
        assert house("down", *there, env=known).code == 8


def test_where_its_token_means_nothing_an_agent_is_a_stranger_and_not_refused(
    lived_in: House, house: House
) -> None:
    """As an operator, there it may do all of that."""
    house.up()
    known, there = environment_of(lived_in, "bob"), ("--dir", house.directory)
    for command in (("spawn", "x", "--", "cat"), ("hold", "x"), ("release", "x"), ("down",)):
        done = house(*there, *command, env=known)
        assert done.code == 0, done


def test_what_runs_in_an_agents_session_needs_no_environment_to_be_its(house: House) -> None:
    house.up()
    session = AgentSession(house.root / "bob")
    for name, command in (("ann", ("cat",)), ("bob", session.command)):
        assert house("spawn", name, "--wait", "60", "--", *command).code == 0
    there = ("--dir", house.directory)
    sent = session.ackbook(*there, "send", "ann", "hi", before=NOTHING)
    assert sent.code == 0, sent
    assert commander(house, "message.enqueued") == "agent:bob"
    refused = session.ackbook(*there, "down", before=NOTHING)
    assert refused.code == 8
    assert "bob is an agent, and agents do not end the broker" in refused.err
    assert house("down", "--keep-agents").code == 0
    wait_until(lambda: house.broker_pid is None, "it is down")
    for way in ((), ("--background",)):
        done = session.ackbook(*there, "up", "--set", "hold_ms=1", *way, before=NOTHING)
        assert done.code == 8, done
        assert "bob is an agent, and agents do not change the policy" in done.err
    assert session.ackbook(*there, "up", "--background", before=NOTHING).code == 0


def test_why_ls_and_report_say_who_commanded(lived_in: House) -> None:
    sent = inside(lived_in, "send", "ann", "who was it?", "--json", "--wait", "60").json()
    rows = {row["name"]: row for row in lived_in("ls", "--json").json()["agents"]}
    assert rows["ann"]["commander"] == "operator"
    assert "the operator" in lived_in("ls").out
    told = lived_in("why", sent["event_id"])
    assert "commanded by agent bob" in told.out
    [delivery] = sent["deliveries"]
    first = lived_in("why", delivery["delivery_id"], "--json").json()["timeline"][0]
    assert first["commander"] == "agent:bob"
    report = lived_in("report", "--json").json()
    counted = {row["commander"]: row["deliveries"] for row in report["commanders"]}
    assert counted["agent:bob"] >= 1
    assert sum(counted.values()) == report["deliveries"]
    assert "agent bob: " in lived_in("report").out


def test_an_agent_that_starts_a_broker_does_not_change_its_policy(house: House) -> None:
    house.up()
    assert house("spawn", "bob", "--wait", "60", "--", "cat").code == 0
    known = environment_of(house, "bob")
    assert house("down", "--keep-agents").code == 0
    wait_until(lambda: house.broker_pid is None, "it is down")
    for way in ((), ("--background",)):
        done = house("up", "--set", "hold_ms=1", *way, env=known)
        assert done.code == 8, done
        assert "bob is an agent, and agents do not change the policy" in done.err
    assert house("up", "--background", env=known).code == 0
    assert commander(house, "broker.stopped") == "operator"
