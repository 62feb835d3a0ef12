"""A broker of another version than the command that speaks to it: what to say, and what to do.

It comes about when the package is upgraded while a broker runs: the command is new, the broker is
what it was. They understand each other, since what an API has released stays; but the processes
that a broker starts are started from the package as it is on disk by then.
"""

from __future__ import annotations

import re

from ackbook.tools.cli.place import Place

RESTART = "restart the broker"
"""A broker that notices by itself says it with the same words."""


def other_version(place: Place, theirs: str, mine: str) -> str:
    """One sentence: who is which version, and the way out. Nothing is lost by it: programs run on,
    and what is pending is kept. An older version would not know what a newer one wrote."""
    what = f"the broker in {place.directory} is version {theirs} and this is {mine}"
    if _numbers(theirs) > _numbers(mine):
        return f"{what}: use the command that belongs to it, or upgrade this one"
    flag = place.flag()
    steps = f"ackbook down --keep-agents {flag}; ackbook up --background {flag}"
    return f"{what}: {RESTART} ({steps})"


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
