"""What can be wrong with a journal, named by what the caller can do about it.

Each error carries the next step, and each message names the file, the line, the byte and the proof
where there is one. Nothing here decides anything: `recovery.decision_table` does. How a process
ends that meets one is the business of whoever runs it.
"""

# The names say what is the case (`Locked`, `Corrupt`), as a caller would say it.

from msgspec import Struct

from ackbook.journal.next_step import NextStep


class Damage(Struct, frozen=True):
    """One thing that is wrong in one place, with its proof and what to do next."""

    file: str
    line: int
    byte: int
    what: str
    proof: str
    next: NextStep

    @property
    def place_and_proof(self) -> str:
        """What is wrong and where, without the next step."""
        place = f"{self.file}, line {self.line}, byte {self.byte}" if self.line else self.file
        proof = f" ({self.proof})" if self.proof else ""
        return f"{place}: {self.what}{proof}"

    def __str__(self) -> str:
        return f"{self.place_and_proof}. Next: {self.next}"


class JournalError(Exception):
    """The base of all: `what` is wrong, the `next_step`, and the `damage` where files prove it."""

    def __init__(self, what: str, next_step: NextStep | str, damage: Damage | None = None) -> None:
        self.what = what
        self.next_step = NextStep(next_step) if isinstance(next_step, str) else next_step
        self.damage = damage
        super().__init__(f"{what}. Next: {self.next_step}")


class DamageFound(JournalError):
    """The files prove something; `damage` says what and where."""

    def __init__(self, damage: Damage) -> None:
        super().__init__(damage.place_and_proof, damage.next, damage)


class Corrupt(DamageFound):
    """What was durable once is not what stands in the files; nothing was changed."""


class Lost(DamageFound):
    """A witness says that acknowledged records are missing at the end; nothing was changed."""


class NewerFormat(DamageFound):
    """A newer version wrote here; nothing was changed."""


class TornTail(DamageFound):
    """So much would be cut off the tail that a person has to agree first."""


class Locked(JournalError):
    """Another writer has this journal open."""


class DiskFailed(JournalError):
    """The disk refused something that cannot be taken back; the outcome of the batch is unknown."""


class Poisoned(DiskFailed):
    """An earlier failure ended this log; only opening it again says what is durable."""


class Displaced(DiskFailed):
    """The disk is well, but what this log has open is no longer what its names say: somebody
    moved, replaced or removed it. What was acknowledged is where the message says; of the batch
    that was on its way nobody was told. For whoever has to handle it, it is a `DiskFailed`: this
    log has ended."""


class AttemptFailed(JournalError):
    """A snapshot or an archive could not be made; the journal itself is unharmed."""


class SnapshotUnusable(JournalError):
    """This file is no snapshot that a start may build on; nothing was changed."""


class ReadOnly(JournalError):
    """The directory cannot be written; readers still work."""


class NetworkFileSystem(JournalError):
    """The directory lies on a network file system, where locks and syncs promise too little."""


class TargetTaken(JournalError):
    """A new directory was asked for where something is already; nothing was changed."""


class OutOfReach(DamageFound):
    """What was asked about is no longer here, neither in the journal nor in its archive."""


class JournalFull(JournalError):
    """There is no room for this record now; the same append may succeed in a second."""


class NotOpen(JournalError):
    """This journal was closed, or is not this caller's to write; nothing was staged."""


class RecordRefused(JournalError):
    """This record cannot be written as it is; nothing was staged. `reason` is from a closed list:
    `unknown_kind`, `too_large`, `bad_json`, `bad_cause`, `bad_time`, `out_of_turn`."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what, "correct the record; the journal is unharmed")
        self.reason = reason
