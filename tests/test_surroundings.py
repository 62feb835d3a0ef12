"""What tests begin with is the same anywhere, and what CI varies can be repeated."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.inherited import inherited_by, spoil

ROOT = Path(__file__).parent.parent
FOREIGN = {"LINES": "3", "COLUMNS": "7", "NO_COLOR": "1", "HTTP_PROXY": "http://127.0.0.1:1"}
FIRST = "test_the_surroundings_are_the_same_anywhere"


def test_the_surroundings_are_the_same_anywhere() -> None:
    found = inherited_by(os.getpid())
    assert found.ignored <= {signal.SIGPIPE, signal.SIGXFSZ}
    assert found.blocked == set()
    assert found.umask == 0o022
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not FOREIGN.keys() & os.environ.keys()
    assert (os.environ["TERM"], os.environ["LC_ALL"]) == ("xterm-256color", "C.UTF-8")
    assert os.environ["HOME"] != pwd.getpwuid(os.getuid()).pw_dir


def test_they_are_so_for_whoever_has_them_otherwise() -> None:
    def otherwise() -> None:
        spoil()
        os.close(0)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"{__file__}::{FIRST}"],
        cwd=ROOT,
        env=os.environ | FOREIGN | {"TERM": "dumb", "LC_ALL": "C"},
        preexec_fn=otherwise,
        restore_signals=False,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.xdist_group("one")
def test_the_tests_of_a_group_go_to_one_worker(request: pytest.FixtureRequest) -> None:
    """Its name has the group in it, by which pytest-xdist sends it to a worker."""
    workers = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    assert workers == "1" or request.node.nodeid.endswith("@one")


def varied(directory: Path, seed: str | None, script: str) -> subprocess.CompletedProcess[str]:
    """A command as `.ci/run` runs it, with what is temporary under this directory."""
    said = {} if seed is None else {"ACKBOOK_CI_SEED": seed}
    return subprocess.run(
        [sys.executable, ROOT / ".ci" / "vary.py", "sh", "-c", script],
        env=os.environ | said | {"TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )


SAYS = "umask; echo $LINES $COLUMNS; echo ${#TMPDIR}; grep SigIgn /proc/self/status; exit 3"


def test_a_seed_repeats_the_surroundings_of_a_run_and_nothing_of_them_stays(tmp_path: Path) -> None:
    first = varied(tmp_path, None, SAYS)
    assert first.returncode == 3, first.stderr
    seed = re.match(r"seed: (\d+) ", first.stdout)
    assert seed is not None, first.stdout
    again = varied(tmp_path, seed[1], SAYS)
    assert again.stdout.splitlines()[2:] == first.stdout.splitlines()[2:]
    assert list(tmp_path.iterdir()) == []


def test_other_seeds_are_other_surroundings(tmp_path: Path) -> None:
    said = [varied(tmp_path, str(seed), SAYS).stdout.splitlines()[2:] for seed in range(8)]
    for each in zip(*said, strict=True):
        assert len(set(each)) > 1, each
    ignored = {lines[-1].split()[1][-1] for lines in said}
    assert ignored == {"0", "3"}, "SIGINT and SIGHUP are, or are not, ignored"


def test_a_home_is_fresh_and_a_long_tmpdir_is_there(tmp_path: Path) -> None:
    done = varied(tmp_path, "1", 'ls -A "$HOME" | wc -l; cd "$TMPDIR" && touch file && echo fine')
    assert done.stdout.splitlines()[2:] == ["0", "fine"], done.stderr
