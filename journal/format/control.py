"""The records that the journal writes about itself, as typed values.

| kind | data | where |
|---|---|---|
| `journal.segment` | `SegmentStarted` | first line of every segment |
| `journal.opened` | `Opened` | at each start, after recovery |
| `journal.sealed` | `Sealed` | last line of every segment but the newest |
| `journal.closed` | `Closed` | last line of a clean close |
| `journal.snapshotted` | `Snapshotted` | after a snapshot was verified |
| `journal.compacted` | `Compacted` | before segments are removed from the front |
| `journal.repaired` | `Repaired` | a person accepted a loss: seqs jump after it |

They take their turn and their seq like any record. Fields are only ever added, with a default. A
`journal.*` kind that is not in this table was written by a newer version.
"""

from typing import Final

import msgspec
from msgspec import Struct

from ackbook.journal.format.record import UNREADABLE, Draft, Line, Position

CONTROL_PREFIX: Final = "journal."


class SegmentStarted(Struct, frozen=True, omit_defaults=True):
    """`previous_*` fix the sealed predecessor: its last checksum, which runs over all of it, for
    the quick look at each start, and its sha256 for the full one. Segments begin at `kept_from`
    and archives at `archived_from`, as of when this one was begun: so what was removed on purpose
    is known without reading what came before."""

    journal: str
    format: int
    base: int
    epoch: int
    previous_crc: str | None = None
    previous_sha256: str | None = None
    kept_from: int = 1
    archived_from: int = 1


class RecoveryReport(Struct, frozen=True, omit_defaults=True):
    """What a start found and did. `head` is the last good line that it found."""

    verdict: str
    clean: bool = False
    """The last writer closed it, and nothing was touched since: nothing was copied."""
    head: Position = Position()
    witness: int = 0
    """The seq that HEAD vouched for."""
    cut_bytes: int = 0
    cut_what: str = ""
    quarantined: str = ""
    completed_newline: bool = False
    heads_unreadable: int = 0
    removed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    renewed: tuple[str, ...] = ()
    """Archives that had rotted beside the segment that they hold, and were made again from it."""
    left_aside: tuple[str, ...] = ()
    """Segments that were compacted, and damaged like their archive: where they are kept."""
    snapshot: str = ""
    """What the caller may load instead of folding from the start."""
    set_aside: tuple[str, ...] = ()


class Opened(Struct, frozen=True, omit_defaults=True):
    """`wall` is there when the wall clock was more than a second away from this line's `at`.

    `lineage`: the journal was put back from a copy, and another history may go on from the same
    record, or has: a random tag of the one that begins here. `because` says what showed it.
    """

    epoch: int
    pid: int
    version: str
    recovery: RecoveryReport
    wall: int | None = None
    lineage: str = ""
    because: str = ""


class Sealed(Struct, frozen=True, omit_defaults=True):
    """Count, bytes and sha256 of everything before this line. `kinds` names the kinds in the
    segment, so that a start knows whether it understands it; None when there are too many."""

    count: int
    bytes: int
    sha256: str
    kinds: tuple[str, ...] | None = None


class Closed(Struct, frozen=True, omit_defaults=True):
    epoch: int
    wall: int | None = None


class Snapshotted(Struct, frozen=True, omit_defaults=True):
    """`removed` are older snapshots that are deleted after this line."""

    name: str
    seq: int
    sha256: str
    removed: tuple[str, ...] = ()


class Compacted(Struct, frozen=True, omit_defaults=True):
    """Segments up to `through` and archives up to `forgotten` are deleted after this line; what a
    crash leaves of them is deleted by the next start. `snapshot` holds the state at `through` or
    later, `archived` are the archives that were made."""

    through: int
    snapshot: str
    archived: tuple[str, ...] = ()
    forgotten: int = 0


class Repaired(Struct, frozen=True, omit_defaults=True):
    """This line has the first missing seq; the next line has `last` + 1."""

    last: int
    reason: str = ""


class Reach(Struct, frozen=True):
    """How far back a journal reaches: the first seq in a segment, and the first one at all."""

    kept_from: int = 1
    archived_from: int = 1


ControlRecord = SegmentStarted | Opened | Sealed | Closed | Snapshotted | Compacted | Repaired

SEGMENT: Final = "journal.segment"
OPENED: Final = "journal.opened"
SEALED: Final = "journal.sealed"
CLOSED: Final = "journal.closed"
SNAPSHOTTED: Final = "journal.snapshotted"
COMPACTED: Final = "journal.compacted"
REPAIRED: Final = "journal.repaired"

_TYPES: Final[dict[str, type[ControlRecord]]] = {
    SEGMENT: SegmentStarted,
    OPENED: Opened,
    SEALED: Sealed,
    CLOSED: Closed,
    SNAPSHOTTED: Snapshotted,
    COMPACTED: Compacted,
    REPAIRED: Repaired,
}
CONTROL_KINDS: Final = tuple(_TYPES)
"""The kinds of the table, each once."""

_KINDS: Final = {kind: name for name, kind in _TYPES.items()}


def is_control(kind: str) -> bool:
    """Whether a kind is one of the table; any other `journal.*` is a newer version's."""
    return kind in _TYPES


def control_draft(value: ControlRecord) -> Draft:
    """The record of this value."""
    return Draft(_KINDS[type(value)], msgspec.json.encode(value))


def read_control(line: Line) -> ControlRecord | None:
    """The typed value of a control record; None when it is not one, or not as the table says."""
    shape = _TYPES.get(line.kind)
    if shape is None:
        return None
    try:
        return msgspec.json.decode(line.data, type=shape)
    except UNREADABLE:
        return None
