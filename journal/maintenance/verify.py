"""Checks everything in a journal's directory and changes nothing.

Each checksum of each segment and archive, each seal and its sha256, their chain, HEAD, the
snapshots. The answer is a value: what is wrong, where, the proof, what to do next, and the verdict
that says it all. A snapshot that cannot be used is a warning: a start goes on without it.
It may run beside a writer; then it judges only what is durable.
"""

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from ackbook.journal.errors import Damage
from ackbook.journal.format.layout import LOCK
from ackbook.journal.recovery.decision_table import TABLE, Finding, Observation, RecoveryAction
from ackbook.journal.recovery.survey import Survey, survey
from ackbook.journal.storage.files import Files, OsFiles
from ackbook.journal.writing.removal import left_over

_HARMLESS = frozenset({Finding.UNFINISHED, Finding.SEALED})
"""States that a crash may leave and a start completes, with nothing lost or cut."""


class VerifyReport(Struct, frozen=True):
    """`ok` says that a start would go on without cutting anything; `damage` is in the order of
    the files. `verdict` is the word of the table in `decision_table`. Segments and archives
    together hold `records`, from the oldest one that is here, `first_seq`, to `last_seq`."""

    ok: bool
    verdict: str
    journal: str | None
    first_seq: int
    last_seq: int
    records: int
    segments: int
    damage: tuple[Damage, ...]
    warnings: tuple[str, ...] = ()
    archives: int = 0
    snapshots: int = 0
    """Those that verify."""


def verify(
    directory: Path,
    *,
    kinds: frozenset[str] | None = None,
    files: Files | None = None,
    full: bool = True,
) -> VerifyReport:
    """Look at everything. Without `full` the checksums have to do: every byte is still looked at,
    but not its sha256. Raises `OSError` when the directory or a file cannot be read at all."""
    files = files or OsFiles()
    directory = directory.absolute()
    live = files.locked(directory / LOCK)
    found = survey(files, directory, live=live, kinds=kinds, full=full, archives=True)
    tail = found.tail
    damage = _each_place_once(found.observations)
    lasts = [look.last.seq for look in found.looks if look.last]
    last = lasts[-1] if lasts else 0
    records = sum(look.count for look in (*found.archived, *found.looks))
    if live and tail is not None and last > found.shown:
        records -= last - found.shown
        last = found.shown
    return VerifyReport(
        ok=found.verdict is RecoveryAction.KEEP,
        verdict=found.verdict.value,
        journal=found.journal,
        first_seq=(*found.archived, *found.looks)[0].base if found.looks else 0,
        last_seq=last,
        records=records,
        segments=len(found.looks),
        damage=damage,
        warnings=tuple(_warnings(found)),
        archives=len(found.archived),
        snapshots=len(found.snapshots.usable),
    )


def _warnings(found: Survey) -> Iterator[str]:
    listing = found.listing
    yield from (f"unknown name: {name}" for name in listing.unknown)
    over = (
        listing.temporary if found.live else (*listing.temporary, *left_over(listing, found.reach))
    )
    yield from (f"left over, removed by the next start: {name}" for name in over)
    yield from (f"{each.name} is set aside: {each.why}" for each in found.snapshots.aside)
    if found.head.unreadable:
        yield f"{found.head.unreadable} slot(s) of HEAD cannot be read"


def _each_place_once(observations: tuple[Observation, ...]) -> tuple[Damage, ...]:
    """One place may show several findings; the first of them in the table says it best."""
    rank = {finding: number for number, (finding, _) in enumerate(TABLE)}
    best: dict[tuple[str, int], Observation] = {}
    for each in observations:
        place = (each.damage.file, each.damage.byte)
        known = best.get(place)
        if each.finding not in _HARMLESS and (
            known is None or rank[each.finding] < rank[known.finding]
        ):
            best[place] = each
    return tuple(best[place].damage for place in sorted(best))
