"""The real holder, knowing the test programs: `python -m tests.support.profiled_holder`."""

from __future__ import annotations

import re
import sys

from ackbook.broker.runtime.holder.__main__ import main
from ackbook.broker.wire.profiles import PROFILES, Dialog, Profile

MENU = Dialog(re.compile(r"^\s*1\. Yes", re.MULTILINE), where="screen")
PASTED = re.compile(r"\[Pasted text \+\d+ lines\]")

for profile in (
    Profile(name="steered", interrupt=(b"\x1b", b"\x1b"), interrupt_pause_ms=20),
    Profile(name="boxed", placeholders=(PASTED,)),
    Profile(name="menu", dialogs=(MENU,)),
):
    PROFILES[profile.name] = profile

if __name__ == "__main__":
    sys.exit(main())
