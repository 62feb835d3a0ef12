"""`ackbook`, and `python -m ackbook`, for a process that starts itself again.

Python looks for modules in the working directory first: `python -P -m ackbook` does not.
"""

from __future__ import annotations

import sys


def command() -> int:
    """Run the command of this process, and return its exit code."""
    try:
        from ackbook.tools.main import main

        return main()
    except KeyboardInterrupt:
        from ackbook.broker.exit_codes import ExitCode

        return ExitCode.INTERRUPTED


if __name__ == "__main__":
    sys.exit(command())
