"""What is installed is what stands here: complete, typed, and usable away from the checkout.

One wheel is built from a copy of the sources and shared by all tests, without a network. (`make`
itself installs from the registries, once.)
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support.wheels import ROOT, TOPS, fresh_environment, run

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FACE = Path("tools", "package")
"""What installs as `ackbook` itself."""

EXAMPLES = Path("tools", "examples")
"""To be read and run from a checkout; not installed."""

pytestmark = [pytest.mark.xdist_group("packaging"), pytest.mark.timeout(900)]


def shipped_modules() -> Iterator[tuple[str, Path]]:
    """Every module of the four packages as (name of its package once installed, its path)."""
    for top in TOPS:
        for path in sorted((ROOT / top).rglob("*.py")):
            folder = path.parent.relative_to(ROOT)
            if folder == EXAMPLES:
                continue
            yield ".".join(("ackbook", *(() if folder == FACE else folder.parts))), path


def test_the_list_of_packages_is_complete() -> None:
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(
        {package for package, _ in shipped_modules()}
    )


def test_the_wheel_holds_every_module_and_says_that_it_is_typed(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package, path in shipped_modules():
        assert package.replace(".", "/") + "/" + path.name in names
    assert "ackbook/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"ackbook"}


def test_an_installed_wheel_runs_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    binaries = fresh_environment(tmp_path / "venv", wheel)
    version = PROJECT["project"]["version"]
    assert version in run(binaries / "ackbook", "--version", cwd=tmp_path)
    where = run(
        binaries / "python",
        "-c",
        "import ackbook.tools; print(ackbook.tools.__file__)",
        cwd=tmp_path,
    )
    assert where.startswith(str(tmp_path))


JOURNAL_ALONE = """
import sys
from ackbook.journal import open_journal
with open_journal("orders") as journal:
    journal.append("order.placed", {"item": "tea"})
    print([record.value for record in journal.read()])
above = ("projections", "broker", "tools", "anyio", "click", "starlette")
print([name for name in sys.modules if {*name.split(".")[:2]} & {*above}])
"""


def test_the_journal_of_an_installed_wheel_needs_nothing_above_it(
    wheel: Path, tmp_path: Path
) -> None:
    binaries = fresh_environment(tmp_path / "venv", wheel)
    printed = run(binaries / "python", "-c", JOURNAL_ALONE, cwd=tmp_path)
    assert printed.splitlines() == ["[{'item': 'tea'}]", "[]"]


def test_an_editable_install_runs_what_stands_in_the_sources(sources: Path, tmp_path: Path) -> None:
    binaries = fresh_environment(tmp_path / "venv", sources)
    assert PROJECT["project"]["version"] in run(binaries / "ackbook", "--version", cwd=tmp_path)
    where = run(
        binaries / "python",
        "-c",
        "import ackbook.tools; print(ackbook.tools.__file__)",
        cwd=tmp_path,
    )
    assert where.startswith(str(sources))


def test_what_is_imported_is_declared() -> None:
    declared = {re.split(r"[^\w.-]", line)[0] for line in PROJECT["project"]["dependencies"]}
    optional = {"uvloop", "zstandard"}
    owners = packages_distributions()
    for package, path in shipped_modules():
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    targets = {alias.name.split(".")[0] for alias in names}
                case ast.ImportFrom(level=0, module=str(module)):
                    targets = {module.split(".")[0]}
                case _:
                    continue
            foreign = targets - set(sys.stdlib_module_names) - {"ackbook", "__future__"}
            for target in foreign:
                assert set(owners[target]) & (declared | optional), (package, target)
