"""What can be wrong with a journal, named by what the caller can do about it.

Each error carries the exit code of the command that it ends and the next step, and each message
names the file, the line, the byte and the proof where there is one. Nothing here decides
anything: `recovery.decision_table` does.
"""

# The names say what is the case (`Locked`, `Corrupt`), as a caller would say it.

from pathlib import Path
from typing import ClassVar

from msgspec import Struct


class Damage(Struct, frozen=True):
    """One thing that is wrong in one place, with its proof and the command to run next."""

    file: str
    line: int
    byte: int
    what: str
    proof: str
    next: str

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}, byte {self.byte}" if self.line else self.file
        proof = f" ({self.proof})" if self.proof else ""
        return f"{place}: {self.what}{proof}. Next: {self.next}"


class JournalError(Exception):
    """The base of all; `exit_code` and `next_step` are what a command needs to end well."""

    exit_code: ClassVar[int] = 74

    def __init__(self, what: str, next_step: str, damage: Damage | None = None) -> None:
        super().__init__(f"{what}. Next: {next_step}")
        self.what = what
        self.next_step = next_step
        self.damage = damage


class DamageFound(JournalError):
    """The files prove something; `damage` says what and where."""

    def __init__(self, damage: Damage) -> None:
        where = str(damage)
        super().__init__(where.removesuffix(f". Next: {damage.next}"), damage.next, damage)


class Corrupt(DamageFound):
    """What was durable once is not what stands in the files; nothing was changed."""

    exit_code = 4


class Lost(DamageFound):
    """A witness says that acknowledged records are missing at the end; nothing was changed."""

    exit_code = 7


class NewerFormat(DamageFound):
    """A newer version wrote here; nothing was changed."""

    exit_code = 10


class TornTail(DamageFound):
    """So much would be cut off the tail that a person has to agree first."""

    exit_code = 1


class Locked(JournalError):
    """Another writer has this journal open."""

    exit_code = 5


class DiskFailed(JournalError):
    """The disk refused something that cannot be taken back; the outcome of the batch is unknown."""


class Poisoned(DiskFailed):
    """An earlier failure ended this log; only opening it again says what is durable."""


class AttemptFailed(JournalError):
    """A snapshot or an archive could not be made; the journal itself is unharmed."""


class SnapshotUnusable(JournalError):
    """This file is no snapshot that a start may build on; nothing was changed."""

    exit_code = 4


class ReadOnly(JournalError):
    """The directory cannot be written; readers still work."""


class NetworkFileSystem(JournalError):
    """The directory lies on a network file system, where locks and syncs promise too little."""

    exit_code = 8


class TargetTaken(JournalError):
    """A new directory was asked for where something is already; nothing was changed."""

    exit_code = 8


class OutOfReach(DamageFound):
    """What was asked about is no longer here, neither in the journal nor in its archive."""

    exit_code = 3


class JournalFull(JournalError):
    """There is no room for this record now; the same wish may succeed in a second."""

    exit_code = 8


class NotOpen(JournalError):
    """This journal was closed, or is not this caller's to write; nothing was staged."""

    exit_code = 8


class RecordRefused(JournalError):
    """This record cannot be written as it is; nothing was staged. `reason` is from a closed list:
    `unknown_kind`, `too_large`, `bad_json`, `bad_cause`, `bad_time`, `out_of_turn`."""

    exit_code = 8

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what, "correct the record; the journal is unharmed")
        self.reason = reason


def ending_of(error: JournalError | OSError | MemoryError) -> tuple[str, int]:
    """What a command says that ends with this error, and its exit code."""
    match error:
        case JournalError():
            return str(error), error.exit_code
        case MemoryError():
            return "there is not enough memory", JournalError.exit_code
        case OSError():
            return str(error), JournalError.exit_code


def verify_command(directory: Path) -> str:
    """The command that looks at everything and changes nothing."""
    return f"ackbook verify --dir {directory}"


def salvage_command(directory: Path) -> str:
    """The command that saves what verifies into another directory."""
    return f"ackbook salvage --dir {directory} --out DIR"


def repair_command(directory: Path) -> str:
    """The command that agrees to the cut of a torn tail."""
    return f"ackbook repair --dir {directory} --dry-run"
