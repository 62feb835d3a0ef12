"""What an installed wheel does for its user, in an environment that has nothing else of ours.

It is used from a directory that has nothing to do with it, beside distributions that are called
like its layers, and in projects whose own folders are called like them: an agent's project may well
be a `broker`. Whoever was there first imports what they imported before.
"""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.wheels import TOPS, Installed, build_wheel, fresh_environment, run, uninstall
from tests.test_packaging import PROJECT

pytestmark = [pytest.mark.xdist_group("packaging"), pytest.mark.timeout(300)]

VERSION = PROJECT["project"]["version"]
NEIGHBOURS = ("broker", "journal")
THEIRS = "print(__import__('broker').WHOSE, __import__('journal').WHOSE)"

Starter = Callable[..., Installed]


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Starter]:
    """Makes houses; whatever broker is in one of them at the end is ended."""
    houses: list[Installed] = []

    def make(binaries: Path, cwd: Path | None = None, **more: str) -> Installed:
        houses.append(Installed(tmp_path, binaries, cwd, **more))
        return houses[-1]

    yield make
    for house in houses:
        house.close()


@pytest.fixture(scope="module")
def binaries(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and nothing but the libraries that it needs."""
    return fresh_environment(tmp_path_factory.mktemp("clean") / "venv", wheel)


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheels of two distributions that are called like layers of ours."""
    built = []
    for name in NEIGHBOURS:
        project = tmp_path_factory.mktemp(name)
        (project / f"{name}.py").write_text("WHOSE = 'theirs'\n")
        (project / "pyproject.toml").write_text(
            f"""
            [build-system]
            requires = ["setuptools"]
            build-backend = "setuptools.build_meta"
            [project]
            name = "{name}"
            version = "3"
            [tool.setuptools]
            py-modules = ["{name}"]
            """
        )
        built.append(build_wheel(project, project / "out"))
    return built


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project: folders that are called like our layers, and are none of our business."""
    project = tmp_path / "project"
    for top in TOPS:
        (project / top).mkdir(parents=True)
        (project / top / "__init__.py").write_text(f"raise RuntimeError('{top} of the project')\n")
    return project


def test_the_package_is_run_as_a_module(binaries: Path, tmp_path: Path) -> None:
    said = run(binaries / "python", "-m", "ackbook", "--version", cwd=tmp_path)
    assert said == f"ackbook {VERSION}\n" == run(binaries / "ackbook", "--version", cwd=tmp_path)
    assert "spawn" in run(binaries / "python", "-P", "-m", "ackbook", "--help", cwd=tmp_path)


def test_an_installed_wheel_delivers_from_an_unrelated_directory(
    binaries: Path, installed: Starter
) -> None:
    delivers(installed(binaries, cwd=Path("/")))


@pytest.mark.parametrize("order", ["before", "after"])
def test_distributions_of_the_same_names_are_not_harmed_and_do_no_harm(
    order: str, wheel: Path, neighbours: list[Path], tmp_path: Path, installed: Starter
) -> None:
    wheels = [*neighbours, wheel] if order == "before" else [wheel, *neighbours]
    binaries = fresh_environment(tmp_path / "venv", *wheels)
    delivers(installed(binaries))
    assert run(binaries / "python", "-P", "-c", THEIRS, cwd=tmp_path) == "theirs theirs\n"
    for name in NEIGHBOURS:
        uninstall(binaries, name)
    assert run(binaries / "ackbook", "--version", cwd=tmp_path) == f"ackbook {VERSION}\n"


def test_distributions_of_the_same_names_outlive_ours(
    wheel: Path, neighbours: list[Path], tmp_path: Path
) -> None:
    binaries = fresh_environment(tmp_path / "venv", *neighbours, wheel)
    uninstall(binaries, "ackbook")
    assert run(binaries / "python", "-P", "-c", THEIRS, cwd=tmp_path) == "theirs theirs\n"


def test_folders_of_the_same_names_on_the_path_do_no_harm(
    binaries: Path, project: Path, installed: Starter
) -> None:
    delivers(installed(binaries, project, PYTHONPATH=str(project)))


def test_an_agent_answers_from_a_project_with_folders_of_the_same_names(
    binaries: Path, project: Path, installed: Starter
) -> None:
    house = installed(binaries)
    house.up()
    house.does("spawn", "boss", "--", "cat")
    tries = "import importlib, sys\nfor name in sys.argv[1:]:\n  try: importlib.import_module(name)"
    (project / "tries.py").write_text(f"{tries}\n  except RuntimeError as e: print(e)\n")
    python = shlex.quote(str(binaries / "python"))
    words = f"{python} tries.py {' '.join(TOPS)} | ackbook send boss - --wait 30"
    given = ("--cwd", project, "--env", f"PYTHONPATH={project}")
    house.does("spawn", "worker", *given, "--", "sh", "-c", f"{words}; exec cat")
    house.does("send", "worker", "well done", "--wait", "30")
    sent = [row["data"] for row in house("cat", "--kind", "message.*", "--json").lines()]
    assert [row["body"] for row in sent if row["from"] == "worker"] == [
        "\n".join(f"{top} of the project" for top in TOPS)
    ]
    house.does("down")


def delivers(house: Installed) -> None:
    """A whole day: a broker, an agent, a message that arrives, every kind of worker, an end."""
    house.up()
    house.does("spawn", "bob", "--", "cat")
    sent = house("send", "bob", "hello", "--wait", "30", "--json")
    assert sent.code == 0, sent
    [delivery] = sent.json()["deliveries"]
    assert delivery["verification"] == "echo"
    house.does("hold", "bob")
    house.does("send", "bob", "x" * 32 * 1024)
    assert "archived" in house.does("compact")
    assert "was seen" in house.does("why", delivery["delivery_id"])
    house.does("down")
    house.does("verify")
    assert len(list(itertools.chain(*(house.directory.rglob(f"*.{end}") for end in ("gz", "zst")))))
    assert os.listdir(house.directory / "holders") == []
