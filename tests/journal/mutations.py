"""The protocol, broken on purpose in one step at a time: the tests of the tests.

Each mutation takes a `setattr` and replaces one step. A campaign that does not notice it has no
teeth. They are plain functions so that a test can undo them and the campaign can be run with one
from the command line (`--mutation`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import ackbook.journal.format.batch
import ackbook.journal.maintenance.compaction
import ackbook.journal.recovery.findings
import ackbook.journal.recovery.inspect_tail
import ackbook.journal.recovery.open_log
import ackbook.journal.recovery.restore
from ackbook.journal.format.control import Compacted, ControlRecord, Reach, RecoveryReport
from ackbook.journal.format.layout import ARCHIVE, list_directory
from ackbook.journal.format.record import (
    LINE_START,
    Draft,
    Line,
    Position,
    encode_lines,
    parse_line,
    time_part,
)
from ackbook.journal.format.snapshot import SnapshotFile
from ackbook.journal.reading.reader import Reader
from ackbook.journal.recovery.decision_table import Finding, Observation
from ackbook.journal.recovery.findings import Findings
from ackbook.journal.recovery.survey import Survey
from ackbook.journal.storage.files import Access, Handle
from ackbook.journal.writing.preallocation import Room
from ackbook.journal.writing.preallocator import Preallocator
from ackbook.journal.writing.removal import HistoryRemover, left_over, remove, removed_by
from ackbook.journal.writing.tail import Tail
from ackbook.journal.writing.writer import Writer
from tests.support.disk import SimulatedDisk

Patch = Callable[[object, str, object], None]
Names = tuple[str, ...]


def acknowledged_before_sync(patch: Patch) -> None:
    """A batch is written and not synced."""
    advance = Tail._advance

    def append(self: Tail, batch: bytes, count: int, running: int) -> None:
        self._files.write(self.handle, self.end, batch)
        advance(self, batch, count, running)

    patch(Tail, "append", append)


def no_directory_sync(patch: Patch) -> None:
    """Names are left to the disk."""

    def sync_dir(self: SimulatedDisk, directory: Path) -> None:
        return

    patch(SimulatedDisk, "sync_dir", sync_dir)


def head_before_sync(patch: Patch) -> None:
    """HEAD vouches for a batch that is not durable yet."""
    write = Writer._write_batch

    def write_batch(self: Writer) -> int:
        self._head_file.write(self.next_seq - 1, self._batch.lines()[-11:-3].decode())
        self._head_file.sync()
        return write(self)

    patch(Writer, "_write_batch", write_batch)


def clean_looking_tail_kept_in_place(patch: Patch) -> None:
    """After a crash, a tail without a flaw is written on."""

    def must_copy(found: Survey) -> bool:
        return found.tail is not None and bool(found.tail.rest or found.tail.unfinished)

    patch(ackbook.journal.recovery.restore, "must_copy", must_copy)


def ground_laid_behind_the_seal(patch: Patch) -> None:
    """A segment ends while somebody still writes room into it."""

    def end_preallocation(self: Room) -> None:
        self.follow()

    patch(Room, "end_preallocation", end_preallocation)


def ground_laid_through_the_descriptor_of_the_appends(patch: Patch) -> None:
    """What a sync of an append has to be told is told to somebody else, and forgotten there."""

    class Forgetful(Preallocator):
        def step(self) -> bool:
            going_on = super().step()
            self.failure = None
            return going_on

    def begin_preallocation(self: Tail, target: int, step: int) -> Preallocator:
        start, stop, running = self.room_end, self.end + target, self._hash
        return Forgetful(
            self._files, self.handle, start, stop, step=step, own=False, running=running
        )

    patch(Tail, "begin_preallocation", begin_preallocation)


def seal_unsynced(patch: Patch) -> None:
    """The next segment gets its name before the seal is durable."""

    def finish(self: Tail, line: bytes, running: int) -> None:
        self._files.write(self.handle, self.end, line)
        self._files.truncate(self.handle, self.end + len(line))
        self._advance(line, 1, running)
        self.room_end = self.end

    patch(Tail, "finish", finish)


def any_later_line_is_proof(patch: Patch) -> None:
    """A good line behind a bad one is taken for damage, also within one batch."""

    def proof(rest: bytes, seq: int) -> Line | None:
        later = [parse_line(raw) for raw in rest.split(b"\n") if raw.startswith(LINE_START)]
        return next((line for line in later if line is not None and line.seq > seq), None)

    patch(ackbook.journal.recovery.inspect_tail, "proof_of_durability", proof)


def no_later_line_is_proof(patch: Patch) -> None:
    """Whatever is bad is cut, also when a later line shows that it was durable."""

    def proof(rest: bytes, seq: int) -> Line | None:
        return None

    patch(ackbook.journal.recovery.inspect_tail, "proof_of_durability", proof)


def head_bears_no_witness(patch: Patch) -> None:
    """What HEAD vouches for is not asked; so the last line can go unnoticed."""

    def beyond(*found: object) -> list[object]:
        return []

    patch(ackbook.journal.recovery.findings, "_beyond", beyond)


def d_runs_ahead(patch: Patch) -> None:
    """Each line says that the one before it is durable, also within a batch."""

    def encode(drafts: Sequence[Draft], seq: int, times: bytes, running: int) -> tuple[bytes, int]:
        at = int(times[6 : times.index(b',"d"')])
        lines = b""
        for number, draft in enumerate(drafts, start=seq):
            line, running = encode_lines((draft,), number, time_part(at, number - 1), running)
            lines += line
        return lines, running

    patch(ackbook.journal.format.batch, "encode_lines", encode)


def failed_sync_is_tried_again(patch: Patch) -> None:
    """The second sync returns, and nothing is on the disk."""
    sync = SimulatedDisk.sync

    def retried(self: SimulatedDisk, handle: Handle) -> None:
        try:
            sync(self, handle)
        except OSError:
            sync(self, handle)

    patch(SimulatedDisk, "sync", retried)


def new_file_renamed_unsynced(patch: Patch) -> None:
    """A copy or a new segment gets its name before its content is durable."""
    opened, sync = SimulatedDisk.open, SimulatedDisk.sync
    temporary: set[int] = set()

    def open_file(self: SimulatedDisk, path: Path, access: Access) -> Handle:
        handle = opened(self, path, access)
        (temporary.add if path.suffix == ".tmp" else temporary.discard)(handle)
        return handle

    def sync_file(self: SimulatedDisk, handle: Handle) -> None:
        if handle not in temporary:
            sync(self, handle)

    patch(SimulatedDisk, "open", open_file)
    patch(SimulatedDisk, "sync", sync_file)


def reader_shows_what_is_written(patch: Patch) -> None:
    """A reader beside a writer gives every good line, durable or not."""

    def is_live(self: Reader) -> bool:
        return False

    patch(Reader, "_is_live", is_live)


def unlinked_before_the_record(patch: Patch) -> None:
    """Segments are deleted first, and then it is said."""

    def remove_history(
        self: HistoryRemover,
        through: int,
        snapshot: SnapshotFile,
        archived: tuple[str, ...],
        forgotten: int,
    ) -> None:
        reach = Reach(through + 1, forgotten + 1)
        self._remove(removed_by(list_directory(self._files, self._writer.directory), reach))
        self._writer.record(Compacted(through, snapshot.name, archived, forgotten))

    patch(HistoryRemover, "remove_history", remove_history)


def record_not_awaited(patch: Patch) -> None:
    """Segments are deleted while the record that says so is written and not synced."""
    record, sync = Writer.record, SimulatedDisk.sync

    def unsynced(self: Writer, control: ControlRecord) -> None:
        if not isinstance(control, Compacted):
            record(self, control)
            return
        SimulatedDisk.sync = _no_sync  # type: ignore[method-assign]
        try:
            record(self, control)
        finally:
            SimulatedDisk.sync = sync  # type: ignore[method-assign]

    patch(Writer, "record", unsynced)


def reach_told_late(patch: Patch) -> None:
    """A segment that begins with the record of a compaction knows nothing of it."""
    record = Writer.record

    def late(self: Writer, control: ControlRecord) -> None:
        before, roll = self.reach, self._roll

        def roll_unaware() -> Position | None:
            after, self.reach = self.reach, before
            try:
                return roll()
            finally:
                self.reach = after

        self._roll = roll_unaware  # type: ignore[method-assign]
        try:
            record(self, control)
        finally:
            self._roll = roll  # type: ignore[method-assign]

    patch(Writer, "record", late)


def snapshot_renamed_unsynced(patch: Patch) -> None:
    """A snapshot gets its name before its content is durable."""
    _leave_unsynced(patch, "snapshot-", ".tmp")


def archive_renamed_unsynced(patch: Patch) -> None:
    """An archive gets its name before its content is durable."""
    _leave_unsynced(patch, "0", ".jsonl.zst.tmp")
    _leave_unsynced(patch, "0", ".jsonl.gz.tmp")


def archive_name_unsynced(patch: Patch) -> None:
    """The names in the archive are left to the disk."""
    sync_dir = SimulatedDisk.sync_dir

    def only_others(self: SimulatedDisk, directory: Path) -> None:
        if directory.name != ARCHIVE:
            sync_dir(self, directory)

    patch(SimulatedDisk, "sync_dir", only_others)


def compaction_left_half_done(patch: Patch) -> None:
    """A start does not finish what a crash interrupted."""

    def nothing(files: object, directory: object, names: object) -> None:
        return

    patch(ackbook.journal.recovery.open_log, "remove", nothing)


def removed_before_the_tail_is_durable(patch: Patch) -> None:
    """A start believes a record of a compaction that stands in memory alone."""
    resume = ackbook.journal.recovery.open_log._Starting._resume

    def early(
        self: ackbook.journal.recovery.open_log._Starting,
    ) -> tuple[RecoveryReport, Tail, Position]:
        found = self._found
        remove(self._files, self._directory, left_over(found.listing, found.reach))
        return resume(self)

    def nothing(files: object, directory: object, names: object) -> None:
        return

    patch(ackbook.journal.recovery.open_log._Starting, "_resume", early)
    patch(ackbook.journal.recovery.open_log, "remove", nothing)


def snapshot_name_not_awaited(patch: Patch) -> None:
    """A compaction builds on snapshots whose names nobody synced."""

    def trust(self: HistoryRemover, snapshot: SnapshotFile) -> None:
        return

    patch(HistoryRemover, "_sync_names", trust)


def compacted_beyond_the_snapshots(patch: Patch) -> None:
    """Every sealed segment goes, whatever the snapshots hold."""

    def pin(last: int, is_tail: bool, snapshot: SnapshotFile | None, floor: int | None) -> str:
        return "the tail" if is_tail or snapshot is None else ""

    def removed(
        self: HistoryRemover,
        through: int,
        snapshot: SnapshotFile,
        archived: tuple[str, ...],
        forgotten: int,
    ) -> None:
        self._writer.record(Compacted(through, snapshot.name, archived, forgotten))
        listing = list_directory(self._files, self._writer.directory)
        self._remove(removed_by(listing, self._writer.reach))

    patch(ackbook.journal.maintenance.compaction, "_pin", pin)
    patch(HistoryRemover, "remove_history", removed)


def snapshots_bear_no_witness(patch: Patch) -> None:
    """That a snapshot or an archive is of the future is no reason to ask what became of it."""
    beyond = ackbook.journal.recovery.findings._beyond

    def by_head_alone(seen: Findings) -> list[Observation]:
        return [
            each
            for each in beyond(seen)
            if each.finding is not Finding.BEYOND or each.damage.proof.startswith("HEAD")
        ]

    patch(ackbook.journal.recovery.findings, "_beyond", by_head_alone)


def _leave_unsynced(patch: Patch, start: str, end: str) -> None:
    opened, sync = SimulatedDisk.open, SimulatedDisk.sync
    unsynced: set[int] = set()

    def open_file(self: SimulatedDisk, path: Path, access: Access) -> Handle:
        handle = opened(self, path, access)
        chosen = path.name.startswith(start) and path.name.endswith(end)
        (unsynced.add if chosen else unsynced.discard)(handle)
        return handle

    def sync_file(self: SimulatedDisk, handle: Handle) -> None:
        if handle not in unsynced:
            sync(self, handle)

    patch(SimulatedDisk, "open", open_file)
    patch(SimulatedDisk, "sync", sync_file)


def _no_sync(self: SimulatedDisk, handle: Handle) -> None:
    return


MUTATIONS: dict[str, Callable[[Patch], None]] = {
    mutation.__name__: mutation
    for mutation in (
        acknowledged_before_sync,
        no_directory_sync,
        head_before_sync,
        clean_looking_tail_kept_in_place,
        ground_laid_behind_the_seal,
        ground_laid_through_the_descriptor_of_the_appends,
        seal_unsynced,
        any_later_line_is_proof,
        no_later_line_is_proof,
        head_bears_no_witness,
        d_runs_ahead,
        failed_sync_is_tried_again,
        new_file_renamed_unsynced,
        reader_shows_what_is_written,
        unlinked_before_the_record,
        record_not_awaited,
        reach_told_late,
        snapshot_renamed_unsynced,
        archive_renamed_unsynced,
        archive_name_unsynced,
        compaction_left_half_done,
        removed_before_the_tail_is_durable,
        snapshot_name_not_awaited,
        compacted_beyond_the_snapshots,
        snapshots_bear_no_witness,
    )
}
