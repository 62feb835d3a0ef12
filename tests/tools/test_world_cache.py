"""Worlds of the past: the same whatever they were begun from, and never of another history."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import settings

from ackbook.broker.history.cache import Cache, cache_directory
from ackbook.journal import Position, Reader, SnapshotFile, compact, salvage, write_snapshot
from ackbook.projections.codec import kind_of
from ackbook.projections.world.fold import World, fold
from ackbook.projections.world.serialization import FOLD_VERSION, dump
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.place import Place
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.worlds import Worlds
from tests.core.test_properties import POLICIES, Broker
from tests.journal.damaged_corpus import CORPUS, SMALL
from tests.support.past import Past, a_busy_day
from tests.support.recorded import Recorded

INTERVAL = 7
"""A world is kept in every block: these journals are short."""


class Kept:
    """A cache of its own for one journal, and how to look at worlds through it."""

    def __init__(self, root: Path, journal: Path) -> None:
        self.root = root
        self.journal = journal

    def worlds(self) -> Worlds:
        history = JournalHistory(Place(self.journal))
        return Worlds(history, cache=Cache(self.root, "worlds"), interval=INTERVAL)

    def at(self, seq: int) -> list[bytes]:
        return list(dump(self.worlds().at(seq)))

    def files(self) -> list[Path]:
        return sorted((self.root / "worlds").glob("0*"))


def folded(journal: Path) -> dict[int, list[bytes]]:
    """The world after each record, folded from the first one, without any help; up to a hole."""
    world = World()
    worlds = {0: list(dump(world))}
    accepted = False
    for entry in JournalHistory(Place(journal)).entries():
        if entry.seq != world.seq + 1 and not accepted:
            break
        fold(world, entry)
        accepted = kind_of(entry) == "journal.repaired"
        worlds[entry.seq] = list(dump(world))
    return worlds


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A day of some thirty records, in several segments, and an empty cache."""
    a_busy_day(tmp_path / "journal", SMALL)
    return Kept(tmp_path / "cache", tmp_path / "journal")


# --- the same, whatever it was begun from


class Travelled(Broker):
    """Whatever happens to a broker: each moment of it can be looked at, with a cache that is
    empty, full, or damaged."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.broker = Recorded(self.root / "journal", POLICIES[0])

    def teardown(self) -> None:
        try:
            assert isinstance(self.broker, Recorded)
            self.broker.close()
            kept = Kept(self.root / "cache", self.broker.directory)
            worlds = folded(self.broker.directory)
            looked_at = list(worlds)[:: -max(1, len(worlds) // 8)]
            for damaged in (False, False, True):
                for path in kept.files() if damaged else ():
                    path.write_bytes(path.read_bytes()[:-1])
                for seq in looked_at:
                    assert kept.at(seq) == worlds[seq]
        finally:
            shutil.rmtree(self.root)


Travelled.TestCase.settings = settings(
    max_examples=15, stateful_step_count=40, deadline=None, print_blob=True
)
TestTravelled = Travelled.TestCase


def test_a_world_is_the_fold_of_all_before_it_with_every_cache(kept: Kept) -> None:
    worlds = folded(kept.journal)
    assert len(worlds) > 30
    for _ in ("cold", "warm"):
        assert {seq: kept.at(seq) for seq in worlds} == worlds
    assert len(kept.files()) >= 2
    assert {seq: kept.at(seq) for seq in reversed(worlds)} == worlds


def test_a_kept_world_is_begun_from(kept: Kept) -> None:
    head = max(folded(kept.journal))
    kept.at(head)
    [*_, latest] = kept.files()
    latest_seq = int(latest.name.partition("-")[0])
    read: list[int] = []
    history = JournalHistory(Place(kept.journal))
    blocks = history.blocks
    history.blocks = lambda after=0, through=None: read.append(after) or blocks(after, through)  # type: ignore[method-assign, func-returns-value, assignment]
    Worlds(history, cache=Cache(kept.root, "worlds"), interval=INTERVAL).at(head)
    assert read == [latest_seq]
    assert latest_seq > 0


def test_a_cache_that_cannot_be_written_costs_only_time(kept: Kept) -> None:
    worlds = folded(kept.journal)
    kept.root.write_text("no directory")
    assert {seq: kept.at(seq) for seq in worlds} == worlds


def test_a_damaged_world_is_thrown_away_and_made_again(kept: Kept) -> None:
    head = max(folded(kept.journal))
    before = kept.at(head)
    for path in kept.files():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    damaged = {path: path.read_bytes() for path in kept.files()}
    assert kept.at(head) == before
    assert all(path.read_bytes() != content for path, content in damaged.items())


def test_worlds_of_another_journal_under_the_right_name_are_no_worlds(kept: Kept) -> None:
    head = max(folded(kept.journal))
    before = kept.at(head)
    for path in kept.files():
        Cache(kept.root, "worlds").put(path.name, b'{"entity":"nonsense"}\n')
    assert kept.at(head) == before


# --- never of another history


def _flip_in_the_first_segment(journal: Path) -> None:
    first = min(journal.glob("0*.jsonl"))
    content = bytearray(first.read_bytes())
    content[content.index(b'"agent.spawned"') + 40] ^= 1
    first.write_bytes(content)


def _rewrite_the_first_segment(journal: Path) -> None:
    """As a hand would that can compute checksums: bob is another program, and all lines verify."""
    first = min(journal.glob("0*.jsonl"))
    whole, running = b"", 0
    for line in first.read_bytes().rstrip(b"\n").split(b"\n"):
        body = line.replace(b'"pid":4711', b'"pid":1174').rpartition(b',"crc"')[0]
        running = crc32(body, running)
        tail = b',"crc":"%08x"}\n' % running
        running = crc32(tail, running)
        whole += body + tail
    first.write_bytes(whole)


def _remove_the_second_segment(journal: Path) -> None:
    sorted(journal.glob("0*.jsonl"))[1].unlink()


@pytest.mark.parametrize(
    "change",
    [_flip_in_the_first_segment, _rewrite_the_first_segment, _remove_the_second_segment],
)
def test_a_history_that_was_changed_is_folded_anew(
    change: Callable[[Path], None], kept: Kept
) -> None:
    head = max(folded(kept.journal))
    before = kept.at(head)
    assert kept.files()
    change(kept.journal)
    worlds = folded(kept.journal)
    assert kept.at(head) == worlds[max(worlds)] != before


def test_two_copies_that_went_on_differently_share_no_world(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "cache", tmp_path / "one")
    a_busy_day(tmp_path / "one", SMALL)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    other = Kept(tmp_path / "cache", tmp_path / "two")
    for one, name in ((kept, "fay"), (other, "gil")):
        with Past(one.journal, SMALL) as past:
            past.world = one.worlds().at(10_000)
            past.start()
            for number in range(20):
                past.spawn(f"{name}{number}")
    for one in (kept, other, kept, other):
        worlds = folded(one.journal)
        assert {seq: one.at(seq) for seq in worlds} == worlds


# --- archives, snapshots and holes


def test_archives_are_read_through(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "cache", tmp_path / "journal")
    a_busy_day(kept.journal, SMALL)
    worlds = folded(kept.journal)
    seqs = {seq: kept.at(seq) for seq in worlds}
    _compact(kept.journal, worlds)
    assert list((kept.journal / "archive").iterdir())
    for _ in ("cold", "warm"):
        assert {seq: kept.at(seq) for seq in worlds} == seqs == worlds


def test_a_snapshot_of_the_journal_itself_is_begun_from_and_leaves_nothing(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "cache", tmp_path / "journal")
    a_busy_day(kept.journal, SMALL)
    worlds = folded(kept.journal)
    _snapshot(kept.journal, 20, worlds[20])
    assert {seq: kept.at(seq) for seq in (20, 25, max(worlds))} == {
        seq: worlds[seq] for seq in (20, 25, max(worlds))
    }
    assert kept.files() == []


def test_a_hole_that_somebody_accepted_is_gone_over_and_others_are_not(tmp_path: Path) -> None:
    torn = CORPUS / "hole_in_a_sealed_segment" / "journal"
    salvage(torn, tmp_path / "journal")
    kept = Kept(tmp_path / "cache", tmp_path / "journal")
    worlds = folded(kept.journal)
    head = JournalHistory(Place(kept.journal)).head()
    assert max(worlds) == head
    assert len(worlds) < head + 1, "there is a hole"
    for _ in ("cold", "warm"):
        assert {seq: kept.at(seq) for seq in worlds} == worlds
    [repaired] = [
        line.seq for line in Reader(kept.journal).lines() if line.kind == "journal.repaired"
    ]
    _snapshot(kept.journal, repaired, worlds[repaired])
    assert Kept(tmp_path / "empty", kept.journal).at(head) == worlds[head]
    torn_worlds = folded(torn)
    assert Kept(tmp_path / "other", torn).at(head) == torn_worlds[max(torn_worlds)]
    assert max(torn_worlds) < head
    for journal, expected in ((kept.journal, worlds), (torn, torn_worlds)):
        history = Kept(tmp_path / "none", journal).worlds().since(0)
        assert [(entry.seq, list(dump(world))) for entry, world in history] == [
            item for item in expected.items() if item[0]
        ]


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_no_cache_changes_what_a_damaged_journal_shows(name: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    shutil.copytree(CORPUS / name / "journal", journal)
    kept = Kept(tmp_path / "cache", journal)
    seqs = range(0, JournalHistory(Place(journal)).head() + 1, 4)
    cold = [_shown(kept, seq) for seq in seqs]
    assert [_shown(kept, seq) for seq in seqs] == cold
    worlds = {} if name == "unknown_shape" else folded(journal)
    assert all(worlds.get(seq, shown) == shown for seq, shown in zip(seqs, cold, strict=True))


def _shown(kept: Kept, seq: int) -> list[bytes] | str:
    try:
        return kept.at(seq)
    except Failure as failure:
        return str(failure)


def _snapshot(journal: Path, seq: int, lines: list[bytes]) -> SnapshotFile:
    line = JournalHistory(Place(journal)).line(seq)
    journal_id = JournalHistory(Place(journal)).journal_id()
    assert line is not None
    assert journal_id is not None
    return write_snapshot(
        journal,
        journal_id=journal_id,
        position=Position(line.seq, line.at, line.crc),
        fold_version=FOLD_VERSION,
        lines=lines,
    )


def _compact(journal: Path, worlds: dict[int, list[bytes]]) -> None:
    """Everything that two snapshots near the end let go, into archives."""
    with Past(journal, SMALL) as past:
        for seq in (max(worlds) - 1, max(worlds)):
            past.log.note_snapshot(_snapshot(journal, seq, worlds[seq]))
        compact(past.log, fold_version=FOLD_VERSION)


def test_the_cache_is_bounded_and_the_least_used_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, "things", bytes_max=450)
    for number in range(3):
        cache.put(str(number), os.urandom(100))
        os.utime(tmp_path / "things" / str(number), (number, number))
    assert cache.get("0") is not None
    cache.put("3", os.urandom(100))
    assert cache.names() == ["0", "2", "3"]


def test_an_entry_that_is_not_what_was_put_there_is_removed_and_not_given(tmp_path: Path) -> None:
    cache = Cache(tmp_path, "things")
    for name in ("one", "two"):
        cache.put(name, name.encode() * 50)
        assert cache.get(name) == name.encode() * 50
    one, two = (tmp_path / "things" / name for name in ("one", "two"))
    one.write_bytes(one.read_bytes()[:32] + two.read_bytes()[32:])  # unpacks well
    two.write_bytes(b"")
    assert (cache.get("one"), cache.get("two")) == (None, None)
    assert cache.names() == []


def test_the_cache_is_where_the_user_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "ackbook"
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert cache_directory() == Path.home() / ".cache" / "ackbook"
