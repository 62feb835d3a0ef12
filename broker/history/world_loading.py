"""From a journal to the world that it tells: the newest snapshot that loads, and every entry since.

The start of a broker and the process that makes snapshots share it, so each snapshot is also a
test of the next start. A snapshot that verifies and yet cannot be loaded is passed over for an
older one, and at last for the first record: a snapshot is worth time, never truth. What cannot be
read is never taken for nothing, nor gone over, wherever it stands: then it raises, and no world
comes of it.

It knows no loop; whoever has one gets a chance between two blocks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path

from ackbook.broker.history.whole_blocks import whole_blocks
from ackbook.journal import (
    Corrupt,
    Damage,
    Files,
    Reader,
    SnapshotFile,
    SnapshotUnusable,
    newest_snapshots,
)
from ackbook.journal.format.control import (
    CONTROL_PREFIX,
    Compacted,
    SegmentStarted,
    read_control,
)
from ackbook.journal.next_step import NextStep
from ackbook.projections.world.fold import World, fold_all
from ackbook.projections.world.serialization import UnreadableWorld, dump, load
from ackbook.projections.world.upgrades import RELEASED, FoldHistory

log = logging.getLogger("ackbook")


LOADABLE = RELEASED.loadable
"""What a start asks the journal for: snapshots of every version of the fold."""


def begin_world(
    journal: Path,
    through: int,
    first: SnapshotFile | None = None,
    history: FoldHistory = RELEASED,
    *,
    files: Files | None = None,
) -> tuple[World, SnapshotFile | None]:
    """The world of the newest snapshot at or before `through` that can be loaded, and which one
    that was; an empty world and None where there is none. `first` is tried before all others. A
    snapshot of an earlier version of the fold counts when `confirm_world` has gone through."""
    for snapshot in _candidates(journal, through, first, history, files):
        try:
            world = load(snapshot.blocks(), snapshot.fold_version, history)
        except (SnapshotUnusable, UnreadableWorld) as error:
            log.warning("%s is passed over: %s", snapshot.name, error)
            continue
        if world.seq == snapshot.seq:
            return world, snapshot
        log.warning("%s is passed over: it holds the state at %d", snapshot.name, world.seq)
    return World(), None


def begin_audit(journal: Path, oldest: int, before: Callable[[SnapshotFile], bool]) -> World:
    """The world that somebody begins with who wants everything that came later.

    That of the newest snapshot that lies `before` it; where there is none, an empty one, or where
    records are kept only from `oldest` on, that of the oldest snapshot.
    """
    usable = newest_snapshots(journal, LOADABLE).usable
    fitting = [snapshot for snapshot in usable if before(snapshot)]
    if not fitting and oldest > 1:
        fitting = list(usable[-1:])
    return begin_world(journal, 0, fitting[0])[0] if fitting else World()


def fold_rest(
    journal: Path, world: World, through: int, *, files: Files | None = None
) -> Iterator[int]:
    """Fold everything after the world's own record through `through`; the bytes of each block,
    when it is folded.

    Nothing is folded that stands behind a hole or behind damage: raises what `whole_blocks` raises.
    """
    for size, entries in whole_blocks(journal, world.seq, through, files=files):
        fold_all(world, entries)
        yield size


def confirm_world(
    journal: Path,
    loaded: World,
    snapshot: SnapshotFile | None,
    history: FoldHistory = RELEASED,
    *,
    files: Files | None = None,
) -> Iterator[int]:
    """Hold a world that came through the steps from an earlier version of the fold against the
    records: nothing may be folded into it before this has ended. The bytes of each block.

    It is believed where the journal says that records before it were let go, or that somebody
    accepted the loss of some: then it is the only history. Elsewhere raises `Corrupt` where a fold
    of all of them comes to another world, and what `fold_rest` raises where they cannot all be
    read.
    """
    if snapshot is None or snapshot.fold_version == history.newest or _let_go(journal, files):
        return
    folded = World()
    for size, entries in whole_blocks(journal, 0, snapshot.seq, files=files):
        if entries[-1].seq != folded.seq + len(entries):
            return  # what is missing there was accepted by a record
        fold_all(folded, entries)
        yield size
    both = zip_longest(dump(loaded), dump(folded))
    for number, (said, told) in enumerate(both, start=2):
        if said != told:
            raise Corrupt(_otherwise(snapshot, number))


def _candidates(
    journal: Path,
    through: int,
    first: SnapshotFile | None,
    history: FoldHistory,
    files: Files | None,
) -> Iterator[SnapshotFile]:
    if first is not None:
        yield first
    # Only asked when the first one did not do: each of them is read whole to be verified.
    for snapshot in newest_snapshots(journal, history.loadable, head=through, files=files).usable:
        if first is None or snapshot.seq < first.seq:
            yield snapshot


def _let_go(journal: Path, files: Files | None) -> bool:
    """Whether the newest segment says that archives were removed on purpose."""
    reader = Reader(journal, files=files)
    for line in reader.lines(after=max(reader.bases, default=1) - 1):
        match read_control(line) if line.kind.startswith(CONTROL_PREFIX) else None:
            case SegmentStarted(archived_from=archived_from) if archived_from > 1:
                return True
            case Compacted(forgotten=forgotten) if forgotten > 0:
                return True
            case _:
                pass
    return False


def _otherwise(snapshot: SnapshotFile, line: int) -> Damage:
    return Damage(
        file=snapshot.name,
        line=line,
        byte=0,
        what=f"it does not say what the records up to {snapshot.seq} say",
        proof=f"it was made by version {snapshot.fold_version} of the fold",
        next=NextStep(
            "use the version that made it, or move it away to go on from the records alone, "
            "then: ackbook up"
        ),
    )


SNAPSHOTS_MAX = 64
"""More than a journal keeps."""


class SnapshotWorlds:
    """The worlds of one journal's snapshots, up to the record `head`."""

    def __init__(self, directory: Path, head: int) -> None:
        self._directory = directory
        self._head = head
        self._found: dict[int, SnapshotFile] | None = None

    def at(self, seq: int) -> World | None:
        """The world after this record; None where no snapshot that can be loaded stands there."""
        if self._found is None:
            found = newest_snapshots(
                self._directory, LOADABLE, head=self._head, count_max=SNAPSHOTS_MAX
            )
            self._found = {each.seq: each for each in found.usable}
        snapshot = self._found.get(seq)
        if snapshot is None:
            return None
        try:
            return load(snapshot.blocks(), snapshot.fold_version)
        except (SnapshotUnusable, UnreadableWorld):
            return None
