"""Looks at a whole directory, changes nothing, and names everything that it finds.

The same look serves a start, `verify`, and a test that wants to know what a crash left behind. It
reads HEAD first, then the names, then the files: so whatever HEAD vouches for was there before the
files were read, and a writer that is at work meanwhile cannot be taken for damage. While a writer
has the journal open, nothing beyond that is judged.
"""

from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from journal.errors import (
    Damage,
    restore_step,
)
from journal.files import Files, read_whole
from journal.head import HeadReading, read_head
from journal.layout import HEAD, Listing, list_directory, segment_name
from journal.recovery import Finding, Observation, Verdict, decide
from journal.segment import Flaw, Look, look_at_sealed, look_at_tail


class Survey(Struct, frozen=True):
    """Everything that was found. `looks` are the segments in order, the tail last."""

    directory: Path
    listing: Listing
    head: HeadReading
    live: bool
    looks: tuple[Look, ...]
    observations: tuple[Observation, ...]

    @property
    def verdict(self) -> Verdict:
        return decide(frozenset(each.finding for each in self.observations))[1]

    @property
    def decisive(self) -> Observation | None:
        """What the verdict rests on."""
        row = decide(frozenset(each.finding for each in self.observations))[0]
        return next((each for each in self.observations if each.finding is row), None)

    @property
    def tail(self) -> Look | None:
        return self.looks[-1] if self.looks else None

    @property
    def journal(self) -> str | None:
        started = next((look.started for look in self.looks if look.started), None)
        return started.journal if started else None

    @property
    def shown(self) -> int:
        """The last seq that may be shown while a writer is at work."""
        last = self.tail.last if self.tail else None
        return max(self.head.seq, last.d if last else 0)

    @property
    def closed_cleanly(self) -> bool:
        """HEAD says closed, at exactly the last line, which is exactly the end of the file."""
        tail = self.tail
        if tail is None or tail.last is None or not self.head.marks or tail.flaws:
            return False
        mark = self.head.marks[0]
        at_the_end = mark.closed and (mark.seq, mark.crc) == (tail.last.seq, tail.last.crc)
        return at_the_end and tail.size == tail.end


def survey(
    files: Files,
    directory: Path,
    *,
    live: bool,
    kinds: frozenset[str] | None = None,
    full: bool = False,
) -> Survey:
    """Look at everything. `live` says that another process may be writing meanwhile; `full` also
    reads each line of sealed segments and their sha256."""
    head = read_head(files, directory)
    listing = list_directory(files, directory)
    looks: list[Look] = []
    for base in listing.segments:
        data = read_whole(files, directory / segment_name(base))
        if base == listing.segments[-1]:
            looks.append(look_at_tail(data, base, kinds, {m.seq: m.crc for m in head.marks}))
        else:
            looks.append(look_at_sealed(data, base, kinds, full=full))
    observations = _observe(directory, listing, head, looks)
    if live:
        observations = [each for each in observations if _is_judged(each, looks, head)]
    return Survey(directory, listing, head, live, tuple(looks), tuple(observations))


def newest_usable_snapshot(listing: Listing) -> int:
    """The seq of the newest snapshot that vouches for everything up to it; 0 for none. A snapshot
    is usable when its footer verifies and its fold is known, and no fold has a version yet: so
    none is, whatever lies in the directory, and every segment is checked from its first byte."""
    assert listing.snapshots == tuple(sorted(listing.snapshots)), "names are listed in order"
    return 0


def _observe(
    directory: Path, listing: Listing, head: HeadReading, looks: list[Look]
) -> list[Observation]:
    found = []
    if not looks and (head.marks or listing.has_head or listing.snapshots or listing.remains):
        witness = HEAD if listing.has_head else (*listing.remains, "a snapshot")[0]
        what = "there is no segment, but there was a journal"
        found.append(_whole(directory, Finding.ORPHANED, witness, what, f"{witness} is here"))
    # A HEAD of another journal explains every line that does not fit it, so it comes first.
    found.extend(_beyond(directory, head, newest_usable_snapshot(listing), looks))
    for look in looks:
        found.extend(_place(directory, look, flaw) for flaw in look.flaws)
    found.extend(_chain(directory, looks))
    return found


def _chain(directory: Path, looks: list[Look]) -> list[Observation]:
    found = []
    if looks and looks[0].base != 1:
        what = f"the history before {looks[0].base} is missing"
        name = segment_name(looks[0].base)
        found.append(_whole(directory, Finding.BROKEN, name, what, "no record says it was removed"))
    for before, look in pairwise(looks):
        name = segment_name(look.base)
        if before.flaws or before.last is None or before.started is None or look.started is None:
            # Where a segment ends is known only when all of it is good; its flaws speak for it.
            continue
        if look.base != before.last.seq + 1:
            what = f"{before.last.seq + 1} to {look.base - 1} are missing before it"
            found.append(_whole(directory, Finding.BROKEN, name, what, "the seqs have a gap"))
        elif look.started.journal != before.started.journal:
            what = f"it belongs to another journal, {look.started.journal}"
            found.append(_whole(directory, Finding.BROKEN, name, what, before.started.journal))
        elif look.started.previous_crc != before.last.crc or (
            before.sha256 and look.started.previous_sha256 != before.sha256
        ):
            what = f"it follows another segment than {segment_name(before.base)}"
            proof = f"it names checksum {look.started.previous_crc}, not {before.last.crc}"
            found.append(_whole(directory, Finding.BROKEN, name, what, proof))
    return found


def _beyond(
    directory: Path, head: HeadReading, snapshot: int, looks: list[Look]
) -> list[Observation]:
    if not looks or looks[-1].last is None or looks[-1].started is None:
        return []
    journal, last = looks[-1].started.journal, looks[-1].last.seq
    found = []
    for mark in head.marks:
        if mark.journal != journal:
            what = f"it belongs to another journal, {mark.journal}"
            found.append(_whole(directory, Finding.BROKEN, HEAD, what, f"this one is {journal}"))
        elif mark.seq > last:
            found.append(_missing(directory, looks[-1], "HEAD", last, mark.seq))
    if snapshot > last:
        found.append(_missing(directory, looks[-1], "a snapshot", last, snapshot))
    return found


def _missing(directory: Path, tail: Look, witness: str, last: int, seq: int) -> Observation:
    what = f"records {last + 1} to {seq} are missing"
    proof = f"{witness} vouches for {seq}, the last good line is {last}"
    flaw = Flaw(Finding.BEYOND, tail.count + 1, tail.end, what, proof)
    return _place(directory, tail, flaw)


def _is_judged(each: Observation, looks: list[Look], head: HeadReading) -> bool:
    # In a live tail, what stands behind HEAD is being written at this moment.
    tail = looks[-1] if looks else None
    if tail is None or each.damage.file != segment_name(tail.base):
        return True
    first_bad = tail.last.seq + 1 if tail.last else tail.base
    in_the_tail = (Finding.TORN, Finding.PROVEN, Finding.UNFINISHED, Finding.SEALED)
    return each.finding not in in_the_tail or first_bad <= head.seq


def _place(directory: Path, look: Look, flaw: Flaw) -> Observation:
    match flaw.finding:
        case Finding.NEWER:
            following = "use the version that wrote it, or a later one"
        case Finding.TORN | Finding.UNFINISHED | Finding.SEALED:
            following = "start as usual; what is cut is kept in quarantine/"
        case _:
            following = restore_step(directory)
    name = segment_name(look.base)
    damage = Damage(name, flaw.line, flaw.byte, flaw.what, flaw.proof, following)
    return Observation(flaw.finding, damage)


def _whole(directory: Path, finding: Finding, name: str, what: str, proof: str) -> Observation:
    return Observation(finding, Damage(name, 0, 0, what, proof, restore_step(directory)))
