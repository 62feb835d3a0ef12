"""How much room there is ahead of the last line, who writes more of it, and when.

When a quarter of the room is used up, more may be preallocated by whoever has a thread; then the
next segment, whole. Without a thread the writer does both itself, when half of it is used up or a
segment is full, and waits. Where the disk has little space left, others need it, too: room is taken
in small pieces, and none beside the batches. A disk that is full is asked again every
second, and everything goes on in the room that there is.

Where there is plenty, room grows by 4 MiB at a time, and behind it lies the reserve, which only
records that make the state smaller may use. A tail whose room was just extended:

```
  end                                             room_end
   |--- 1/4 ---|--- 1/4 ---|--------- 1/2 ---------|r|
               ^ more is taken beside the batches
                           ^ the writer extends it itself
```

Every method may raise `OSError`, after which nobody knows what is durable.
"""

from ackbook.journal.limits import Limits
from ackbook.journal.storage.clock import Clock
from ackbook.journal.storage.files import SPACE_ERRORS
from ackbook.journal.writing.preallocator import Preallocator
from ackbook.journal.writing.tail import Preparation, Tail

SPARE_TIMES = 8
"""A disk has plenty of space when it takes so many more segments."""


class Room:
    """Of the tail that is written now. `due_end` is the size of the segment at which `tend` has
    something to do."""

    __slots__ = (
        "_clock",
        "_lay_at",
        "_limits",
        "_next",
        "_plenty",
        "_preallocator",
        "_tail",
        "due_end",
        "retry_after",
    )

    def __init__(self, clock: Clock, limits: Limits, tail: Tail) -> None:
        self._clock = clock
        self._limits = limits
        self._tail = tail
        self._preallocator: Preallocator | None = None
        """At work now: in the tail, or in `_next` when there is one."""
        self._next: Preparation | None = None
        self._lay_at = 0
        self._plenty = False
        self.due_end = 0
        self.retry_after = 0
        """In boot time: until then a full disk is left alone."""
        self.look_ahead()

    def begin(self) -> None:
        """Have the room to begin with."""
        self.extend(self._target())

    def begin_preallocation(self) -> Preallocator | None:
        """Work that is worth doing now beside the batches; None when there is none to begin."""
        if self._tail.end < self._lay_at:
            return None
        self.follow()
        idle = self._preallocator is None and self._next is None
        due = self._tail.end >= self._lay_at
        if not (idle and due and self._plenty and self._may_try()):
            return None
        try:
            if self._tail.room_end >= self._whole():
                self._next = self._tail.prepare_next(self._whole(), self._limits.step_bytes)
                self._preallocator = self._next.preallocator
            else:
                self._preallocator = self._tail.begin_preallocation(
                    self._target(), self._limits.step_bytes
                )
        except OSError:
            # No descriptor to be had: the writer does it when it is due, or finds out why.
            self.postpone()
        return self._preallocator

    def follow(self) -> None:
        """Use the room that was taken so far."""
        preallocator = self._preallocator
        if preallocator is None:
            return
        over = preallocator.over  # asked first: afterwards it reaches nothing more
        full = preallocator.full
        if preallocator.failure is not None:
            # In a file that holds nothing yet, a full disk is no harm, however late it shows.
            full = self._next is not None and preallocator.failure.errno in SPACE_ERRORS
            if not full:
                raise preallocator.failure
        if self._next is None:
            self._tail.room_end = preallocator.reached
        if over:
            self._preallocator = None
            if full:
                self.postpone()
                self._discard_next()
            self.look_ahead()

    def end_preallocation(self) -> None:
        """Nobody else writes to a file of the journal when this returns."""
        if self._preallocator is not None:
            self._preallocator.end()
            self.follow()

    def extend(self, size: int) -> None:
        """Have room for `size` more bytes in the tail, or as much as the disk gives."""
        if self._next is None:
            self.end_preallocation()
        if self._tail.room < size and self._may_try() and not self._tail.extend(size):
            self.postpone()
        self.look_ahead()

    def tend(self) -> None:
        """Extend it when little is left."""
        self.follow()
        laying = self._preallocator is not None and self._next is None
        if not laying and self._tail.room < self._least():
            self.extend(self._target())
        else:
            self.look_ahead()

    def take_next(self) -> Preparation | None:
        """The next segment, with its room; None when the disk is too full for it."""
        if self._next is None:
            self.end_preallocation()
            try:
                self._next = self._tail.prepare_next(self._smallest(), self._limits.step_bytes)
            except OSError as error:
                if error.errno not in SPACE_ERRORS:
                    raise
                self.postpone()
                return None
            self._preallocator = self._next.preallocator
        preallocator = self._next.preallocator
        while preallocator.reached < self._smallest() and preallocator.step():
            pass
        self.end_preallocation()
        return self._next

    def move_to(self, tail: Tail) -> None:
        """What was taken is the tail now."""
        self._tail, self._next = tail, None
        self.look_ahead()

    def discard(self) -> None:
        """There will be no next segment; what was prepared for it goes."""
        self.end_preallocation()
        self._discard_next()

    def release(self) -> None:
        """Close the descriptors; nothing is written, whatever failed before."""
        if self._preallocator is not None:
            self._preallocator.end()
        if self._next is not None:
            self._next.close()

    def postpone(self) -> None:
        """The disk is full: leave it alone for a while."""
        self.retry_after = self._clock.boot() + self._limits.retry_us_min

    def look_ahead(self) -> None:
        """Work out when something is due, so that most commits have one comparison to make."""
        room_end = self._tail.room_end
        self._plenty = self._tail.free_space() >= SPARE_TIMES * self._whole()
        # The segment is full, or so little room is left that the writer has to see to it.
        self.due_end = min(self._limits.segment_bytes_max, room_end - self._least())
        # A quarter of the room is used up; another one may be, while more is taken beside the
        # batches, before the writer would have to wait.
        self._lay_at = room_end - self._limits.reserve_bytes - self._growth() * 3 // 4
        if room_end >= self._whole():
            # This segment needs no more, so the next one is due. It is made while the second half
            # of this one is written, and not sooner: a log that ends before has no use for it.
            self._lay_at = self._limits.segment_bytes_max // 2

    def _discard_next(self) -> None:
        discarded, self._next = self._next, None
        if discarded is not None:
            discarded.discard()

    def _may_try(self) -> bool:
        return self._clock.boot() >= self.retry_after

    def _whole(self) -> int:
        """Room for a whole segment, with the reserve behind it."""
        return self._limits.segment_bytes_max + self._limits.reserve_bytes

    def _growth(self) -> int:
        return self._limits.room_bytes_max if self._plenty else self._limits.room_bytes_min

    def _target(self) -> int:
        """How much an extension is for: what the segment can still use, a step of growth at most,
        and the reserve. A segment that is nearly full gets the minimum, since a batch may begin
        before its end and go beyond it."""
        rest = max(self._limits.room_bytes_min, self._limits.segment_bytes_max - self._tail.end)
        return self._limits.reserve_bytes + min(self._growth(), rest)

    def _smallest(self) -> int:
        """What a segment must have to be begun at all."""
        return self._limits.reserve_bytes + self._limits.room_bytes_min

    def _least(self) -> int:
        """With less than this the writer extends the room itself and waits for it."""
        return self._limits.reserve_bytes + self._growth() // 2
