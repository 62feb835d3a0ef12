"""Finishes, at a start, what an interrupted compaction or write left half done.

The record `journal.compacted` is the turning point. What it says is removed may go, in any order
and more than once, since its archive was durable before the record was; so a start that finds it
removes what is left. An archive of a segment that no record has removed is the other half: it is
undone, and made again by the next compaction. Called under the lock, after the tail is known to be
on the disk.
"""

import contextlib
from pathlib import Path

from ackbook.journal.format.control import Reach
from ackbook.journal.format.layout import ARCHIVE, Listing, segment_name
from ackbook.journal.storage.files import Files


def left_over(listing: Listing, reach: Reach) -> tuple[str, ...]:
    """The names of everything that a start removes, in order."""
    undone = [
        f"{ARCHIVE}/{each.name}"
        for each in listing.archives
        if each.first >= reach.kept_from and each.first in listing.segments
    ]
    return (*removed_by(listing, reach), *undone)


def removed_by(listing: Listing, reach: Reach) -> tuple[str, ...]:
    """What is still there and removed by a record: segments before archives, oldest first."""
    segments = [segment_name(base) for base in listing.segments if base < reach.kept_from]
    archives = [f"{ARCHIVE}/{e.name}" for e in listing.archives if e.last < reach.archived_from]
    return (*segments, *archives)


def remove(files: Files, directory: Path, names: tuple[str, ...]) -> None:
    """Delete these, in this order, and make that durable."""
    folders = dict.fromkeys((directory / name).parent for name in names)
    for name in names:
        discard(files, directory / name)
    for folder in folders:
        files.sync_dir(folder)


def discard(files: Files, path: Path) -> None:
    """Delete what nobody needs. A worker that outlived its broker may have given a `.tmp` its name
    a moment ago; then there is nothing left to delete."""
    with contextlib.suppress(FileNotFoundError):
        files.unlink(path)
