"""From what was seen in each file to what is the case: every finding about a whole directory.

Pure: it is given the looks at the segments and the archives, HEAD, and the snapshots, and names
each finding with its place, its proof and the next step. What follows from them stands in
`decision_table`.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from ackbook.journal.errors import Damage
from ackbook.journal.format.control import Reach
from ackbook.journal.format.head import HeadReading
from ackbook.journal.format.layout import ARCHIVE, COPY, HEAD, Listing, archive_name, segment_name
from ackbook.journal.next_step import NextStep, repair_step, salvage_step, verify_step
from ackbook.journal.reading.snapshot_choice import SnapshotChoice
from ackbook.journal.reading.sources import oldest_of, sources_of
from ackbook.journal.recovery.decision_table import Finding, Observation
from ackbook.journal.recovery.inspect_tail import Flaw, Look


class Findings(Struct, frozen=True):
    """Everything that is judged. `trusted` is the seq of the snapshot that a start loads, 0 for
    none; whether one is asked for at all says `needs_state`."""

    directory: Path
    listing: Listing
    head: HeadReading
    looks: tuple[Look, ...]
    archived: tuple[Look, ...]
    archives_read: bool
    snapshots: SnapshotChoice
    trusted: int
    needs_state: bool


def observe(seen: Findings) -> list[Observation]:
    """Every finding, without an order of importance."""
    found = []
    directory, listing, looks = seen.directory, seen.listing, seen.looks
    orphans = listing.has_head or listing.snapshots or listing.remains or listing.has_copy_mark
    if not looks and (seen.head.marks or orphans):
        others = (*listing.remains, *([COPY] if listing.has_copy_mark else []), "a snapshot")
        witness = HEAD if listing.has_head else others[0]
        what = "there is no segment, but there was a journal"
        found.append(_whole(directory, Finding.ORPHANED, witness, what, f"{witness} is here"))
    # A HEAD of another journal explains every line that does not fit it, so it comes first.
    found.extend(_beyond(seen))
    found.extend(_headless(seen))
    for look in (*seen.archived, *looks):
        found.extend(_place(directory, look, flaw) for flaw in look.flaws)
    found.extend(_front(seen))
    found.extend(_chain(directory, (*seen.archived, *looks)))
    return found


def observe_pair(directory: Path, look: Look, following: Look) -> list[Observation]:
    """What is wrong with one sealed segment, and between it and the one that comes next."""
    found = [_place(directory, look, flaw) for flaw in look.flaws]
    return found + _chain(directory, (look, following))


def missing_front(directory: Path, first: int, kept_from: int) -> Observation:
    """The first segment begins later than the journal says."""
    what = f"the history before {first} is missing"
    proof = f"no record says that {kept_from} to {first - 1} were removed"
    return _whole(directory, Finding.BROKEN, segment_name(first), what, proof)


def missing_archives(directory: Path, listing: Listing, reach: Reach) -> list[Observation]:
    """Archives that no record removed and that are not there, by the names of the others."""
    compacted, forgotten = reach.kept_from - 1, reach.archived_from - 1
    found, expected = [], forgotten + 1
    ends = [(each.first, each.last) for each in listing.archives if each.last > forgotten]
    for first, last in (*ends, (compacted + 1, compacted)):
        if first > expected and expected <= compacted:
            name = f"{ARCHIVE}/{archive_name(expected, first - 1, '*')}"
            what = f"records {expected} to {first - 1} were archived and are not there"
            proof = f"records up to {compacted} were compacted, up to {forgotten} removed"
            found.append(_whole(directory, Finding.UNREACHABLE, name, what, proof))
        expected = max(expected, last + 1)
    return found


def _front(seen: Findings) -> list[Observation]:
    """Whether what is not in the segments was removed on purpose, and is where it should be."""
    if not seen.looks:
        return []
    first, tail, directory = seen.looks[0], seen.looks[-1], seen.directory
    name = segment_name(first.base)
    if first.base != tail.compacted + 1 and tail.started is not None:
        return [missing_front(directory, first.base, tail.compacted + 1)]
    oldest = oldest_of(sources_of(seen.listing))
    found = []
    if seen.needs_state and seen.trusted + 1 < oldest:
        what = f"the state before {oldest} cannot be had: no snapshot of it can be used"
        why = "; ".join(f"{each.name}: {each.why}" for each in seen.snapshots.aside)
        found.append(_whole(directory, Finding.UNREACHABLE, name, what, why or "there is none"))
    if seen.archives_read:
        reach = Reach(tail.compacted + 1, tail.forgotten + 1)
        found.extend(missing_archives(directory, seen.listing, reach))
    return found


def _chain(directory: Path, looks: tuple[Look, ...]) -> list[Observation]:
    found = []
    for before, look in pairwise(looks):
        name = _name(look)
        if before.flaws or before.last is None or before.started is None or look.started is None:
            # Where a segment ends is known only when all of it is good; its flaws speak for it.
            continue
        if before.name and look.base > before.last.seq + 1:
            # Archives that are not there are found by what the journal says about them.
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
            what = f"it follows another segment than {_name(before)}"
            proof = f"it names checksum {look.started.previous_crc}, not {before.last.crc}"
            found.append(_whole(directory, Finding.BROKEN, name, what, proof))
    return found


def _beyond(seen: Findings) -> list[Observation]:
    looks, directory = seen.looks, seen.directory
    if not looks or looks[-1].last is None or looks[-1].started is None:
        return []
    journal, last = looks[-1].started.journal, looks[-1].last.seq
    found = []
    for mark in seen.head.marks:
        if mark.journal != journal:
            what = f"it belongs to another journal, {mark.journal}"
            found.append(_whole(directory, Finding.BROKEN, HEAD, what, f"this one is {journal}"))
        elif mark.seq > last:
            found.append(_missing(directory, looks[-1], "HEAD", last, mark.seq))
    others = [(each.name, each.seq) for each in seen.snapshots.beyond]
    others += [(each.name, each.last) for each in seen.listing.archives if each.last > last]
    found.extend(_missing(directory, looks[-1], name, last, seq) for name, seq in others)
    return found


def _headless(seen: Findings) -> list[Observation]:
    """Whether HEAD is gone though there are records that were written behind its back."""
    tail = seen.looks[-1] if seen.looks else None
    if tail is None or tail.last is None or tail.last.seq <= 1:
        return []
    if seen.head.is_whole:
        return []
    last = tail.last.seq
    state = f"it has {seen.head.size} bytes" if seen.listing.has_head else "it is missing"
    what = f"{state}, and whether records after {last} were acknowledged was known to it alone"
    proof = f"records up to {last} are here, and it is made before the second one"
    following = salvage_step(seen.directory, "bring it back from where the files came from, or ")
    return [Observation(Finding.HEADLESS, Damage(HEAD, 0, 0, what, proof, following))]


def _missing(directory: Path, tail: Look, witness: str, last: int, seq: int) -> Observation:
    what = f"records {last + 1} to {seq} are missing"
    proof = f"{witness} vouches for {seq}, the last good line is {last}"
    flaw = Flaw(Finding.BEYOND, tail.count + 1, tail.end, what, proof)
    return _place(directory, tail, flaw)


def is_judged(each: Observation, looks: Sequence[Look], head: HeadReading) -> bool:
    """Whether a finding counts while a writer is at work."""
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
            following = NextStep("use the version that wrote it, or a later one")
        case Finding.TORN | Finding.UNFINISHED | Finding.SEALED:
            following = repair_step(directory, "start as usual, or look first: ")
        case _:
            following = salvage_step(directory)
    damage = Damage(_name(look), flaw.line, flaw.byte, flaw.what, flaw.proof, following)
    return Observation(flaw.finding, damage)


def _name(look: Look) -> str:
    return look.name or segment_name(look.base)


def _whole(directory: Path, finding: Finding, name: str, what: str, proof: str) -> Observation:
    following = verify_step(directory, "bring the missing files back from a backup, then ")
    return Observation(finding, Damage(name, 0, 0, what, proof, following))
