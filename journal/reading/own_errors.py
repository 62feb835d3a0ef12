"""Own errors: who keeps a journal meets the errors of the journal, and no bare one of the machine.

What the machine refuses here (a file that cannot be opened now, a thread that cannot be started)
harms nothing that is durable: it is an attempt that failed. What could not be taken back is said
by the log itself, as `DiskFailed`.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ackbook.journal.errors import AttemptFailed, JournalFull
from ackbook.journal.storage.files import SPACE_ERRORS

_NEXT = "try again later; is there enough room, memory, and are there few open files (ulimit -n)?"


@contextlib.contextmanager
def own_errors(directory: Path, what: str) -> Iterator[None]:
    """Around what reads or tries something: raises `JournalFull` where the disk has no room, and
    `AttemptFailed` where the machine refuses something else. `what`: what is not done then."""
    try:
        yield
    except OSError as error:
        said = f"{directory}: {what}: {error.strerror or error}"
        if error.errno in SPACE_ERRORS:
            raise JournalFull(said, "make room on the disk, and try again") from error
        raise AttemptFailed(said, _NEXT) from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "start new thread" not in str(error):
            raise
        raise AttemptFailed(f"{directory}: {what}: {error or 'no memory'}", _NEXT) from error
