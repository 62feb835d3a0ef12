"""The examples run as they stand: on the journal alone, and beside a real broker."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest

from tests.test_papers import ROOT, broker_ended_afterwards, environment, run_in_shell

EXAMPLES = ROOT / "tools" / "examples"


def example(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        cwd=cwd,
        env=environment(cwd),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_list_of_things_to_do_is_there_again_at_the_next_start(tmp_path: Path) -> None:
    tea = example("todo.py", "add", "tea", cwd=tmp_path).stdout.strip()
    milk = example("todo.py", "add", "milk", cwd=tmp_path).stdout.strip()
    assert example("todo.py", "done", tea, cwd=tmp_path).returncode == 0
    assert example("todo.py", "done", tea, cwd=tmp_path).returncode == 1
    assert example("todo.py", cwd=tmp_path).stdout == f"{milk}  milk\n"
    assert example("todo.py", "what", cwd=tmp_path).returncode == 2


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a broker and an agent called bob."""
    directory = tmp_path_factory.mktemp("examples")
    with broker_ended_afterwards(directory):
        run_in_shell("ackbook up --background; ackbook spawn bob --wait 20 -- cat", directory)
        yield directory


def test_what_became_of_a_message_is_told_and_is_the_exit_code(lived_in: Path) -> None:
    sent = example("send_and_wait.py", "bob", "hello", cwd=lived_in)
    assert (sent.stdout, sent.returncode) == ("confirmed\n", 0), sent.stderr
    refused = example("send_and_wait.py", "nobody", "hello", cwd=lived_in)
    assert refused.returncode == 1
    assert json.loads(refused.stderr)["code"] == "agent_not_found"


def test_the_feed_goes_on_behind_the_cursor_that_was_kept(lived_in: Path) -> None:
    run_in_shell("ackbook send bob again --wait 20", lived_in)
    everything = run_in_shell("ackbook events --json", lived_in).splitlines()
    first = example("follow_events.py", "cursor", 2, cwd=lived_in)
    second = example("follow_events.py", "cursor", 3, cwd=lived_in)
    seen = [json.loads(line)["kind"] for line in (first.stdout + second.stdout).splitlines()]
    assert seen == [json.loads(line)["kind"] for line in everything[:5]], second.stderr


@pytest.mark.skipif(not which("jq"), reason="the example uses jq")
def test_an_agent_that_is_asked_answers(tmp_path: Path) -> None:
    with broker_ended_afterwards(tmp_path):
        printed = run_in_shell(shlex.quote(str(EXAMPLES / "ask.sh")), tmp_path)
    assert "evt_8: HELLO\n" in printed
    assert printed.endswith(" ended\n")


def test_the_examples_are_typed() -> None:
    checked = subprocess.run(
        (sys.executable, "-m", "mypy", "--strict", *sorted(EXAMPLES.glob("*.py"))),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
