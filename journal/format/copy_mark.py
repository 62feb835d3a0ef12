"""The mark in a directory that was made as a copy: the file `COPY`.

```
{"journal":"5eed","seq":42,"made_by":"backup"}
```
`seq` is that of the last line when the copy was made. While it is there, the next start begins a
history of its own: the journal may have gone on elsewhere from the same record, or another copy of
this copy may. Whatever stands in it, it is a mark.
"""

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from ackbook.journal.format.layout import COPY
from ackbook.journal.format.record import UNREADABLE
from ackbook.journal.storage.files import Files, install, read_whole


class CopyMark(Struct, frozen=True):
    """Which journal was copied up to which record, and by which command."""

    journal: str
    seq: int
    made_by: Literal["backup", "salvage"]


def write_mark(files: Files, directory: Path, mark: CopyMark) -> None:
    """Mark this directory. Raises `OSError`."""
    install(files, directory / COPY, msgspec.json.encode(mark) + b"\n")


def read_mark(files: Files, directory: Path) -> CopyMark | None:
    """What the mark says; None where it cannot be understood. Raises `OSError`."""
    try:
        return msgspec.json.decode(read_whole(files, directory / COPY), type=CopyMark)
    except UNREADABLE:
        return None
