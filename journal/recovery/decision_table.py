"""What a journal that was found on a disk is: one table, read from the top, first row that holds.

| finding | verdict | what causes it |
|---|---|---|
| NEWER | refuse | a newer version wrote here |
| ORPHANED | lost | the segments were removed, or the directory was copied in part |
| BROKEN | corrupt | a medium that forgot, an edit, a missing file, two journals mixed |
| FIRST_LINE | corrupt | as before: a first line is synced before its file has a name |
| PROVEN | corrupt | a later line was written after the bad one was durable |
| BEYOND | lost | HEAD, a snapshot or an archive vouches for records that are gone |
| HEADLESS | lost | HEAD was removed or not copied; no crash leaves records without one |
| UNREACHABLE | lost | compacted history whose archive is gone; no snapshot to start from |
| TORN | cut | power went while a batch was being written; nobody was told of it |
| UNFINISHED | keep | power went between the last byte of a line and its newline |
| SEALED | keep | a crash between a seal and the next segment |
| none of these | keep | a clean close, or a crash between two batches |

HEAD is made durable, with its name, after the first line of a new journal and before its second
one; from then on it is only ever replaced by another, and written in place. So a journal that holds
its first line alone may be without one, and what stands in it may be unreadable after a power cut;
that it is not there, or shorter than it was made, is the work of somebody, and whether the last
records are there is then known to nobody.

In the table, b is the first bad line of the tail and everything after the last good one is its
rest. `decide` is a pure function of which findings there are; `survey` finds them, and `restore`
carries the verdict out. What a start does to files follows from the verdict and from whether the
last close was clean, and from nothing else.
"""

from enum import Enum, auto
from typing import Final

from msgspec import Struct

from ackbook.journal.errors import Corrupt, Damage, DamageFound, Lost, NewerFormat, TornTail


class Finding(Enum):
    """What `survey` may notice; see the table."""

    NEWER = auto()
    ORPHANED = auto()
    BROKEN = auto()
    FIRST_LINE = auto()
    PROVEN = auto()
    BEYOND = auto()
    HEADLESS = auto()
    UNREACHABLE = auto()
    TORN = auto()
    UNFINISHED = auto()
    SEALED = auto()


class RecoveryAction(Enum):
    """What follows. The value is the word that reports use."""

    NEWER = "newer"
    LOST = "lost"
    CORRUPT = "corrupt"
    CUT = "cut"
    KEEP = "keep"

    @property
    def error(self) -> type[DamageFound] | None:
        """What says so where somebody has to know: a cut is what a start would do, unless it is so
        long that a person has to agree."""
        return _ERRORS[self]

    @property
    def refuses(self) -> bool:
        """Whether a start changes nothing and ends."""
        return self in (RecoveryAction.NEWER, RecoveryAction.LOST, RecoveryAction.CORRUPT)


_ERRORS: Final[dict[RecoveryAction, type[DamageFound] | None]] = {
    RecoveryAction.NEWER: NewerFormat,
    RecoveryAction.LOST: Lost,
    RecoveryAction.CORRUPT: Corrupt,
    RecoveryAction.CUT: TornTail,
    RecoveryAction.KEEP: None,
}

TABLE: Final[tuple[tuple[Finding, RecoveryAction], ...]] = (
    (Finding.NEWER, RecoveryAction.NEWER),
    (Finding.ORPHANED, RecoveryAction.LOST),
    (Finding.BROKEN, RecoveryAction.CORRUPT),
    (Finding.FIRST_LINE, RecoveryAction.CORRUPT),
    (Finding.PROVEN, RecoveryAction.CORRUPT),
    (Finding.BEYOND, RecoveryAction.LOST),
    (Finding.HEADLESS, RecoveryAction.LOST),
    (Finding.UNREACHABLE, RecoveryAction.LOST),
    (Finding.TORN, RecoveryAction.CUT),
    (Finding.UNFINISHED, RecoveryAction.KEEP),
    (Finding.SEALED, RecoveryAction.KEEP),
)


class Observation(Struct, frozen=True):
    """A finding with its place and proof."""

    finding: Finding
    damage: Damage


def decide(found: frozenset[Finding]) -> tuple[Finding | None, RecoveryAction]:
    """The row that holds and its verdict."""
    for finding, verdict in TABLE:
        if finding in found:
            return finding, verdict
    return None, RecoveryAction.KEEP
