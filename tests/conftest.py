"""What holds for every test: nothing that a test module started is left when it ends.

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

MARK = "ACKBOOK_TEST_MARK"
GRACE_S = 20.0
"""For a holder to notice that its broker is gone, on a machine that is busy with other tests."""

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


@pytest.fixture(scope="session", autouse=True)
def a_cache_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tools keep for this user's next question must not come from, nor stay for, another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


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
