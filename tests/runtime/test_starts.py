"""A start never comes to another world in silence: it refuses, or has the one that was there."""

from __future__ import annotations

import contextlib
import gzip
import shutil
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from ackbook.broker.history.cache import Cache
from ackbook.broker.history.segment_index import SegmentIndex
from ackbook.broker.history.world_cache import WorldCache
from ackbook.broker.history.world_loading import begin_world, confirm_world, fold_rest
from ackbook.broker.runtime.maintenance.snapshot_worker import make_snapshot
from ackbook.journal import (
    Corrupt,
    Line,
    Lost,
    Position,
    Reader,
    Retention,
    compact,
    open_log,
    salvage,
    write_snapshot,
)
from ackbook.projections.facts import AgentName
from ackbook.projections.world.fold import World
from ackbook.projections.world.serialization import FOLD_VERSION, dump
from ackbook.projections.world.upgrades import FoldHistory
from tests.journal.damaged_corpus import CORPUS, archives, compacted, segments
from tests.support.forged import edited


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Archives and segments from the first record on, and no snapshot."""
    journal = shutil.copytree(CORPUS / "whole" / "journal", tmp_path / "journal")
    compacted(journal)
    for snapshot in journal.glob("snapshot-*"):
        snapshot.unlink()
    return journal


def start(journal: Path) -> list[bytes]:
    """The world of a start on a copy, as the broker comes to it, up to what was there before."""
    copy = shutil.copytree(journal, journal.with_name("started"))
    try:
        with contextlib.closing(open_log(copy, fold_version=FOLD_VERSION)) as log:
            head = log.recovery.head.seq
            world, _ = begin_world(copy, head, log.snapshot)
            for _ in fold_rest(copy, world, head):
                pass
            return list(dump(world))
    finally:
        shutil.rmtree(copy)


def fold(journal: Path, through: int) -> World:
    """Without a look at the journal before, as a snapshot is made."""
    world = World()
    for _ in fold_rest(journal, world, through):
        pass
    return world


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


SPOILS: list[Callable[[Path], None]] = [flip, cut_short, Path.unlink]


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("number", range(6))
def test_a_start_that_has_to_fold_everything_refuses_what_is_damaged_anywhere(
    number: int, spoil: Callable[[Path], None], journal: Path
) -> None:
    assert start(journal)
    files = [*archives(journal), *segments(journal)]
    assert len(files) == 6
    victim = files[number]
    spoil(victim)
    with pytest.raises(Corrupt if victim.exists() else (Corrupt, Lost)) as told:
        start(journal)
    assert told.value.damage is not None
    if victim.exists():
        assert victim.name in told.value.damage.file
    assert told.value.next_step.remedy is not None


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("number", range(5))
def test_a_fold_goes_over_no_hole_wherever_it_stands(
    number: int, spoil: Callable[[Path], None], journal: Path
) -> None:
    through = Reader(journal).head()
    assert fold(journal, through).seq == through
    victim = [*archives(journal), *segments(journal)][number]
    archived = victim.parent.name == "archive"
    spoil(victim)
    with pytest.raises(Lost if archived and not victim.exists() else Corrupt) as told:
        fold(journal, through)
    assert told.value.damage is not None
    if victim.exists():
        assert victim.name in told.value.damage.file


def test_a_fold_follows_the_chain_from_file_to_file(journal: Path) -> None:
    """An archive that is good in itself and tells something else."""
    victim = archives(journal)[1]
    content = gzip.decompress(victim.read_bytes())
    victim.write_bytes(gzip.compress(edited(content, tell_otherwise)))
    through = Reader(journal).head()
    assert [line.seq for line in Reader(journal).lines()] == list(range(1, through + 1))
    with pytest.raises(Corrupt, match="begins a file that does not follow the one before it"):
        fold(journal, through)
    with pytest.raises(Corrupt):
        start(journal)


def tell_otherwise(line: Line) -> bytes:
    return line.raw.replace(b"del_9_1", b"del_9_2")


@pytest.mark.parametrize("number", [1, 2])
def test_no_world_with_a_hole_is_kept_for_later_questions(
    number: int, journal: Path, tmp_path: Path
) -> None:
    victim = archives(journal)[number]
    flip(victim)
    reader = Reader(journal)
    cache = Cache(tmp_path / "cache", "worlds")
    worlds = WorldCache(journal, lambda seq: next(reader.lines(seq - 1, seq), None), cache, 3)
    kept = SegmentIndex(reader, Cache(tmp_path / "cache", "segments"), worlds, reader.head())
    assert not kept.prepare(lambda _: None)
    assert all(int(name[:20]) < int(victim.name[:20]) for name in cache.names())


# --- snapshots of earlier versions of the fold


def renamed(lines: Iterator[bytes]) -> Iterable[bytes]:
    """The step from a version that called an agent by another word."""
    return (line.replace(b'{"entity":"program"', b'{"entity":"agent"', 1) for line in lines)


LATER = FoldHistory(FOLD_VERSION - 1, (renamed,))
"""As if the fold before this one had been released, too."""


def with_older_snapshot(journal: Path, spoil: Callable[[bytes], bytes] = bytes) -> int:
    """Leave a snapshot of that version in the middle of what was archived."""
    reader = Reader(journal)
    through = 28
    [last] = reader.lines(through - 1, through)
    lines = dump(fold(journal, through))
    write_snapshot(
        journal,
        journal_id=reader.journal_id or "",
        position=Position(last.seq, last.at, last.crc),
        fold_version=LATER.oldest,
        lines=[spoil(line.replace(b'{"entity":"agent"', b'{"entity":"program"')) for line in lines],
    )
    return through


def begin(journal: Path) -> World:
    """What a start of the later version makes of it."""
    head = Reader(journal).head()
    world, snapshot = begin_world(journal, head, history=LATER)
    assert snapshot is not None
    for _ in confirm_world(journal, world, snapshot, LATER):
        pass
    for _ in fold_rest(journal, world, head):
        pass
    return world


def more_failures(line: bytes) -> bytes:
    return line.replace(b'"name":"bob"', b'"name":"Bob"')


def test_a_snapshot_of_an_earlier_fold_is_gone_on_with_where_the_records_say_the_same(
    journal: Path,
) -> None:
    with_older_snapshot(journal)
    assert list(dump(begin(journal))) == list(dump(fold(journal, Reader(journal).head())))


def test_a_snapshot_of_an_earlier_fold_that_says_something_else_is_refused(journal: Path) -> None:
    with_older_snapshot(journal, more_failures)
    with pytest.raises(Corrupt, match="does not say what the records up to 28 say") as told:
        begin(journal)
    assert told.value.damage is not None
    assert told.value.damage.file == "snapshot-00000000000000000028.jsonl"
    assert "ackbook up" in str(told.value)


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_snapshot_of_an_earlier_fold_is_refused_where_records_before_it_are_damaged(
    spoil: Callable[[Path], None], journal: Path
) -> None:
    with_older_snapshot(journal)
    victim = archives(journal)[1]
    spoil(victim)
    with pytest.raises(Corrupt if victim.exists() else Lost):
        begin(journal)


def test_a_snapshot_of_an_earlier_fold_is_the_history_where_archives_were_let_go(
    tmp_path: Path,
) -> None:
    journal = shutil.copytree(CORPUS / "whole" / "journal", tmp_path / "journal")
    with contextlib.closing(open_log(journal)) as log:
        log.note_snapshot(make_snapshot(journal))
        log.seal()
        log.note_snapshot(make_snapshot(journal))
        told = list(dump(fold(journal, log.head.seq)))
        compact(log, fold_version=FOLD_VERSION, keep_audit=Retention(bytes_max=0))
    for path in sorted(journal.glob("snapshot-*")):
        older = path.read_bytes().replace(b'"fold":%d' % FOLD_VERSION, b'"fold":%d' % LATER.oldest)
        *lines, _ = older.replace(b'{"entity":"agent"', b'{"entity":"program"').splitlines(True)
        footer = b'{"count":%d,"sha256":"%b"}\n'
        digest = sha256(b"".join(lines)).hexdigest().encode()
        path.write_bytes(b"".join(lines) + footer % (len(lines) - 1, digest))
    assert Reader(journal).first_seq > 1
    went_on = begin(journal)
    assert {agent.name for agent in went_on.agents.values()} >= {"bob", "Ann", "eve"}
    assert len(list(dump(went_on))) == len(told)


def test_a_snapshot_of_an_earlier_fold_is_the_history_where_a_loss_was_accepted(
    journal: Path, tmp_path: Path
) -> None:
    """The salvaged journal holds a snapshot that was taken behind the hole."""
    with_older_snapshot(journal)
    flip(archives(journal)[1])
    saved = salvage(journal, tmp_path / "saved")
    assert saved.lost_records
    world = begin(tmp_path / "saved")
    assert world.seq == saved.last_seq
    assert world.agent(AgentName("bob")) is not None
