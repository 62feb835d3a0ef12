"""The bundle: one file with a slice of a journal and what is needed to open it anywhere.

| member | what |
|---|---|
| `manifest.json` | which records of which journal, what made it, what was redacted, sums |
| `slice.jsonl` | the lines: byte for byte as they stood or, redacted, with checksums of their own |
| `world.jsonl` | the state before the first of them, one line an entity |
| `screens.jsonl` | what stood on screens when evidence was taken |

It is a gzipped tar. Opened, it is a directory that holds a journal, which every tool reads that
reads one; what is in it was written by strangers, so members are taken by name, within bounds, and
nothing is extracted to where it says.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.journal import JournalError, Line
from ackbook.journal.repair.slices import Slice, check_slice, rebuild_slice
from ackbook.projections.codec import Entry, decode
from ackbook.projections.world.fold import World
from ackbook.projections.world.serialization import load
from ackbook.tools.cli.atomic_file import whole_file
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.place import OfBundle
from ackbook.tools.history.captures import SCREENS
from ackbook.tools.history.journal import as_failure

BUNDLE_FORMAT = 1
"""A version that reads a higher one in a manifest says that a newer version made the bundle."""

MANIFEST, SLICE, WORLD = "manifest.json", "slice.jsonl", "world.jsonl"
MEMBER_BYTES_MAX = 4 * 1024**3
"""More than anybody passes on, and less than fills a disk unseen."""

MANIFEST_BYTES_MAX = 16 * 1024**2
"""It is read whole, and a bundle may come from strangers."""


class Member(msgspec.Struct, frozen=True):
    """What a member has to be."""

    bytes: int
    sha256: str


class Neighbour(msgspec.Struct, frozen=True):
    """A line beside the slice: whoever has the journal can see that it is there."""

    seq: int
    crc: str


class Redaction(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken out: in words, and how many of each kind. `undecidable`: the first record of
    each decision that cannot be made again without it."""

    statement: str
    replaced: dict[str, int]
    undecidable: tuple[int, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle says of itself. `before` and `after` are the lines beside the slice; a redacted
    bundle names none behind it, since its checksum would let anybody test guesses of what was
    taken out. `left_out`: records that the story leans on and that lie too far back."""

    bundle: int
    made_by: str
    made_at: int
    python: str
    platform: str
    asked: str | None
    journal: str
    first: int
    last: int
    fold: int
    before: Neighbour | None
    after: Neighbour | None
    left_out: tuple[int, ...]
    policy: dict[str, object]
    brokers: tuple[str, ...]
    verify: dict[str, object]
    redaction: Redaction | None
    files: dict[str, Member]

    @property
    def part(self) -> Slice:
        """The slice as the journal knows it."""
        crc = "00000000" if self.before is None else self.before.crc
        return Slice(self.journal, self.first, self.last, crc)

    def of(self, path: Path) -> OfBundle:
        """What a command has to know of the bundle at this path."""
        undecidable = () if self.redaction is None else self.redaction.undecidable
        return OfBundle(path, self.first, self.last, frozenset(undecidable))


def member_of(path: Path) -> Member:
    """What the manifest says of this file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return Member(path.stat().st_size, digest.hexdigest())


def pack_bundle(target: Path, directory: Path, manifest: Manifest) -> None:
    """Write the members that lie in `directory`, and the manifest before them. Raises OSError."""
    with whole_file(target) as partial, tarfile.open(partial, mode="w:gz") as tar:
        told = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        tar.addfile(_header(MANIFEST, len(told), manifest), io.BytesIO(told))
        for name, member in manifest.files.items():
            with (directory / name).open("rb") as content:
                tar.addfile(_header(name, member.bytes, manifest), content)


def _header(name: str, size: int, manifest: Manifest) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = size, 0o600, manifest.made_at // 1_000_000
    return header


def unpack_bundle(path: Path, directory: Path) -> Manifest:
    """The members as files in `directory`, each as the manifest says.

    Raises `Failure` where the file is no bundle, is not what its manifest says, or was made by a
    newer version, and OSError where it or the directory cannot be used at all.
    """
    try:
        with tarfile.open(path, "r:gz") as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST or first.size > MANIFEST_BYTES_MAX:
                raise _no_bundle(path, f"it does not begin with {MANIFEST}")
            manifest = _read_manifest(path, _content(tar, first).read())
            for header in tar:
                member = manifest.files.get(header.name)
                if header.name == MANIFEST:
                    continue
                if member is None or header.name not in (SLICE, WORLD, SCREENS):
                    raise _no_bundle(path, "it holds what its manifest does not name")
                fits = header.size == member.bytes <= MEMBER_BYTES_MAX
                if not (header.isreg() and fits):
                    raise _no_bundle(path, f"{header.name} is not what its manifest says")
                _copy(_content(tar, header), directory / header.name)
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _no_bundle(path, str(error)) from None
    for name, member in manifest.files.items():
        if not (directory / name).is_file() or member_of(directory / name) != member:
            raise Failure(ExitCode.CORRUPT, f"{path}: {name} is not what was put into it")
    return manifest


def open_bundle(path: Path, directory: Path) -> Manifest:
    """The same, and `journal/` beside them. Raises what `unpack_bundle` raises, and
    `Failure` where its records make no journal."""
    manifest = unpack_bundle(path, directory)
    world = directory / WORLD
    try:
        rebuild_slice(
            manifest.part,
            slice_lines(manifest, directory),
            directory / "journal",
            state=_lines(world) if world.is_file() else (),
            fold_version=manifest.fold,
        )
    except JournalError as problem:
        raise as_failure(problem) from None
    return manifest


def opened_slice(directory: Path) -> tuple[World, Iterator[Entry]]:
    """The state before the slice and its entries, as the members that lie in `directory` say."""
    world = directory / WORLD
    begun = load([world.read_bytes()]) if world.is_file() else World()
    return begun, map(decode, _lines(directory / SLICE))


def slice_lines(manifest: Manifest, directory: Path) -> Iterator[Line]:
    """The lines of an unpacked slice, each checked. Raises `Corrupt` at the first that is not good
    or not there, so what was taken till then is good."""
    return check_slice(manifest.part, _lines(directory / SLICE), SLICE)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            yield line.removesuffix(b"\n")


def _read_manifest(path: Path, content: bytes) -> Manifest:
    try:
        told = msgspec.json.decode(content, type=dict[str, object]).get("bundle")
        if isinstance(told, int) and told > BUNDLE_FORMAT:
            raise Failure(
                ExitCode.NEWER_FORMAT, f"{path} was made by a newer version", "use that version"
            )
        return msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise _no_bundle(path, str(error)) from None


def _content(tar: tarfile.TarFile, header: tarfile.TarInfo) -> io.BufferedReader:
    content = tar.extractfile(header)
    if content is None:
        raise tarfile.TarError(f"{header.name} is no file")
    assert isinstance(content, io.BufferedReader)
    return content


def _copy(content: io.BufferedReader, target: Path) -> None:
    with target.open("xb") as file:
        while piece := content.read(1024 * 1024):
            file.write(piece)


def _no_bundle(path: Path, why: str) -> Failure:
    return Failure(
        ExitCode.CORRUPT, f"{path} is no bundle: {why}", "make one with: ackbook bundle ID"
    )
