"""How one segment hands over to the next: the last line of the one, the first line of the other.

The seal sums up its segment; the first line after it names that sum, the last checksum, and how
far back the journal reaches. So the newest segment fixes all history before it. Pure.
"""

from collections.abc import Collection

from ackbook.journal.format.control import Reach, Sealed, SegmentStarted
from ackbook.journal.limits import FORMAT, KINDS_LISTED_MAX


def seal_of(count: int, size: int, sha256: str, kinds: Collection[str]) -> Sealed:
    """The seal of so many lines and bytes. The kinds are listed as long as they fit."""
    listed = tuple(sorted(kinds)) if len(kinds) <= KINDS_LISTED_MAX else None
    return Sealed(count, size, sha256, listed)


def start_of(
    journal: str, base: int, epoch: int, reach: Reach, previous_crc: str, previous_sha256: str
) -> SegmentStarted:
    """The first line of the segment that follows one with this last checksum and this sha256."""
    return SegmentStarted(
        journal=journal,
        format=FORMAT,
        base=base,
        epoch=epoch,
        previous_crc=previous_crc,
        previous_sha256=previous_sha256,
        kept_from=reach.kept_from,
        archived_from=reach.archived_from,
    )
