"""The version of the package: the one whose code runs here, and the one that is installed now.

A broker runs for weeks, and what it starts (holders, workers) is started from the package as it
stands on disk by then. Whoever upgrades the package under a running broker gets processes of
another version, or none where a module has moved. So whatever cannot be started says whether that
is why, and `/health` says it before anything fails.
"""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version

RESTART = "restart the broker (ackbook down --keep-agents; ackbook up --background)"
"""The new version adopts the holders of the old one, and nothing that is pending is lost."""


def installed() -> str | None:
    """The version on disk; empty where there is none, or none at this moment; None where that
    cannot be told, since nothing can be opened now."""
    try:
        os.close(os.open(os.sep, os.O_RDONLY))  # what looks for a package takes that for absence
        return version("ackbook")
    except PackageNotFoundError:
        return ""
    except OSError:
        return None


RUNNING = installed() or ""
"""The version whose code this process has loaded, if it was asked for while it began."""


def changed() -> str:
    """What became of the package since this process began, in words; empty where nothing did."""
    now = installed()
    if now is None or now == RUNNING:
        return ""
    there = f"ackbook {now} is installed" if now else "ackbook is not installed any more"
    return f"{there}, and the broker that runs is {RUNNING}"


def explained(why: str) -> str:
    """Why something could not be started, behind what explains it where another version is on disk:
    the rest may be long, and is cut."""
    return f"{what}: {RESTART}; {why}" if (what := changed()) else why
