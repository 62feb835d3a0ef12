"""The order of every write, which is what makes a journal a promise.

1. Room is secured before a record is staged, so a full disk is met where it can still be refused.
2. A batch is one write and one sync; the next batch is written only after that sync returned. So
   each line may say in `d` that the batch before it is durable.
3. Then HEAD, then a look whether the files are still what their names say, then the caller is
   told.
4. Between batches, when due: a new segment, more room (`preallocation`), a synced HEAD.
5. A write or sync that fails ends the writer: its view is ahead of the disk for good, and a sync
   that is tried again lies. Only opening the journal again says what is durable.

It blocks, has no thread and no loop; `log` gives it both.
"""

from collections.abc import Sequence
from pathlib import Path

from ackbook.journal.errors import JournalFull, RecordRefused
from ackbook.journal.format.batch import Batch
from ackbook.journal.format.control import SEGMENT, Compacted, ControlRecord, Reach, control_draft
from ackbook.journal.format.handover import seal_of, start_of
from ackbook.journal.format.head import Head
from ackbook.journal.format.record import Draft, Position, measure_draft, time_part
from ackbook.journal.format.validation import Door
from ackbook.journal.limits import Limits
from ackbook.journal.storage.clock import Clock, Ticker
from ackbook.journal.storage.commit_thread import MeanSync
from ackbook.journal.writing.poison import Poison
from ackbook.journal.writing.preallocation import Room
from ackbook.journal.writing.preallocator import Preallocator
from ackbook.journal.writing.presence import Presence
from ackbook.journal.writing.tail import Tail
from ackbook.journal.writing.writer_lock import WriterLock


class Writer:
    """One batch at a time, into the tail of one journal."""

    def __init__(
        self,
        clock: Clock,
        limits: Limits,
        door: Door,
        *,
        lock: WriterLock,
        journal_id: str,
        epoch: int,
        tail: Tail,
        head: Position,
        head_file: Head,
        reach: Reach,
    ) -> None:
        self._clock = clock
        self._limits = limits
        self.batch_bytes_max = limits.batch_bytes_max
        self._door = door
        self._tail = tail
        self._head_file = head_file
        self._head_synced_at = clock.boot()
        self._last_at = head.at
        self._due_at = 0  # in boot time: when to look again whether something is due
        self._batch = Batch(tail.running)
        self._room = Room(clock, limits, tail)
        self.reach = reach
        self._presence = Presence(lock, head_file, tail)
        self.directory: Path = lock.files.directory
        self.poison = Poison(self.directory)
        self.journal_id = journal_id
        self.epoch = epoch
        self.head = head
        self.ticker = Ticker(clock, head.at)
        self.mean_sync = MeanSync()
        self.records = self.batches = self.written_bytes = 0
        self.segments = 1

    @property
    def next_seq(self) -> int:
        return self.head.seq + 1 + self._batch.count

    @property
    def staged(self) -> int:
        return self._batch.count

    @property
    def room(self) -> int:
        """Bytes written ahead that ordinary records may still use."""
        return max(0, self._tail.room - self._batch.size - self._limits.reserve_bytes)

    @property
    def is_quick(self) -> bool:
        """Whether a commit now is one quick sync: no new segment and no more room is due."""
        return self.mean_sync.is_quick and self._tail.end + self._batch.size < self._room.due_end

    def begin(self) -> None:
        """Have room for the first records, as far as the disk gives it."""
        self._room.begin()

    def secure(self, size: int, *, reserve: bool) -> bool:
        """Whether `size` more bytes can be staged now. See `Log.secure`."""
        self.poison.check()
        kept = self._limits.control_bytes if reserve else self._limits.reserve_bytes
        wanted = self._batch.size + size
        if self._batch.count:
            return wanted <= self._limits.batch_bytes_max and wanted + kept <= self._tail.room
        if wanted + kept > self._tail.room:
            with self.poison:
                self._room.extend(wanted + self._limits.reserve_bytes)
        if wanted + kept > self._tail.room:
            raise self._full(f"{size} bytes")
        return True

    def stage(self, drafts: Sequence[Draft], at: int, *, expect: int) -> None:
        """Encode records into the batch, all or none. Raises `RecordRefused`: see `Log.stage`."""
        if expect != self.next_seq:
            raise RecordRefused("out_of_turn", f"{expect} was expected, {self.next_seq} is next")
        self._door.admit(drafts, expect)
        self._encode(drafts, at)

    def offer(self, drafts: Sequence[Draft], at: int) -> bool:
        """`secure` and `stage` in one pass. False, with nothing staged: commit first, or offer
        less. Raises what both raise."""
        size = self._door.admit(drafts, self.next_seq)
        if size > self._limits.batch_bytes_max or not self.secure(size, reserve=False):
            return False
        self._encode(drafts, at)
        return True

    def commit(self) -> Position:
        """Make the batch durable, then do what is due between batches. Raises `DiskFailed`."""
        self.poison.check()
        if not self._batch.count:
            return self.head
        told = self.head.seq
        try:
            with self.poison:
                self._own_files()
                now = self._write_batch()
                self._head_file.write(self.head.seq, self.head.crc)
                self._presence.glance(told, self.head.crc)
                if now >= self._due_at or self._tail.end >= self._room.due_end:
                    self._tend(now, told)
        except BaseException:
            # Interrupted anywhere in here, it no longer knows what the file holds.
            self.poison.interrupted()
            raise
        return self.head

    def begin_preallocation(self) -> Preallocator | None:
        """See `Log.lay_ground`."""
        with self.poison:
            return self._room.begin_preallocation()

    def record(self, control: ControlRecord) -> None:
        """Write a control record as a batch of its own. Raises `JournalFull` and `DiskFailed`."""
        assert not self._batch.count, "control records take their turn between batches"
        self.poison.check()
        if self._tail.room < 2 * self._limits.control_bytes:
            raise self._full("a record of its own")
        if isinstance(control, Compacted):
            # Before the commit: it may roll, and the next segment has to say so.
            self.reach = Reach(control.through + 1, control.forgotten + 1)
        self._stage_control(control)
        self.commit()

    def seal(self) -> Position:
        """End the segment and begin the next one; the place of the seal. See `Log.seal`."""
        assert not self._batch.count, "segments end between batches"
        self.poison.check()
        with self.poison:
            self._own_files()
            sealed = self._roll()
        if sealed is None:
            raise self._full("a new segment")
        return sealed

    def finish(self, control: ControlRecord) -> None:
        """Write the last record, cut the room off, let HEAD say so. Raises `DiskFailed`."""
        self._batch = Batch(self._tail.running)  # what was staged goes, as in a crash
        self.look_around()
        with self.poison:
            self._room.discard()
            self._own_files()
            self._stage_control(control)
            self._finish_tail()
            self._head_file.write(self.head.seq, self.head.crc, closed=True)
            self._head_file.sync()

    def sync_head(self) -> None:
        """Make HEAD durable when it changed since it last was. Raises `DiskFailed`."""
        self.look_around()
        with self.poison:
            self._room.follow()
            if self._head_file.dirty:
                self._sync_head(self._clock.boot())

    def release(self) -> None:
        """Close the descriptors; nothing is written."""
        self._room.release()
        self._tail.close()
        self._head_file.close()

    def look_around(self) -> None:
        """Raises `Displaced` when what is held is no longer what its names say, and `DiskFailed`
        when nobody can tell; then, too, nothing more is written."""
        self.poison.check()
        with self.poison:
            self._presence.check(self.head.seq, self.head.crc)

    def _own_files(self) -> None:
        """What is written in place has no other name, under which somebody keeps a copy of it."""
        if self._tail.has_other_names:
            self._room.end_preallocation()
            self._presence.leave()
            self._tail.detach()
            self._head_file.detach()
            self._presence.follow(self._head_file, self._tail)

    def _full(self, what: str) -> JournalFull:
        return JournalFull(f"no room for {what} in {self.directory}", "free some space, try again")

    def _encode(self, drafts: Sequence[Draft], at: int) -> None:
        if at < self._last_at:
            raise RecordRefused("bad_time", f"at {at} is before {self._last_at}")
        if not drafts:
            return
        self._batch.add(drafts, self.next_seq, time_part(at, self.head.seq))
        assert self._batch.size + self._limits.control_bytes <= self._tail.room, "room was secured"
        self._last_at = at

    def _write_batch(self) -> int:
        """Gives the boot time at which it was durable."""
        batch = self._batch
        lines = batch.lines()
        before = self._clock.boot()
        self._tail.append(lines, batch.count, batch.running)
        self.mean_sync.add((after := self._clock.boot()) - before)
        self.batches += 1
        self.records += batch.count
        self.written_bytes += len(lines)
        self._tail.kinds |= batch.kinds
        self._advance(batch, lines)
        return after

    def _sync_head(self, now: int) -> None:
        self._head_file.sync()
        self._head_synced_at = now

    def _tend(self, now: int, told: int) -> None:
        self._presence.check(told, self.head.crc)
        if now - self._head_synced_at >= self._limits.head_age_us_max:
            self._sync_head(now)
        age = self._last_at - self._tail.started_at
        if self._limits.is_full(self._tail.end, age) and now >= self._room.retry_after:
            self._roll()
        self._room.tend()
        head_due_at = self._head_synced_at + self._limits.head_age_us_max
        self._due_at = min(head_due_at, now + self._limits.retry_us_min)

    def _roll(self) -> Position | None:
        # The next segment has its room before this one is sealed: a full disk leaves all as it is.
        preparation = self._room.take_next()
        if preparation is None:
            return None
        base = self.head.seq + 2
        old = self._tail
        self._stage_control(seal_of(old.count, old.end, old.sha256, old.kinds))
        self._finish_tail()
        sealed = self.head
        started = start_of(self.journal_id, base, self.epoch, self.reach, sealed.crc, old.sha256)
        self._batch = Batch(0)
        self._stage_control(started)
        lines, running = self._batch.lines(), self._batch.running
        self._tail = preparation.publish(base, lines, running, SEGMENT, self._last_at)
        self._advance(self._batch, lines)
        old.close()
        self._room.move_to(self._tail)
        self._presence.follow(self._head_file, self._tail)
        self.segments += 1
        self._head_file.write(self.head.seq, self.head.crc)
        return sealed

    def _stage_control(self, control: ControlRecord) -> None:
        draft = control_draft(control)
        assert measure_draft(draft) <= self._limits.control_bytes, "control records are small"
        self._last_at = max(self._last_at, self.ticker.now())
        self._batch.add((draft,), self.next_seq, time_part(self._last_at, self.head.seq))

    def _finish_tail(self) -> None:
        """End the file with what is staged."""
        lines = self._batch.lines()
        self._tail.finish(lines, self._batch.running)
        self._advance(self._batch, lines)

    def _advance(self, batch: Batch, lines: bytes) -> None:
        """The batch is durable, and the next one begins behind it."""
        crc = lines[-11:-3].decode()
        self.head = Position(self.head.seq + batch.count, self._last_at, crc)
        self._batch = Batch(batch.running)
