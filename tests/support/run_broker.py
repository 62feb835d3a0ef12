"""One broker in a process of its own, for tests that start it, kill it and start it again.

`python -m tests.support.run_broker DIR [--port N] [--policy JSON] [--respawn] [--disk FILE]
[--every RECORDS] [--sealed BYTES] [--check SECONDS]` prints one line of JSON when it is ready: url,
port, api_key, pid, directory. While FILE says `full`, the journal's disk has no room; while
`dying`, no sync succeeds; while `slow`, none of records ends. `--every` is the number of records
between two snapshots, `--sealed` what may stand in sealed segments before they are compacted,
`--check` the time between two looks at older history, and between two at the same file.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
from pathlib import Path

import msgspec

from ackbook.broker.runtime.app import serve
from ackbook.broker.runtime.maintenance.snapshot_schedule import Upkeep
from ackbook.broker.wire.connection import Connection
from ackbook.journal import OsFiles
from ackbook.journal.storage.files import Handle
from ackbook.projections.facts import Policy


class TroubledDisk(OsFiles):
    """The real disk, as long as `mood` says nothing else."""

    def __init__(self, mood: Path) -> None:
        self._mood = mood

    def write(self, handle: Handle, offset: int, data: bytes) -> int:
        if self._is("full") and offset + len(data) > os.fstat(handle).st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(handle, offset, data)

    def sync(self, handle: Handle) -> None:
        # HEAD is synced on the loop itself, where nothing could be asked meanwhile.
        while self._is("slow") and not os.readlink(f"/proc/self/fd/{handle}").endswith("/HEAD"):
            time.sleep(0.01)
        if self._is("dying"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(handle)

    def _is(self, mood: str) -> bool:
        return self._mood.read_text().strip() == mood


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--policy", default="{}")
    parser.add_argument("--respawn", action="store_true")
    parser.add_argument("--disk", type=Path)
    parser.add_argument("--every", type=int, default=Upkeep().snapshot_records)
    parser.add_argument("--sealed", type=int, default=Upkeep().sealed_bytes_max)
    parser.add_argument("--check", type=float)
    given = parser.parse_args()
    upkeep = Upkeep(snapshot_records=given.every, sealed_bytes_max=given.sealed)
    if given.check is not None:
        upkeep = msgspec.structs.replace(upkeep, check_s=given.check, recheck_s=given.check)
    return serve(
        given.directory,
        port=given.port,
        respawn=given.respawn,
        policy=msgspec.json.decode(given.policy, type=Policy),
        named=msgspec.json.decode(given.policy, type=dict[str, object]).keys(),
        ready=_say,
        upkeep=upkeep,
        files=None if given.disk is None else TroubledDisk(given.disk),
    )


def _say(connection: Connection) -> None:
    print(msgspec.json.encode(connection).decode(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
