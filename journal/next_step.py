"""Next steps: what to do about something that is wrong, as words around a function to call.

Whoever uses the journal alone is told what to call in Python. A program on top of it may say the
same in the words of its own commands: it asks for the `remedy` and the directory, and puts what it
likes between `before` and `after`. Nothing here knows any command.
"""

from enum import Enum
from pathlib import Path
from typing import Final, assert_never

from msgspec import Struct


class Remedy(Enum):
    """A function of this package that is of help. The value is its name there."""

    VERIFY = "verify"
    SALVAGE = "salvage"
    REPAIR = "repair"
    HEAD_TOKEN = "head_token"


class NextStep(Struct, frozen=True):
    """What to do next. `str` of it is the sentence for who uses the journal from Python.

    Without a `remedy` the sentence is `before`. An empty `directory` is that of the journal, which
    the reader knows.
    """

    before: str
    remedy: Remedy | None = None
    directory: str = ""
    after: str = ""

    def __str__(self) -> str:
        call = "" if self.remedy is None else _call(self.remedy, self.directory)
        return f"{self.before}{call}{self.after}"


def _call(remedy: Remedy, directory: str) -> str:
    path: Final = f"Path({directory!r})" if directory else "directory"
    match remedy:
        case Remedy.VERIFY | Remedy.HEAD_TOKEN:
            return f"{remedy.value}({path})"
        case Remedy.SALVAGE:
            return f"{remedy.value}({path}, out)"
        case Remedy.REPAIR:
            return f"{remedy.value}({path}, dry_run=True)"
    assert_never(remedy)


def verify_step(directory: Path | None, before: str = "", after: str = "") -> NextStep:
    """Look at everything and change nothing."""
    return NextStep(before, Remedy.VERIFY, _named(directory), after)


def salvage_step(directory: Path, before: str = "") -> NextStep:
    """Save what verifies into another directory."""
    return NextStep(before, Remedy.SALVAGE, _named(directory))


def repair_step(directory: Path, before: str = "") -> NextStep:
    """See what the cut of a torn tail would be, before agreeing to it."""
    return NextStep(before, Remedy.REPAIR, _named(directory))


def _named(directory: Path | None) -> str:
    return "" if directory is None else str(directory)
