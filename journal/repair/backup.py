"""Copies a journal to a new directory while it is being written; the copy opens like any other.

The copy ends at a line that was durable when the copying began: segments that are sealed, the tail
up to that line, the snapshots and archives that belong to it, a HEAD that vouches for it, and the
mark of a copy, so that it goes on as a history of its own however often it is put back. Each line
is checked while it is copied, every file is synced, and the whole is verified before it gets its
name. So what has that name is good, whatever happened meanwhile.

It takes no lock. When the front is compacted away under its feet it begins again.
"""

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from ackbook.journal.errors import Corrupt, Damage, DiskFailed
from ackbook.journal.format.copy_mark import CopyMark, write_mark
from ackbook.journal.format.head import SLOT_BYTES, Mark, encode_mark
from ackbook.journal.format.layout import ARCHIVE, HEAD, LOCK, list_directory, segment_name
from ackbook.journal.format.record import Position, parse_line
from ackbook.journal.limits import Limits
from ackbook.journal.maintenance.head_token import HeadToken, token_of_end
from ackbook.journal.maintenance.verify import verify
from ackbook.journal.next_step import NextStep, salvage_step, verify_step
from ackbook.journal.reading.blocks import LinePosition, SegmentBlocks, between
from ackbook.journal.recovery.restore import refuse
from ackbook.journal.recovery.survey import survey
from ackbook.journal.repair.atomic_directory import begin_directory, publish_directory
from ackbook.journal.storage.files import Files, OsFiles, install, read_whole, write_all

_TRIES_MAX = 5
"""Compactions are minutes apart and a copy begins again in seconds."""


class BackupReport(Struct, frozen=True):
    """What the new directory holds. `head` is the token of its last line."""

    directory: Path
    head: HeadToken
    segments: int
    snapshots: int
    archives: int
    bytes: int


def backup(
    source: Path,
    target: Path,
    *,
    kinds: frozenset[str] | None = None,
    files: Files | None = None,
) -> BackupReport:
    """Copy the journal in `source` to `target`, which must not be there yet, or be empty.

    Raises `Corrupt`, `Lost` or `NewerFormat` where the source is damaged (a torn tail is no
    damage: the copy ends before it), and `TargetTaken`; then there is no target. `DiskFailed` when
    files go away beneath each try: a compaction that is quicker than the copy.
    """
    files = files or OsFiles()
    source, target = source.absolute(), target.absolute()
    live = files.locked(source / LOCK)
    found = survey(files, source, live=live, kinds=kinds, archives=True)
    refuse(found, Limits(), accept_cut=True)
    for _ in range(_TRIES_MAX):
        partial = begin_directory(files, target)
        copy = _Copy(files, source, partial)
        try:
            report = copy.run(target)
        except FileNotFoundError:
            continue
        _check(files, partial, report.head, kinds)
        publish_directory(files, partial, target)
        return report
    raise DiskFailed(f"{source} changes faster than it can be copied", "try again")


class _Copy:
    """One attempt."""

    def __init__(self, files: Files, source: Path, partial: Path) -> None:
        self._files = files
        self._source = source
        self._partial = partial
        self._bytes = 0

    def run(self, target: Path) -> BackupReport:
        """Raises `FileNotFoundError` when a file went away meanwhile."""
        head = token_of_end(self._source, files=self._files)
        if head is None:
            what = "there is no record that could be copied"
            following = verify_step(self._source)
            raise Corrupt(Damage(str(self._source), 0, 0, what, "", following))
        listing = list_directory(self._files, self._source)
        bases = [base for base in listing.segments if base <= head.seq]
        last = Position()
        for base in bases:
            last = self._copy_segment(base, head.seq)
        snapshots = self._copy_files(
            f"snapshot-{seq:020d}.jsonl" for seq in listing.snapshots if seq <= head.seq
        )
        archives = [f"{ARCHIVE}/{each.name}" for each in listing.archives]
        if archives:
            self._files.make_dir(self._partial / ARCHIVE)
        mark = encode_mark(Mark(head.journal, last.seq, last.crc, closed=False))
        install(self._files, self._partial / HEAD, mark + b" " * (SLOT_BYTES - 1) + b"\n")
        write_mark(self._files, self._partial, CopyMark(head.journal, last.seq, "backup"))
        return BackupReport(
            target, head, len(bases), snapshots, self._copy_files(archives), self._bytes
        )

    def _copy_segment(self, base: int, through: int) -> Position:
        """The lines of one segment up to `through`, each checked; its last line."""
        path = self._source / segment_name(base)
        blocks = SegmentBlocks(self._files, path, LinePosition(base, base))
        target = self._files.open(self._partial / segment_name(base), "create")
        last, offset = Position(), 0
        try:
            for block in blocks:
                data = between(block, base - 1, through)
                write_all(self._files, target, offset, data)
                offset += len(data)
                line = parse_line(data[data.rfind(b"\n", 0, -1) + 1 : -1])
                assert line is not None, "the block was verified"
                last = Position(line.seq, line.at, line.crc)
                if block.last.seq >= through:
                    break
            self._files.sync(target)
        finally:
            self._files.close(target)
        self._bytes += offset
        if blocks.wrong is not None and last.seq < through:
            place, following = blocks.place, salvage_step(self._source)
            what = f"it cannot be copied: {blocks.wrong}"
            damage = Damage(path.name, place.count + 1, place.offset, what, "", following)
            raise Corrupt(damage)
        return last

    def _copy_files(self, names: Iterable[str]) -> int:
        count = 0
        for name in names:
            content = read_whole(self._files, self._source / name)
            install(self._files, self._partial / name, content)
            self._bytes += len(content)
            count += 1
        return count


def _check(files: Files, partial: Path, head: HeadToken, kinds: frozenset[str] | None) -> None:
    """Read the copy back. Raises `Corrupt` when it is not what was to be copied."""
    found = verify(partial, kinds=kinds, files=files)
    if found.damage:
        raise Corrupt(found.damage[0])
    if token_of_end(partial, files=files) != head:
        what = "the copy ends elsewhere than it should"
        following = NextStep("look after the disk; try again")
        raise Corrupt(Damage(str(partial), 0, 0, what, str(head), following))
