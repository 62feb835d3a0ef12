"""A compaction in a process of its own that is killed at a chosen moment.

`python -m tests.support.compact_process DIR [CALL]` opens the journal, compacts it with what is at
hand, and closes it. Before the CALL-th change of the disk it kills itself with SIGKILL; without a
CALL it comes to its end and prints how many changes there were.
"""

import os
import signal
import sys
from pathlib import Path

from ackbook.journal import compact
from ackbook.journal.storage.files import Access, Handle, OsFiles
from tests.journal.past import FOLD, opened


class Counted(OsFiles):
    """The real disk; the process is gone before the change `last`."""

    def __init__(self, last: int) -> None:
        self.changes = 0
        self._last = last

    def open(self, path: Path, access: Access) -> Handle:
        if access == "create":
            self._count()
        return super().open(path, access)

    def write(self, handle: Handle, offset: int, data: bytes) -> int:
        self._count()
        return super().write(handle, offset, data)

    def truncate(self, handle: Handle, size: int) -> None:
        self._count()
        super().truncate(handle, size)

    def sync(self, handle: Handle) -> None:
        self._count()
        super().sync(handle)

    def sync_dir(self, directory: Path) -> None:
        self._count()
        super().sync_dir(directory)

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._count()
        super().unlink(path)

    def _count(self) -> None:
        self.changes += 1
        if self.changes == self._last:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    files = Counted(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    log = opened(Path(sys.argv[1]), files=files)
    compact(log, fold_version=FOLD, files=files)
    log.close()
    print(files.changes)


if __name__ == "__main__":
    main()
