"""Archives segments in a process of its own, so that packing takes no time from the writer.

`python -m ackbook.journal.maintenance.archive_worker DIR BASE...` prints one line of JSON for each
archive that is durable and was read back (`ArchiveFile`), in the order of the bases, and ends with
0. At the first that fails it says why on stderr, as `worker_failure` writes it, and ends with 1.
The directory may be handed over (`handed_over`). It ends early when the process that started it is
gone.
"""

import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from ackbook.journal.errors import JournalError
from ackbook.journal.maintenance.archive import ArchiveFile, archive_segment
from ackbook.journal.maintenance.handed_over import handed_over
from ackbook.journal.maintenance.worker_failure import encode_failure

_NICE: Final = 10
"""Whoever waits for an append comes first."""


def worker_command(directory: Path, bases: list[int]) -> list[str]:
    """What to run to archive these segments."""
    module = [sys.executable, "-P", "-m", "ackbook.journal.maintenance.archive_worker"]
    return [*module, str(directory), *map(str, bases)]


def read_answer(line: bytes) -> ArchiveFile:
    """One line of the worker's output. Raises `msgspec.DecodeError` for anything else."""
    return msgspec.json.decode(line, type=ArchiveFile)


def main(arguments: list[str]) -> int:
    """The command; see the head of this module. An `AttemptFailed` is told on standard error."""
    parent = os.getppid()
    os.nice(_NICE)
    directory, *bases = arguments
    files = handed_over(Path(directory))
    for base in bases:
        if os.getppid() != parent:
            return 1
        try:
            archived = archive_segment(Path(directory), int(base), maker=os.getpid(), files=files)
        except (JournalError, OSError, MemoryError) as error:
            sys.stderr.buffer.write(encode_failure(error))
            return 1
        sys.stdout.buffer.write(msgspec.json.encode(archived) + b"\n")
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
