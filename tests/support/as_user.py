"""A command of ours, run by another user of the machine.

`python -m tests.support.as_user UID VERB ARGUMENT...`, as root. Everything is imported first, since
the other user may not be able to read what we run from; then this process becomes that user, with
no other group and nothing of root's, and calls `ackbook`. At SIGUSR1 it may start no process any
more, nor a thread.
"""

import importlib
import os
import resource
import signal
import sys

from ackbook.tools.main import VERBS
from ackbook.tools.main import main as command

LATE = (
    *("ackbook.broker.runtime.app", "uvloop", "encodings.idna", "http.client"),
    *("uvicorn.protocols.http.httptools_impl", "uvicorn.lifespan.off"),
    "ackbook.broker.wire.policy_text",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
)
"""What is imported when it is needed."""


def main() -> int:
    modules = {name: verb.module for verbs in VERBS.values() for name, verb in verbs.items()}
    for name in (f"ackbook.tools.{modules[sys.argv[2]]}", *LATE):
        importlib.import_module(name)
    uid = int(sys.argv[1])
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.umask(0o022)
    signal.signal(signal.SIGUSR1, lambda *_: resource.setrlimit(resource.RLIMIT_NPROC, (0, 0)))
    sys.argv = ["ackbook", *sys.argv[2:]]
    return command()


if __name__ == "__main__":
    sys.exit(main())
