"""The protocol, broken on purpose in one step at a time: the tests of the tests.

Each mutation takes a `setattr` and replaces one step. A campaign that does not notice it has no
teeth. They are plain functions so that a test can undo them and the campaign can be run with one
from the command line (`--mutation`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import journal.observe
import journal.restore
import journal.segment
import journal.writer
from journal.files import Access, Handle
from journal.reader import Reader
from journal.record import LINE_START, Draft, Line, encode_lines, parse_line, time_part
from journal.survey import Survey
from journal.tail import Tail
from journal.writer import Writer
from tests.support.disk import SimulatedDisk

Patch = Callable[[object, str, object], None]


def acknowledged_before_sync(patch: Patch) -> None:
    """A batch is written and not synced."""
    advance = Tail._advance

    def append(self: Tail, batch: bytes, count: int, running: int) -> None:
        self._files.write(self._handle, self.end, batch)
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

    def write_batch(self: Writer) -> None:
        self._head_file.write(self.next_seq - 1, self._batch[-1][-11:-3].decode())
        self._head_file.sync()
        write(self)

    patch(Writer, "_write_batch", write_batch)


def clean_looking_tail_kept_in_place(patch: Patch) -> None:
    """After a crash, a tail without a flaw is written on."""

    def must_copy(found: Survey) -> bool:
        return found.tail is not None and bool(found.tail.rest or found.tail.unfinished)

    patch(journal.restore, "must_copy", must_copy)


def seal_unsynced(patch: Patch) -> None:
    """The next segment gets its name before the seal is durable."""

    def finish(self: Tail, line: bytes, running: int) -> None:
        self._files.write(self._handle, self.end, line)
        self._files.truncate(self._handle, self.end + len(line))
        self._advance(line, 1, running)
        self.room_end = self.end

    patch(Tail, "finish", finish)


def any_later_line_is_proof(patch: Patch) -> None:
    """A good line behind a bad one is taken for damage, also within one batch."""

    def proof(rest: bytes, seq: int) -> Line | None:
        later = [parse_line(raw) for raw in rest.split(b"\n") if raw.startswith(LINE_START)]
        return next((line for line in later if line is not None and line.seq > seq), None)

    patch(journal.segment, "proof_of_durability", proof)


def no_later_line_is_proof(patch: Patch) -> None:
    """Whatever is bad is cut, also when a later line shows that it was durable."""

    def proof(rest: bytes, seq: int) -> Line | None:
        return None

    patch(journal.segment, "proof_of_durability", proof)


def head_bears_no_witness(patch: Patch) -> None:
    """What HEAD vouches for is not asked; so the last line can go unnoticed."""

    def beyond(*found: object) -> list[object]:
        return []

    patch(journal.observe, "_beyond", beyond)


def d_runs_ahead(patch: Patch) -> None:
    """Each line says that the one before it is durable, also within a batch."""

    def encode(drafts: Sequence[Draft], seq: int, times: bytes, running: int) -> tuple[bytes, int]:
        at = int(times[6 : times.index(b',"d"')])
        lines = b""
        for number, draft in enumerate(drafts, start=seq):
            line, running = encode_lines((draft,), number, time_part(at, number - 1), running)
            lines += line
        return lines, running

    patch(journal.writer, "encode_lines", encode)


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


MUTATIONS: dict[str, Callable[[Patch], None]] = {
    mutation.__name__: mutation
    for mutation in (
        acknowledged_before_sync,
        no_directory_sync,
        head_before_sync,
        clean_looking_tail_kept_in_place,
        seal_unsynced,
        any_later_line_is_proof,
        no_later_line_is_proof,
        head_bears_no_witness,
        d_runs_ahead,
        failed_sync_is_tried_again,
        new_file_renamed_unsynced,
        reader_shows_what_is_written,
    )
}
