"""Every maximum of a journal, each with its reason beside it.

All of them are arguments of `open_log`, so that a test can meet each limit with a few bytes; the
defaults are what the format was measured with. Nothing here is written to disk: a journal that
was made with other limits opens all the same.
"""

from msgspec import Struct

KIB = 1024
MIB = 1024 * KIB
SECOND_US = 1_000_000

FORMAT = 1
"""The format that this code writes; a segment that names a higher one is refused unread."""

SEQ_MAX = (1 << 43) - 1
"""A cursor of the public feed is seq x 1024 + i; it has to stay an integer of 53 bits."""

INTEGER_MAX = (1 << 53) - 1
"""Beyond this, readers that hold numbers as doubles would see another number."""

KIND_BYTES_MAX = 64
CAUSES_MAX = 1024

LINEAGE_BYTES = 4
"""Of randomness in the tag of a history: two that go on from one copy have the same one once in
four thousand million times."""

KINDS_LISTED_MAX = 200
"""A seal lists the kinds of its segment up to this many, so that it always fits its reserve."""


class Limits(Struct, frozen=True):
    """What one line, batch, segment and the room written ahead may measure."""

    line_bytes_max: int = 4 * MIB
    batch_bytes_max: int = 4 * MIB
    """What a power cut may tear; twice this is never cut off without asking."""

    segment_bytes_max: int = 16 * MIB
    segment_age_us_max: int = 24 * 3600 * SECOND_US

    room_bytes_min: int = 512 * KIB
    room_bytes_max: int = 4 * MIB
    """How much is written ahead at a time: the one where the disk has little space, else the
    other, so that an extension is rare."""

    step_bytes: int = 256 * KIB
    """Preallocated at a time beside the batches: a sync that meets it takes twice as long."""

    reserve_bytes: int = 256 * KIB
    """What only the records that shrink the state may use when the disk is full."""

    control_bytes: int = 16 * KIB
    """The part of the reserve that a seal and a clean close can count on."""

    head_age_us_max: int = SECOND_US
    retry_us_min: int = SECOND_US
    """After an extension failed for lack of space, the next try waits this long."""

    def is_full(self, end: int, age_us: int) -> bool:
        """Whether a segment of this size and age gets a successor."""
        return end >= self.segment_bytes_max or age_us >= self.segment_age_us_max
