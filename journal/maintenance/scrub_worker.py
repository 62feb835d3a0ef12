"""Checks a file of older history in a process of its own, so that it takes no time from the writer.

`python -m ackbook.journal.maintenance.scrub_worker DIR NAME` prints one line of JSON: the damage,
or null. It ends with 0 either way; where it cannot tell, it says why on stderr, as `worker_failure`
writes it, and ends with 1. The directory may be handed over (`handed_over`).
"""

import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from ackbook.journal.errors import Damage, JournalError
from ackbook.journal.maintenance.handed_over import handed_over
from ackbook.journal.maintenance.scrub import check_file
from ackbook.journal.maintenance.worker_failure import encode_failure

_NICE: Final = 19
"""It is in no hurry at all."""


def check_command(directory: Path, name: str) -> list[str]:
    """What to run to check this file."""
    return [
        sys.executable,
        "-P",
        "-m",
        "ackbook.journal.maintenance.scrub_worker",
        str(directory),
        name,
    ]


def read_finding(answer: bytes) -> Damage | None:
    """The worker's output. Raises `msgspec.DecodeError` for anything else."""
    return msgspec.json.decode(answer, type=Damage | None)


def main(arguments: list[str]) -> int:
    """The command; see the head of this module."""
    os.nice(_NICE)
    directory, name = arguments
    try:
        files = handed_over(Path(directory))
        found = check_file(Path(directory), name, files=files)
    except (JournalError, OSError, MemoryError) as error:
        sys.stderr.buffer.write(encode_failure(error))
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
