"""Files that a command writes for people: each gets its name when it is whole, and not before.

So nobody ever opens half of one, two that are written at once do not mix, and a command that is
interrupted leaves what was there. They are for their owner only, since they tell of messages.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ackbook.broker.exit_codes import ExitCode
from ackbook.tools.cli.failures import Failure


def check_free(path: Path, *, force: bool, hint: str) -> None:
    """Raises `Failure` where a file of this name is not to be written: one is there and nothing
    was said of replacing it, or what is there is no file and would be gone. `hint`: what else to
    do about one that is there."""
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_file():
        raise Failure(ExitCode.REFUSED, f"{path} is no plain file", "name another one")
    if not force:
        raise Failure(ExitCode.REFUSED, f"{path} is there already", hint)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """An empty file beside `path` to be filled; it takes that name, durably, when all went well,
    and is gone otherwise. Raises OSError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
