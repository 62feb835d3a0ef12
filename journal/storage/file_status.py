"""File status: which file it is, whatever it is called by now."""

from typing import Literal, NamedTuple

EntryKind = Literal["file", "directory", "other"]
"""Of what a name stands for, links followed; a pipe or a link into nowhere is an `other`."""


class FileStatus(NamedTuple):
    """What a file or directory is, whatever it is called; `links` are the names that it has."""

    device: int
    inode: int
    links: int

    def is_same(self, other: "FileStatus | None") -> bool:
        """Whether both are of one file: at a time, no two have the same numbers."""
        return other is not None and self[:2] == other[:2]
