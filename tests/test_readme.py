"""What the README says is so: its tests exist, its commands are all of them, its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from shutil import which

import pytest

from ackbook.broker.runtime.api.routes import ROUTES
from tests.decisions.planted import BUGS, record

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BINARIES = Path(sys.executable).parent
PROMISES = 5
SHOWN = 12


def section(title: str) -> str:
    return re.split(r"^## ", README.partition(f"## {title}\n")[2], flags=re.MULTILINE)[0]


def example(title: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", section(title), re.DOTALL)
    assert found
    return found[1]


def names(requirements: list[str]) -> list[str]:
    return [re.split(r"[^\w.-]", requirement)[0] for requirement in requirements]


def environment(directory: Path) -> dict[str, str]:
    return os.environ | {
        "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
        "ACKBOOK_DIR": str(directory / ".ackbook"),
    }


@contextmanager
def broker_ended_afterwards(directory: Path) -> Iterator[None]:
    try:
        yield
    finally:
        subprocess.run(
            (BINARIES / "ackbook", "down"),
            cwd=directory,
            env=environment(directory),
            capture_output=True,
            check=False,
        )


def test_every_promise_names_a_test_that_can_be_run() -> None:
    promises = re.findall(r"^\d\. .*?(?=^\d\. |\Z)", section("What it promises"), re.M | re.S)
    assert len(promises) == PROMISES
    named = [re.findall(r"`(tests/\S+\.py::\w+)`", promise) for promise in promises]
    assert all(named)
    collected = subprocess.run(
        (sys.executable, "-m", "pytest", "--collect-only", "-q", *chain.from_iterable(named)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert collected.returncode == 0, collected.stdout + collected.stderr


def test_the_table_of_commands_is_what_help_shows() -> None:
    written = set(re.findall(r"^\| `ackbook (\w+)", section("Commands"), re.MULTILINE))
    helped = subprocess.run(
        (BINARIES / "ackbook", "--help"), capture_output=True, text=True, check=True
    ).stdout
    shown = set(re.findall(r"^  ([a-z]+)  ", helped, re.MULTILINE))
    assert written == shown


@pytest.mark.parametrize(
    "verb", re.findall(r"^\| `ackbook (\w+)", section("Commands"), re.MULTILINE)
)
def test_an_option_that_is_named_exists(verb: str) -> None:
    [row] = [line for line in README.splitlines() if line.startswith(f"| `ackbook {verb}")]
    helped = subprocess.run(
        (BINARIES / "ackbook", verb, "--help"), capture_output=True, text=True, check=True
    ).stdout
    for option in re.findall(r"--[a-z]+(?:-[a-z]+)*", row):
        assert option in helped, option


def test_the_targets_that_are_named_are_all_there_are() -> None:
    written = re.findall(r"^\| `make (\w+)`", section("Working on it"), re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert {*written, "help"} == set(phony[1].split())


def test_the_routes_that_are_named_are_all_there_are() -> None:
    written = re.findall(r"`((?:GET|POST|PUT|DELETE|WS) /\S*)`", section("Over HTTP"))
    assert sorted(written) == sorted(f"{route.method} {route.path}" for route in ROUTES)


def test_every_dependency_has_its_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = section("Dependencies")
    assert re.findall(r"^\| `(\S+)` \|", text, re.MULTILINE) == names(project["dependencies"])
    for optional in names(project["optional-dependencies"]["fast"]):
        assert f"`{optional}`" in text


def run_in_shell(script: str, directory: Path) -> str:
    """What it prints. It has to end with 0, and so has every line of it."""
    done = subprocess.run(
        ("bash", "-euc", script),
        cwd=directory,
        env=environment(directory),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_five_minutes_run(tmp_path: Path) -> None:
    with broker_ended_afterwards(tmp_path):
        printed = run_in_shell(example("Five minutes", "sh"), tmp_path)
    assert "hello bob" in printed


@pytest.fixture(scope="module")
def debugged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which `make planted` was run."""
    root = tmp_path_factory.mktemp("debugged")
    for name in BUGS:
        record(name, root / "build" / "planted" / name)
    return root


def test_debugging_a_delivery_prints_what_is_shown(debugged: Path) -> None:
    """Word by word: a terminal breaks long lines where it likes. `...` stands for whole lines."""
    shown = "\n".join(re.findall(r"```console\n(.*?)```", section("Debugging a delivery"), re.S))
    commands = re.findall(r"^\$ (ackbook .*)\n((?:(?!\$ ).*\n?)*)", shown, re.M)
    assert len(commands) == SHOWN
    for command, expected in commands:
        done = subprocess.run(
            ("bash", "-c", command),
            cwd=debugged,
            env=environment(debugged) | {"TZ": "UTC"},
            capture_output=True,
            text=True,
            check=False,
        )
        pieces = re.split(r"^\.\.\.$", expected, flags=re.M)
        pattern = ".*".join(r"\s+".join(map(re.escape, piece.split())) for piece in pieces)
        assert re.fullmatch(rf"\s*{pattern}\s*", done.stdout, re.S), (
            command,
            done.stdout,
            done.stderr,
        )


@pytest.mark.skipif(not (which("jq") and which("curl")), reason="the example uses jq and curl")
def test_the_example_over_http_runs(tmp_path: Path) -> None:
    with broker_ended_afterwards(tmp_path):
        run_in_shell("ackbook up --background; ackbook spawn bob --wait 20 -- cat", tmp_path)
        printed = run_in_shell(example("Over HTTP", "sh"), tmp_path)
    assert '"outcome":"confirmed"' in printed
    assert "agent_spawned" in printed


def test_the_journal_alone_runs_and_goes_on_when_it_is_run_again(tmp_path: Path) -> None:
    for count in (65, 130):
        done = subprocess.run(
            (sys.executable, "-c", example("The journal alone", "python")),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("order.placed") == count


def test_the_journal_alone_is_typed(tmp_path: Path) -> None:
    script = tmp_path / "orders.py"
    script.write_text(example("The journal alone", "python"))
    checked = subprocess.run(
        (sys.executable, "-m", "mypy", "--strict", script),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
