"""The token here: that of the agent whose program this command was started in, if it is one.

It is no other broker's business, so it is shown to that of a directory only where the environment
names that very directory, or the broker there knows its hash: a directory may have been moved since
the program began. This module knows the environment and asks nobody.
"""

from __future__ import annotations

import os
from pathlib import Path

from ackbook.broker.wire.identity import NAME_VARIABLE, TOKEN_VARIABLE
from ackbook.tools.cli.place import DIRECTORY_VARIABLE


def token_here() -> str:
    """The token in the environment; empty where there is none."""
    return os.environ.get(TOKEN_VARIABLE, "")


def is_without_token() -> bool:
    """Whether this is the environment of an agent's program that left its token out."""
    return not token_here() and NAME_VARIABLE in os.environ


def is_own_directory(directory: Path) -> bool:
    """Whether the environment names this directory, by whatever path."""
    try:
        return os.path.samefile(os.environ.get(DIRECTORY_VARIABLE, ""), directory)
    except OSError:  # none is named, it was moved, or it is not there yet
        return False
