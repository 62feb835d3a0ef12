"""Agents from the command line: how they start, what is said of them, how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.shell import ACKBOOK, PATIENCE_S, House, environment, wait_for_end, wait_until

AGENT_KEYS = {
    "commander",
    "name",
    "generation",
    "pid",
    "state",
    "blocked",
    "mode",
    "channels",
    "pending",
    "oldest_ms",
    "held",
    "since_ms",
    "command",
    "cwd",
    "restart_count",
    "exit",
}


def row_of(house: House, name: str) -> Any:
    [row] = [row for row in house("ls", "--json").json()["agents"] if row["name"] == name]
    return row


def test_a_spawned_program_is_ready_and_listed(lived_in: House) -> None:
    done = lived_in("spawn", "bob", "--channel", "#a", "--channel", "b", "--json", "--", "cat")
    assert done.code == 0
    started = done.json()
    assert set(started) == {"name", "generation", "pid", "state"}
    assert (started["name"], started["generation"], started["state"]) == ("bob", 1, "ready")
    os.kill(started["pid"], 0)
    listed = lived_in("ls", "--json").json()
    assert set(listed) == {"agents"}
    row = row_of(lived_in, "bob")
    assert set(row) == AGENT_KEYS
    assert (row["pid"], row["state"], row["mode"]) == (started["pid"], "ready", "auto_inject")
    assert row["channels"] == ["a", "b"]
    assert (row["command"], row["cwd"]) == (["cat"], str(lived_in.root))
    people = lived_in("ls").out
    assert "bob" in people
    assert str(started["pid"]) in people


def test_a_profile_is_named_when_a_program_is_spawned(lived_in: House) -> None:
    assert lived_in("spawn", "profiled", "--profile", "claude", "--", "cat").code == 0
    records = lived_in("cat", "--json", "--kind", "agent.spawned").out.splitlines()
    assert '"profile":"claude"' in records[-1]
    refused = lived_in("spawn", "unheard", "--profile", "clyde", "--", "cat")
    assert refused.code == 2
    assert "profile 'clyde' is not known; known are: generic, claude" in refused.err
    for verb in ("spawn", "run"):
        assert "generic, claude" in " ".join(lived_in(verb, "--help").out.split())


def test_what_waits_and_why_is_listed_with_the_agent(lived_in: House) -> None:
    lived_in("spawn", "waits", "--", "cat")
    lived_in("hold", "waits")
    for number in range(2):
        lived_in("send", "waits", f"message {number}")
    row = row_of(lived_in, "waits")
    assert (row["pending"], row["held"], row["mode"]) == (2, "manual_flush", "manual_flush")
    assert row["oldest_ms"] >= 0
    [line] = [line for line in lived_in("ls").out.splitlines() if line.startswith("waits ")]
    assert "manual_flush" in line


def test_a_program_gets_its_place_its_arguments_and_its_environment(
    lived_in: House, tmp_path: Path
) -> None:
    program, told = tmp_path / "says.sh", tmp_path / "told"
    # Into a file: on a screen a long line wraps, and a blank at its edge is not seen.
    program.write_text(
        "#!/bin/sh\n"
        'printf "%s\\n" "$PWD" "$1" "$2" "$SECRET" "$RELAY_AGENT_NAME" "$ACKBOOK_DIR" >"$3.part"\n'
        'mv "$3.part" "$3"\n'
        "exec cat\n"
    )
    program.chmod(0o700)
    done = lived_in(
        "spawn", "told", "--cwd", tmp_path, "--env", "SECRET=q7!x=y", "--", "./says.sh",
        "--dir", "an option of the program's", told,
    )  # fmt: skip
    assert done.code == 0, done.err
    wait_until(told.exists, "what the program was told")
    assert told.read_text().splitlines() == [
        str(tmp_path), "--dir", "an option of the program's", "q7!x=y", "told",
        str(lived_in.directory),
    ]  # fmt: skip
    shown = lived_in("screen", "told", "--json").json()
    assert set(shown) == {"rows", "cols", "cursor", "screen", "offset"}
    for file in (lived_in.directory / "journal").iterdir():
        assert b"q7!x=y" not in file.read_bytes(), "values are never recorded"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("twice", "--", "cat"), 8, "already exists"),
        (("absent", "--", "no-such-program"), 2, "no-such-program"),
        (("nowhere", "--cwd", "/no/such/place", "--", "cat"), 2, "/no/such/place"),
        (("badenv", "--env", "VALUE", "--", "cat"), 2, "K=V"),
        (("a/b", "--", "cat"), 2, "name"),
        (("", "--", "cat"), 2, "name"),
    ],
    ids=["twice", "no_program", "no_place", "bad_env", "bad_name", "empty_name"],
)
def test_what_cannot_be_started_is_said_and_leaves_no_agent(
    arguments: tuple[str, ...], code: int, said: str, lived_in: House
) -> None:
    if arguments[0] == "twice" and lived_in("spawn", "twice", "--", "cat").code != 0:
        pytest.fail("the first of the two has to start")
    before = lived_in("ls", "--json").json()["agents"]
    done = lived_in("spawn", *arguments)
    assert done.code == code, done.err
    assert said in done.err
    assert done.out == ""
    assert [row["name"] for row in lived_in("ls", "--json").json()["agents"]] == [
        row["name"] for row in before
    ]


def test_a_program_that_ends_at_once_was_not_started(lived_in: House) -> None:
    done = lived_in("spawn", "brief", "--", "sh", "-c", "sleep 0.3; exit 7")
    assert done.code == 1
    assert "ended before it was ready" in done.err
    screen = lived_in("screen", "brief")
    assert screen.code == 1
    assert "ackbook ls" in screen.err


def test_a_program_that_takes_long_to_be_ready_is_6_and_not_ended(lived_in: House) -> None:
    """It says nothing and is at work, however slowly on a busy machine; so it is not ready yet."""
    works = ("sh", "-c", "while :; do :; done")
    done = lived_in("spawn", "works", "--wait", "0.3", "--json", "--", *works)
    assert done.code == 6
    assert done.json()["state"] == "starting"
    os.kill(done.json()["pid"], 0)
    assert lived_in("release", "works").code == 0
    unasked = lived_in("spawn", "works2", "--wait", "0", "--", *works)
    assert unasked.code == 0
    assert lived_in("release", "works2").code == 0


def test_restart_ends_a_program_and_starts_it_again_as_it_was(lived_in: House) -> None:
    first = lived_in(
        "spawn", "again", "--env", "KEPT=yes", "--json", "--", "sh", "-c", "echo $KEPT; exec cat"
    ).json()  # fmt: skip
    second = lived_in("restart", "AGAIN", "--json")
    assert second.code == 0
    assert set(second.json()) == {"name", "generation", "pid", "state"}
    assert (second.json()["name"], second.json()["generation"]) == ("again", 2)
    wait_for_end(first["pid"])
    assert "yes" in lived_in("screen", "again").out


def test_release_ends_a_program_and_drops_what_waits(lived_in: House) -> None:
    pid = lived_in("spawn", "leaves", "--json", "--", "cat").json()["pid"]
    lived_in("hold", "leaves")
    sent = lived_in("send", "leaves", "too late", "--json").json()["deliveries"][0]
    done = lived_in("release", "leaves", "--reason", "done", "--json")
    assert done.code == 0
    assert done.json() == {"name": "leaves", "generation": 1, "released": True}
    wait_for_end(pid)
    story = lived_in("why", sent["delivery_id"], "--json").json()
    assert (story["state"], story["reason"]) == ("released", "agent_released")
    assert lived_in("release", "leaves").code == 3


def test_a_program_that_was_killed_is_shown_as_such(lived_in: House) -> None:
    pid = lived_in("spawn", "killed", "--json", "--", "cat").json()["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: row_of(lived_in, "killed")["state"] == "gone", "the end being noticed")
    row = row_of(lived_in, "killed")
    assert (row["pid"], row["exit"]["signal"]) == (None, 9)
    assert "gone: signal 9" in lived_in("ls").out


def test_an_interrupt_ends_a_verb_with_130_and_without_a_word(lived_in: House) -> None:
    lived_in("spawn", "patient", "--", "cat")
    lived_in("hold", "patient")
    with subprocess.Popen(
        [*ACKBOOK, "send", "patient", "hello", "--wait", "140", "--dir", lived_in.directory],
        env=environment(),
        stderr=subprocess.PIPE,
    ) as sender:
        wait_until(
            lambda: lived_in("pending", "patient", "--json").json()["pending"], "the message"
        )
        sender.send_signal(signal.SIGINT)
        assert sender.wait(PATIENCE_S) == 130
        assert sender.stderr is not None
        assert sender.stderr.read().strip() == b""


def test_agents_are_completed_from_the_broker(lived_in: House) -> None:
    lived_in("spawn", "complete-me", "--", "cat")
    asked = {"COMP_WORDS": "ackbook screen Comp", "COMP_CWORD": "2"}
    done = lived_in(env={"_ACKBOOK_COMPLETE": "bash_complete", **asked})
    assert "complete-me" in done.out
    nobody = {"ACKBOOK_DIR": "/nowhere", "_ACKBOOK_COMPLETE": "bash_complete", **asked}
    assert lived_in(env=nobody).err == ""


def test_a_verb_that_agents_call_often_imports_little(lived_in: House) -> None:
    """What is not imported costs nothing; the time itself depends on the machine."""
    lived_in("spawn", "often", "--", "cat")
    script = (
        "import sys; from ackbook.tools.main import main; code = main();"
        "print(code, *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "send", "often", "hello", "--dir", lived_in.directory],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    code, *modules = done.stderr.split()
    assert code == "0"
    below = {
        module
        for module in modules
        if module.startswith(("ackbook.journal", "ackbook.projections.", "ackbook.broker."))
    }
    # Besides the shapes of answers: whose a directory is has to be known before it is believed.
    assert below <= {
        "ackbook.broker.exit_codes",
        "ackbook.broker.runtime",
        "ackbook.broker.runtime.system",
        "ackbook.broker.runtime.system.private_paths",
        "ackbook.broker.runtime.system.unix_sockets",
        "ackbook.broker.wire",
        "ackbook.broker.wire.connection",
        "ackbook.broker.wire.identity",
        "ackbook.broker.wire.replies",
        "ackbook.projections.analysis",
        "ackbook.projections.analysis.row_shapes",
        "ackbook.projections.commander",
        "ackbook.projections.facts",
    }, "the way to the broker, the shapes of answers, and nothing that does anything"
    heavy = {"asyncio", "anyio", "rich", "starlette", "uvicorn", "websockets", "prompt_toolkit"}
    assert not {module.partition(".")[0] for module in modules} & heavy
