"""A command of ours that the machine gives little: memory, or files that may be open at once.

`python -m tests.support.limited [--memory MIB] [--files N] MODULE ARGUMENT...` imports the
module, then allows so much more than is in use by then, then calls its `main`. So what is short is
what the work itself needs, on every machine.
"""

import argparse
import importlib
import os
import resource
import sys

from ackbook.tools.main import VERBS
from tests.support.machine import MIB, address_space, free_descriptor

IMPORTED_LATE = ("ackbook.broker.runtime.app", "uvloop")
"""What `up` imports when it runs. An interpreter whose memory ends in the middle of an import may
go round in circles; a test of ours would be one of that."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory", type=int)
    parser.add_argument("--files", type=int)
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    module = importlib.import_module(given.module)
    if given.module == "ackbook.tools.main":
        modules = {name: verb.module for verbs in VERBS.values() for name, verb in verbs.items()}
        importlib.import_module(f"ackbook.tools.{modules[given.arguments[0]]}")
        for late in IMPORTED_LATE:
            importlib.import_module(late)
    if given.memory is not None:
        allow(resource.RLIMIT_AS, address_space(os.getpid()) + given.memory * MIB)
    if given.files is not None:
        listing = 1  # the descriptor through which this process looked at its own
        allow(resource.RLIMIT_NOFILE, free_descriptor(os.getpid()) - listing + given.files)
    if given.module == "ackbook.tools.main":
        sys.argv = ["ackbook", *given.arguments]
        return int(module.main())
    return int(module.main(given.arguments))


def allow(which: int, value: int) -> None:
    resource.setrlimit(which, (value, resource.getrlimit(which)[1]))


if __name__ == "__main__":
    sys.exit(main())
