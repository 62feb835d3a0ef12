"""`python -m ackbook_tools`: the same as `ackbook`, for a process that starts itself again."""

import sys

from .main import main

sys.exit(main())
