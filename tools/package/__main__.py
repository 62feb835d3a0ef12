"""`python -m ackbook`: the same as `ackbook`, for a process that starts itself again."""

from __future__ import annotations

import sys

from ackbook.tools.main import main

sys.exit(main())
