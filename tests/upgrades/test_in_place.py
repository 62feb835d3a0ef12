"""The package is upgraded under a running broker, by pip, as an operator does it.

The next version is today's with another number, and with everything that a broker starts in another
place: what was imported before the upgrade runs on, and what is started after it is not there.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wheels import Installed, build_wheel, copy_sources, fresh_environment, install
from tests.test_packaging import PROJECT

pytestmark = [pytest.mark.xdist_group("packaging"), pytest.mark.timeout(300)]

VERSION = PROJECT["project"]["version"]
NEXT = "99.0.0"
MOVED = {
    "broker/runtime/holder": "broker/runtime/terminal_holder",
    "broker/runtime/maintenance/snapshot_worker.py": "broker/runtime/maintenance/snapshots.py",
    "broker/history/why_worker.py": "broker/history/story_worker.py",
    "journal/maintenance/archive_worker.py": "journal/maintenance/packer.py",
}
WHAT = f"ackbook {NEXT} is installed, and the broker that runs is {VERSION}: restart the broker"


@pytest.fixture(scope="module")
def next_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the next version."""
    sources = copy_sources(tmp_path_factory.mktemp("next"))
    for old, new in MOVED.items():
        (sources / old).rename(sources / new)
    for path in (sources / "pyproject.toml", *sources.rglob("*.py")):
        text = path.read_text().replace(f'version = "{VERSION}"', f'version = "{NEXT}"')
        for old, new in MOVED.items():
            name, other = (each.removesuffix(".py").replace("/", ".") for each in (old, new))
            text = text.replace(f"ackbook.{name}", f"ackbook.{other}")
        path.write_text(text)
    return build_wheel(sources, tmp_path_factory.mktemp("next_wheel"))


@pytest.fixture(scope="module")
def house(
    wheel: Path, next_wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    """A broker that was started by this version, and the next one installed."""
    root = tmp_path_factory.mktemp("upgraded")
    binaries = fresh_environment(root / "venv", wheel)
    house = Installed(root, binaries)
    house.up()
    house.does("spawn", "bob", "--", "cat")
    house.does("spawn", "eve", "--", "cat")
    house.does("hold", "eve")
    house.does("send", "eve", "x" * 32 * 1024)
    install(binaries, next_wheel)
    assert house.does("--version") == f"ackbook {NEXT}\n"
    yield house
    house.close()


def test_it_says_so_before_anything_fails(house: Installed) -> None:
    connection = json.loads((house.directory / "connection.json").read_bytes())
    with urllib.request.urlopen(connection["url"] + "/health") as answer:
        health = json.load(answer)
    [reason] = [each for each in health["reasons"] if each["code"] == "version_changed"]
    assert (health["status"], health["version"]) == ("degraded", VERSION)
    assert f"{reason['what']}: {reason['next']}".startswith(WHAT)
    listed = house("ls", "--json")
    assert {agent["name"] for agent in listed.json()["agents"]} >= {"bob", "eve"}
    assert listed.err.count(NEXT) == 1


@pytest.mark.parametrize(
    "asked", [("spawn", "carol", "--", "cat"), ("compact",)], ids=lambda asked: str(asked[0])
)
def test_what_cannot_be_started_any_more_says_why_and_what_to_do(
    asked: tuple[str, ...], house: Installed
) -> None:
    done = house(*asked)
    assert (done.code, done.out) == (8, "")
    assert done.err.count("restart the broker") == 1
    assert WHAT in done.err
    assert WHAT in (house.directory / "logs" / "broker.log").read_text()


def test_a_program_that_might_not_come_back_is_not_ended(house: Installed) -> None:
    done = house("restart", "bob")
    assert done.code == 8
    assert f"{WHAT} (ackbook down --keep-agents; ackbook up --background); bob runs" in done.err
    assert house("send", "bob", "still there?", "--wait", "30").code == 0


def test_the_restart_that_it_asks_for_makes_everything_well(house: Installed) -> None:
    before = {agent["name"]: agent["pid"] for agent in house("ls", "--json").json()["agents"]}
    house.does("down", "--keep-agents")
    house.up()
    listed = house("ls", "--json")
    agents = {agent["name"]: agent["pid"] for agent in listed.json()["agents"]}
    assert (listed.err, agents) == ("", before)
    house.does("send", "bob", "from the next version", "--wait", "30")
    house.does("auto", "eve")
    house.does("spawn", "carol", "--", "cat")
    house.does("compact")
    house.does("restart", "bob")
    house.does("down")
    house.does("verify")
