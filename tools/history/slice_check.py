"""Checks a bundle, alone or against the journal that it says it is of.

Alone: every member is as its manifest says, every line has its place and its checksum, every record
a known shape, and the state before them is one that they go on from. Against a journal: each line
is the journal's, byte for byte or, redacted, in everything that was not taken out, and the line
before the slice has the checksum that the bundle names. That nobody changed what was taken out and
what replaced it is not shown, nor can it be without the salt, which nobody has.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.journal import JournalError, Line, Reader
from ackbook.projections.codec import decode
from ackbook.projections.redaction import Redactor
from ackbook.projections.world.fold import World, fold
from ackbook.projections.world.serialization import UnreadableWorld, load
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.output import bold, dim, emit, good, plain, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.history.bundle_file import WORLD, Manifest, slice_lines, unpack_bundle
from ackbook.tools.history.journal import as_failure


def verify_slice(path: Path, against: Place | None, *, as_json: bool) -> int:
    """Check it and say so; the exit code. Raises `Failure` with what is wrong: with the file, with
    a record in it, or with how it differs from the journal that it is put `against`; OSError where
    the file cannot be read at all."""
    with tempfile.TemporaryDirectory(prefix="ackbook-") as name:
        directory = Path(name)
        manifest = unpack_bundle(path, directory)
        try:
            _check_alone(path, manifest, directory)
            if against is not None:
                _check_against(path, manifest, directory, against.journal())
        except JournalError as problem:
            raise as_failure(problem) from None
    _show(path, manifest, against, as_json=as_json)
    return ExitCode.DONE


def _check_alone(path: Path, manifest: Manifest, directory: Path) -> None:
    world = _world(path, manifest, directory)
    for line in slice_lines(manifest, directory):
        try:
            fold(world, decode(line.raw))
        except msgspec.DecodeError as error:
            raise Failure(
                ExitCode.NEWER_FORMAT,
                f"{path}: record {line.seq} has a shape that this version does not know ({error})",
                "use the version that wrote it, or a later one",
            ) from None


def _world(path: Path, manifest: Manifest, directory: Path) -> World:
    state = directory / WORLD
    if not state.is_file():
        if manifest.first == 1:
            return World()
        raise Failure(ExitCode.CORRUPT, f"{path} has no state before record {manifest.first}")
    try:
        world = load([state.read_bytes()], manifest.fold)
    except UnreadableWorld as error:
        raise Failure(
            ExitCode.NEWER_FORMAT, f"{path}: {error}", "use the version that made it"
        ) from None
    if world.seq != manifest.first - 1:
        raise Failure(ExitCode.CORRUPT, f"{path}: the state is that of record {world.seq}")
    return world


def _check_against(path: Path, manifest: Manifest, directory: Path, journal: Path) -> None:
    reader = Reader(journal)
    if reader.journal_id != manifest.journal:
        raise _differs(path, f"it is of journal {manifest.journal}, not {reader.journal_id}")
    for beside in (manifest.before, manifest.after):
        line = None if beside is None else next(reader.lines(beside.seq - 1, beside.seq), None)
        if beside is not None and (line is None or line.crc != beside.crc):
            raise _differs(path, f"record {beside.seq} there has another checksum, or is missing")
    originals = reader.lines(manifest.first - 1, manifest.last)
    for line in slice_lines(manifest, directory):
        original = next(originals, None)
        if original is None or _compared(original, manifest) != _compared(line, manifest):
            raise _differs(path, f"record {line.seq} is another one there, or is missing")


def _compared(line: Line, manifest: Manifest) -> object:
    """What a line and its redaction have in common; all of it where nothing was redacted."""
    if manifest.redaction is None:
        return line.raw
    blank = Redactor(None)
    by = None if line.by is None else blank.json(line.by)
    return line.seq, line.at, line.d, line.kind, line.cause, blank.json(line.data), by


def _differs(path: Path, what: str) -> Failure:
    return Failure(ExitCode.CORRUPT, f"{path} is not of this journal: {what}")


def _show(path: Path, manifest: Manifest, against: Place | None, *, as_json: bool) -> None:
    redacted = manifest.redaction is not None
    if as_json:
        emit(
            {
                "ok": True,
                "journal": manifest.journal,
                "first_seq": manifest.first,
                "last_seq": manifest.last,
                "redacted": redacted,
                "against": None if against is None else str(against.directory),
            }
        )
        return
    count = manifest.last - manifest.first + 1
    extent = f"records {manifest.first} to {manifest.last}"
    tell(f"{bold(plain(str(path)))}: {good('good')}, {extent} {dim(f'({count})')}")
    if redacted:
        tell("  redacted: checksums are those of the redacted lines")
    if against is not None:
        same = "except for what was taken out, " if redacted else "byte for byte "
        tell(f"  {same}these are the records of {against.directory}")
