"""Wheels, environments that have nothing but what a test installs, and commands in them.

Nothing here needs a network: the build backend is the one of the running environment, and the fresh
environments see its libraries through a path file, behind whatever they have themselves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support.shell import Done, House, ackbook, environment

ROOT = Path(__file__).parent.parent.parent
TOPS = ("journal", "projections", "broker", "tools")

PIP = (sys.executable, "-m", "pip")


def run(*command: object, cwd: Path, **more: str) -> str:
    """Run a command to its end, which has to be a good one; what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_sources(copy: Path) -> Path:
    """Sources to build from, since a build leaves files beside what it builds."""
    copy.mkdir(exist_ok=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for top in TOPS:
        shutil.copytree(ROOT / top, copy / top, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def build_wheel(sources: Path, out: Path) -> Path:
    """The wheel of a project."""
    options = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", out)
    run(*PIP, *options, sources, cwd=sources)
    [built] = out.glob("*.whl")
    return built


def fresh_environment(where: Path, *what: object) -> Path:
    """A new environment with `what` installed by pip; the folder of its commands."""
    run(sys.executable, "-m", "venv", "--without-pip", where, cwd=where.parent)
    python = where / "bin" / "python"
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=where)
    Path(site.strip(), "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for each in what:
        # The libraries' own environment may have it, too, and that is not this one's to replace.
        install(python.parent, each, "--ignore-installed")
    return python.parent


def install(binaries: Path, what: object, option: str = "--upgrade") -> None:
    """Install into such an environment, in place of another version that was installed there."""
    pip = (*PIP, "--python", binaries / "python", "install", "--quiet", option)
    editable = ("--editable",) if isinstance(what, Path) and what.is_dir() else ()
    run(*pip, "--no-deps", "--no-index", "--no-build-isolation", *editable, what, cwd=binaries)


def uninstall(binaries: Path, name: str) -> None:
    """Take a distribution out of such an environment."""
    run(*PIP, "--python", binaries / "python", "uninstall", "--quiet", "-y", name, cwd=binaries)


class Installed(House):
    """A house whose `ackbook` is that of an environment. Its commands are run in `cwd` and see
    `more`."""

    def __init__(self, root: Path, binaries: Path, cwd: Path | None = None, **more: str) -> None:
        super().__init__(root)
        self._program = (str(binaries / "ackbook"),)
        self._cwd = cwd or root
        self._more = {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", **more}

    def __call__(
        self,
        *arguments: str | Path,
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
        fresh: bool = True,
    ) -> Done:
        here = {"ACKBOOK_DIR": str(self.directory), **self._more, **(env or {})}
        return ackbook(*arguments, cwd=self._cwd, stdin=stdin, env=here, program=self._program)

    def does(self, *arguments: str | Path) -> str:
        """A command that ends well; what it printed."""
        done = self(*arguments)
        assert done.code == 0, (arguments, done)
        return done.out
