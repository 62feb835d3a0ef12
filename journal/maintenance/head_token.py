"""A head token: a few bytes, kept elsewhere, that fix all history up to the line they name.

```
<journal id>.<seq>.<sha256 of the segment from its first byte through that line>
```
The first line of a segment holds the sha256 of the one before, so the token fixes that one, too,
and so on to the first. Whoever keeps a token can show later that the journal still ends there or
beyond (it was not rolled back) and that nothing before it was changed (it was not rewritten), also
after the segment was sealed and others have followed.

The checksums of the lines say that a disk kept its bytes; the token says it of a hand that can
compute checksums. It says nothing of what came after it.
"""

import re
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from ackbook.journal.errors import (
    Corrupt,
    Damage,
    DamageFound,
    Lost,
    OutOfReach,
)
from ackbook.journal.format.control import SegmentStarted, read_control
from ackbook.journal.format.layout import LOCK, list_directory
from ackbook.journal.format.record import parse_line
from ackbook.journal.limits import Limits
from ackbook.journal.next_step import NextStep, Remedy, salvage_step, verify_step
from ackbook.journal.reading.blocks import LinePosition, SegmentBlocks, between
from ackbook.journal.reading.reader import Reader
from ackbook.journal.reading.sources import Source, readable, sources_of
from ackbook.journal.recovery.restore import refuse
from ackbook.journal.recovery.survey import survey
from ackbook.journal.storage.files import Files, OsFiles

_TOKEN = re.compile(r"([0-9a-f]{1,32})\.([1-9][0-9]{0,12})\.([0-9a-f]{64})")


class HeadToken(Struct, frozen=True):
    """The line `seq` of one journal, and everything before it."""

    journal: str
    seq: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.journal}.{self.seq}.{self.sha256}"


def parse_token(text: str) -> HeadToken | None:
    """The token that is written here; None when it is none."""
    match = _TOKEN.fullmatch(text.strip())
    return HeadToken(match[1], int(match[2]), match[3]) if match else None


def head_token(
    directory: Path, *, kinds: frozenset[str] | None = None, files: Files | None = None
) -> HeadToken | None:
    """The token of the last durable line, also while a writer is at work; None without a line.

    It vouches for all history, so all of it is checked first, archives and each sha256 included.
    Raises `Corrupt`, `Lost` or `NewerFormat` where anything is damaged or missing. An end that was
    never acknowledged is no damage: the token ends before it.
    """
    files = files or OsFiles()
    live = files.locked(directory / LOCK)
    found = survey(files, directory, live=live, kinds=kinds, full=True, archives=True)
    refuse(found, Limits(), accept_cut=True)
    return token_of_end(directory, files=files)


def token_of_end(directory: Path, *, files: Files | None = None) -> HeadToken | None:
    """The same for one who has checked the history already: only the last segment is read."""
    files = files or OsFiles()
    reader = Reader(directory, files=files)
    seq, journal = reader.head(), reader.journal_id
    if not seq or journal is None:
        return None
    source = _source_of(files, directory, seq)
    digest = _digest_through(files, directory, source, seq) if source else None
    return HeadToken(journal, seq, digest) if digest else None


def check_token(
    directory: Path, token: HeadToken, *, files: Files | None = None
) -> DamageFound | None:
    """None when everything up to the token is what it was when the token was made.

    Otherwise the error to end with: `Lost` when the journal was rolled back, `Corrupt` when it was
    rewritten or is another one, `OutOfReach` when that part of it is gone by now.
    """
    files = files or OsFiles()
    reader = Reader(directory, files=files)
    journal, last = reader.journal_id, reader.head()
    if journal is not None and journal != token.journal:
        what, proof = "this is another journal", f"the token is of {token.journal}, this {journal}"
        following = verify_step(directory, "name the directory of that journal, then ")
        return Corrupt(_wrong(directory, what, proof, following))
    if token.seq > last:
        what = f"the journal was rolled back: records {last + 1} to {token.seq} are gone"
        proof = f"the token vouches for {token.seq}, the last record is {last}"
        following = verify_step(directory, "bring back a later backup, then ")
        return Lost(_wrong(directory, what, proof, following))
    source = _source_of(files, directory, token.seq)
    if source is None:
        what, proof = f"record {token.seq} is no longer here", f"the oldest is {reader.first_seq}"
        following = NextStep("keep a newer token: ", Remedy.HEAD_TOKEN)
        return OutOfReach(_wrong(directory, what, proof, following))
    digest = _digest_through(files, directory, source, token.seq)
    if digest != token.sha256:
        what = f"the history up to record {token.seq} was rewritten"
        found = f"it is {digest}" if digest else "it cannot be read that far"
        proof = f"sha256 {token.sha256} in the token, here {found}"
        return Corrupt(Damage(source.name, 0, 0, what, proof, salvage_step(directory)))
    return _check_chain(files, directory, source.base)


def _check_chain(files: Files, directory: Path, base: int) -> DamageFound | None:
    """Each first line up to `base` names the sha256 of the segment before it."""
    before = ""
    for source in sources_of(list_directory(files, directory)):
        if source.base > base:
            return None
        digest, first = sha256(), b""
        for block in _blocks(files, directory, source):
            first = first or block.data.partition(b"\n")[0]
            digest.update(block.data)
        line = parse_line(first)
        started = read_control(line) if line else None
        named = started.previous_sha256 if isinstance(started, SegmentStarted) else None
        if before and named != before:
            what = "it follows another segment than the one that is here"
            proof = f"it names sha256 {named}, here is {before}"
            return Corrupt(Damage(source.name, 0, 0, what, proof, salvage_step(directory)))
        before = digest.hexdigest()
    return None


def _source_of(files: Files, directory: Path, seq: int) -> Source | None:
    """Where this record stands."""
    sources = sources_of(list_directory(files, directory))
    holding = (s for s in sources if s.base <= seq and (s.last is None or seq <= s.last))
    return max(holding, key=lambda source: source.base, default=None)


def _digest_through(files: Files, directory: Path, source: Source, seq: int) -> str | None:
    """Of the segment through the record `seq`; None when it is not good that far."""
    digest = sha256()
    for block in _blocks(files, directory, source):
        digest.update(between(block, source.base - 1, seq))
        if block.last.seq >= seq:
            return digest.hexdigest()
    return None


def _blocks(files: Files, directory: Path, source: Source) -> SegmentBlocks:
    source = readable(files, directory, source)
    return SegmentBlocks(files, directory / source.name, LinePosition(source.base, source.base))


def _wrong(directory: Path, what: str, proof: str, following: NextStep) -> Damage:
    """Damage of the directory as a whole."""
    return Damage(str(directory), 0, 0, what, proof, following)
