"""Makes the archive of a sealed segment: a packed copy that is durable before the segment may go.

The segment is read and checked whole (what is damaged is not archived, and so not removed), packed,
written as `.tmp`, synced, renamed, its name synced, read back, unpacked and compared. It takes no
lock and changes nothing but `archive/`, so it may run in a process of its own (`archive_worker`)
while the writer goes on.
"""

from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from ackbook.journal.errors import AttemptFailed
from ackbook.journal.format.compression import PackUnreadable, pack, unpack
from ackbook.journal.format.layout import ARCHIVE, archive_name, segment_name
from ackbook.journal.next_step import verify_step
from ackbook.journal.recovery.inspect_sealed import in_memory, look_at_sealed
from ackbook.journal.storage.files import Files, OsFiles, install, read_whole


class ArchiveFile(Struct, frozen=True):
    """An archive that was read back: the proof that its segment may go. `bytes` are the packed
    ones, `sha256` is that of the content."""

    first: int
    last: int
    name: str
    bytes: int
    segment_bytes: int
    sha256: str


def archive_segment(
    directory: Path, base: int, *, maker: int = 0, files: Files | None = None
) -> ArchiveFile:
    """Archive one segment. Raises `AttemptFailed` when it is not whole or the disk refuses; the
    journal is unharmed, and what is left over is garbage for the next start. Whoever does not hold
    the lock is a `maker` with a number of its own: two of them do not get into each other's way,
    since the same segment gives the same archive."""
    files = files or OsFiles()
    directory = directory.absolute()
    segment = segment_name(base)
    try:
        content = read_whole(files, directory / segment)
        look = look_at_sealed(in_memory(content), base, None, full=True)
        if look.flaws or look.last is None:
            why = look.flaws[0].what if look.flaws else "it is empty"
            raise AttemptFailed(
                f"{segment} is damaged and was not archived: {why}",
                verify_step(None, after=" says more"),
            )
        suffix, packed = pack(content)
        name = archive_name(base, look.last.seq, suffix)
        files.make_dir(directory / ARCHIVE)
        install(files, directory / ARCHIVE / name, packed, maker=maker)
        digest = sha256(content).hexdigest()
        again = unpack(name, read_whole(files, directory / ARCHIVE / name))
        if sha256(again).hexdigest() != digest:
            raise AttemptFailed(f"{name} does not read back as it was written", "try again later")
    except (OSError, PackUnreadable) as error:
        raise AttemptFailed(f"{segment} was not archived: {error}", "try again later") from error
    return ArchiveFile(base, look.last.seq, name, len(packed), len(content), digest)
