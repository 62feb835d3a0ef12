"""Runs the demo: `python -m ackbook.tools.demo`. Exit code 0: every proof held; else 1.

Interrupted or failed, it first ends what it started and then says so.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from types import FrameType

from rich.text import Text

from ackbook.broker.exit_codes import ExitCode
from ackbook.tools.demo.stage import Broken, Stage
from ackbook.tools.demo.story import tell


def main() -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    stage = Stage()
    begun = time.monotonic()
    code = 1
    try:
        tell(stage)
        code = 0
    except (Broken, subprocess.TimeoutExpired) as problem:
        stage.console.print(Text.assemble(("  ✗ ", "bold red"), str(problem)))
    except KeyboardInterrupt:
        stage.console.print(Text("  interrupted", style="red"))
        code = ExitCode.INTERRUPTED
    finally:
        stage.clear()
    stage.console.print()
    if code == 0:
        took = f"{stage.proofs} proofs held, in {time.monotonic() - begun:.0f} s."
        stage.console.print(Text(took, style="bold green"))
    stage.note(f"Look around: ackbook cat --dir {stage.home}; logs lie in {stage.home}/logs")
    return code


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
