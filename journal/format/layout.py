"""The names in a journal's directory, each matched by a strict pattern.

```
DIR/
  LOCK                              held by the writer; never unlinked
  HEAD                              the durable watermark
  COPY                              this is a copy that was not opened yet
  00000000000000000001.jsonl        a segment; the name is the seq of its first line
  snapshot-00000000000000031000.jsonl
  archive/00000000000000000001-00000000000000020480.jsonl.gz     a compacted segment, or .zst
  quarantine/                       what recovery set aside
  *.tmp                             garbage of an interrupted step
```
A name that fits no pattern is reported and never touched. One that fits and stands for something
else (a directory where a file belongs, a pipe) is damage: nothing is read or written beside it.
"""

import re
from pathlib import Path

from msgspec import Struct

from ackbook.journal.errors import Corrupt, Damage
from ackbook.journal.next_step import verify_step
from ackbook.journal.storage.file_status import EntryKind
from ackbook.journal.storage.files import Files

LOCK = "LOCK"
HEAD = "HEAD"
COPY = "COPY"
ARCHIVE = "archive"
QUARANTINE = "quarantine"

_SEGMENT = re.compile(r"([0-9]{20})\.jsonl")
_SNAPSHOT = re.compile(r"snapshot-([0-9]{20})\.jsonl")
_ARCHIVE = re.compile(r"([0-9]{20})-([0-9]{20})\.jsonl\.(?:gz|zst)")
_TEMPORARY = re.compile(
    r"(HEAD|LOCK|COPY|[0-9]{20}\.jsonl|snapshot-[0-9]{20}\.jsonl)(\.[0-9]+)?\.tmp"
)
_FOLDERS = (ARCHIVE, QUARANTINE)
_KNOWN = frozenset({LOCK, HEAD, COPY, ARCHIVE, QUARANTINE})


class Archived(Struct, frozen=True, order=True):
    """A compacted segment: the seqs of its first and last line, and its name in `archive/`."""

    first: int
    last: int
    name: str


class Listing(Struct, frozen=True):
    """What lies in a directory: segments, snapshots and archives by seq, ascending."""

    segments: tuple[int, ...] = ()
    snapshots: tuple[int, ...] = ()
    archives: tuple[Archived, ...] = ()
    has_head: bool = False
    has_copy_mark: bool = False
    temporary: tuple[str, ...] = ()
    remains: tuple[str, ...] = ()
    """Files of `archive/` and `quarantine/`: proof that there was a journal here."""
    unknown: tuple[str, ...] = ()


def segment_name(base: int) -> str:
    """The name of the segment whose first line is `base`."""
    return f"{base:020d}.jsonl"


def snapshot_name(seq: int) -> str:
    """The name of the snapshot of everything up to `seq`."""
    return f"snapshot-{seq:020d}.jsonl"


def archive_name(first: int, last: int, suffix: str) -> str:
    """The name in `archive/` of the segment that holds these seqs."""
    return f"{first:020d}-{last:020d}.jsonl.{suffix}"


def list_directory(files: Files, directory: Path) -> Listing:
    """Sort the names; an absent directory is an empty one. Raises `Corrupt` where a name stands
    for something that it cannot stand for."""
    try:
        kinds = files.entries(directory)
    except FileNotFoundError:
        return Listing()
    names = sorted(kinds)
    _check_kinds(directory, "", kinds)
    segments = [int(m[1]) for m in map(_SEGMENT.fullmatch, names) if m]
    snapshots = [int(m[1]) for m in map(_SNAPSHOT.fullmatch, names) if m]
    inside = [
        f"{part}/{name}"
        for part in _FOLDERS
        if part in kinds
        for name in _names_inside(files, directory, part)
    ]
    temporary = [name for name in names if _TEMPORARY.fullmatch(name)]
    temporary += [name for name in inside if name.endswith(".tmp")]
    return Listing(
        segments=tuple(segments),
        snapshots=tuple(snapshots),
        archives=tuple(sorted(filter(None, map(_read_archive_name, inside)))),
        has_head=HEAD in names,
        has_copy_mark=COPY in names,
        temporary=tuple(temporary),
        remains=tuple(name for name in inside if name not in temporary),
        unknown=tuple(name for name in names if not _is_known(name)),
    )


def cut_name(base: int, offset: int, checksum: int) -> str:
    """Where the bytes that were cut off a segment at `offset` are kept. The same cut has the same
    name, so that a recovery that is interrupted and done again leaves one file."""
    return f"cut-{base:020d}-{offset}-{checksum:08x}.bytes"


def _names_inside(files: Files, directory: Path, part: str) -> list[str]:
    kinds = files.entries(directory / part)
    _check_kinds(directory, f"{part}/", kinds)
    return sorted(kinds)


def _check_kinds(directory: Path, part: str, kinds: dict[str, EntryKind]) -> None:
    for name, kind in kinds.items():
        wanted = "directory" if not part and name in _FOLDERS else "file"
        if kind == wanted:
            continue
        if _read_archive_name(part + name) if part else _is_known(name):
            found = {"file": "a file", "directory": "a directory", "other": "neither of the two"}
            what = f"a {wanted} belongs here, and this is {found[kind]}"
            following = verify_step(directory, "move it away, then ")
            raise Corrupt(Damage(part + name, 0, 0, what, "", following))


def _read_archive_name(name: str) -> Archived | None:
    folder, _, name = name.partition("/")
    match = _ARCHIVE.fullmatch(name)
    if folder != ARCHIVE or match is None:
        return None
    return Archived(int(match[1]), int(match[2]), name)


def _is_known(name: str) -> bool:
    patterns = (_SEGMENT, _SNAPSHOT, _TEMPORARY)
    return name in _KNOWN or any(pattern.fullmatch(name) for pattern in patterns)
