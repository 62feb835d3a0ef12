"""What may happen to a journal that nobody writes: a byte rots, or old files come back.

Each is done to a `Story` between two of its lives, judged, and taken back. The promise: either
somebody says so (a start refuses, a reader names what it could not give), or nothing that was
promised is missing.
"""

from pathlib import Path

from ackbook.journal import JournalError, Reader
from ackbook.journal.errors import SnapshotUnusable
from ackbook.journal.format.head import SLOT_BYTES, read_head
from ackbook.journal.format.layout import ARCHIVE, list_directory
from tests.journal.promises import DIRECTORY, Broken, numbers_of, state_of
from tests.journal.story import Story


def rot(story: Story) -> None:
    """One byte of one file changes while nobody writes. Either somebody says so, or nothing
    that was promised is missing. Sometimes HEAD cannot be read, either: then only lines can bear
    witness, and the last batch has none. Afterwards everything is put back."""
    assert story.log is None
    story.disk.clear_faults()
    lines = list(Reader(DIRECTORY, files=story.disk).lines())
    path = story.random.choice(_files_of_history(story))
    before = story.disk.content(path)
    position = story.random.randrange(max(1, len(before.rstrip(b"\n"))))
    flipped = before[position] ^ (1 << story.random.randrange(8))
    saved = story.disk.snapshot()
    story.disk.overwrite(path, before[:position] + bytes([flipped]) + before[position + 1 :])
    if story.random.random() < 0.3:
        story.disk.overwrite(DIRECTORY / "HEAD", b"\xff" * 2 * SLOT_BYTES)
    witnessed = True
    if path.name[0] == "0" and path.parent == DIRECTORY:
        # After a power cut HEAD may be as old as its last sync, and vouch for no more than that.
        seq = int(path.stem) + before.count(b"\n", 0, position)
        vouched = max((line.d for line in lines), default=0)
        witnessed = max(vouched, read_head(story.disk, DIRECTORY).seq) >= seq
    _judge(story, f"byte {position} of {path.name} changed", witnessed)
    story.disk.restore(saved)


def restore_backup(story: Story) -> None:
    """Somebody copies older segments over the newer ones and leaves the rest as it is: HEAD
    says so, or a snapshot, or an archive. Afterwards everything is put back."""
    assert story.log is None
    story.disk.clear_faults()
    listing = list_directory(story.disk, DIRECTORY)
    newer = {
        path: story.disk.content(path)
        for path in _files_of_history(story)
        if path.parent == DIRECTORY and path.name[0] == "0"
    }
    if not story.backup or newer == story.backup:
        return
    story.tally["backups_restored"] += 1
    saved = story.disk.snapshot()
    for path in newer:
        story.disk.remove(path)
    for path, content in story.backup.items():
        story.disk.overwrite(path, content)
    last = Reader(DIRECTORY, files=story.disk).head()
    witnesses = [*listing.snapshots, *(archive.last for archive in listing.archives)]
    if story.random.random() < 0.5:
        story.disk.overwrite(DIRECTORY / "HEAD", b"\xff" * 2 * SLOT_BYTES)
    else:
        # After a power cut HEAD may be as old as its last sync, and vouch for no more than that.
        witnesses.append(read_head(story.disk, DIRECTORY).seq)
    witnessed = max(witnesses, default=0) > last
    _judge(story, f"the segments are those of {last}", witnessed)
    story.disk.restore(saved)


def _judge(story: Story, what: str, witnessed: bool) -> None:
    try:
        log = story.opened(story.disk, story.clock)
    except JournalError:
        story.tally["damage_refused"] += 1
        return
    try:
        state, said = state_of(story.disk, log)
    except SnapshotUnusable:
        state, said = [], True
    log.close()
    reader = Reader(DIRECTORY, files=story.disk)
    known = {n for n in story.promised if story.seqs[n] >= reader.first_seq}
    seen = numbers_of(reader.lines())
    if witnessed and not said and state[: len(story.promised)] != story.promised:
        raise Broken("silent", f"{what}; a start has {state}")
    if witnessed and not reader.damage and not known.issubset(seen):
        raise Broken("silent", f"{what}; a reader has {seen}")
    story.tally["damage_passed"] += 1


def _files_of_history(story: Story) -> list[Path]:
    names = [name for name in story.disk.entries(DIRECTORY) if name.endswith(".jsonl")]
    found = [DIRECTORY / name for name in sorted(names)]
    if ARCHIVE in story.disk.entries(DIRECTORY):
        folder = DIRECTORY / ARCHIVE
        found += [
            folder / name
            for name in sorted(story.disk.entries(folder))
            if name[0] == "0" and not name.endswith(".tmp")
        ]
    return found
