"""What holds for every test: the same surroundings anywhere, and nothing is left when it ends.

Who runs the tests may ignore and block signals (`nohup`), have a umask, a locale, settings of bash
or readline at home, a proxy, a narrow terminal. None of that is what a test is about, so that tests
and what they start begin without it; a test that is about it makes it itself.

Each module runs under a mark of its own in the environment. Children inherit it, holders and the
programs in their terminals too, so that whoever still carries it afterwards was left over: it is
named, ended by its pid, and the module fails.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.wheels import build_wheel, copy_sources

MARK = "ACKBOOK_TEST_MARK"
GRACE_S = 60.0
"""For a holder to notice that its broker is gone, on a machine that is busy with other tests."""

NEEDED = (
    "PATH",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "PYENV_",
    "PYTEST_",
    "HYPOTHESIS_",
    "COVERAGE_",
    "CI",
)
"""What a variable's name begins with that tests, and those who measure them, cannot do without."""

OF_PYTHON = {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}
"""Nobody can ignore the first two; Python itself ignores the others."""

# A machine shared with other work is slow now and then, which says nothing about the code.
# In CI the same examples are tried each time: a rare find belongs to whoever searches for one.
settings.register_profile("suite", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("suite")


def carriers(mark: str) -> dict[int, str]:
    """The living processes that were started under this mark, with their command lines."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                line = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                found[int(entry.name)] = line.strip()
    found.pop(os.getpid(), None)
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a module makes once for its tests is made once: they go to one worker together."""
    for item in items:
        if not item.get_closest_marker("xdist_group") and _shares(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def _shares(item: pytest.Item) -> bool:
    """Whether the test uses a fixture that its module makes once."""
    assert isinstance(item, pytest.Function)
    found = item._fixtureinfo.name2fixturedefs.values()
    return any(
        made.scope == "module" and made.baseid.endswith(".py") for each in found for made in each
    )


@pytest.fixture(scope="session", autouse=True)
def the_same_surroundings_anywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Signals, umask, and an environment of what is needed to run; a home and a cache of our own:
    what tools keep for this user's next question must not come from, nor stay for, another."""
    for number in signal.valid_signals() - OF_PYTHON:
        if signal.getsignal(number) is signal.SIG_IGN:
            own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, own)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if not name.startswith(NEEDED):
                patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        runtime = tmp_path_factory.mktemp("runtime")
        runtime.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        patch.setenv("LC_ALL", "C.UTF-8")
        patch.setenv("TERM", "xterm-256color")
        yield


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, to build from."""
    return copy_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this version. Its tests are a group, so that it is built once."""
    return build_wheel(sources, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_over() -> Iterator[None]:
    mark = uuid.uuid4().hex
    before = os.environ.get(MARK)
    os.environ[MARK] = mark
    yield
    if before is None:
        del os.environ[MARK]
    else:
        os.environ[MARK] = before
    deadline = time.monotonic() + GRACE_S
    while (left := carriers(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left, f"left over by this module: {left}"
