"""The histories of a journal that was put back: the world knows them by its records alone."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import msgspec

from ackbook.journal import Draft, Reader, backup, open_log
from ackbook.projections.codec import Entry, decode, encode
from ackbook.projections.facts import KINDS, BrokerStarted
from ackbook.projections.ids import event_id, lineage_of
from ackbook.projections.world.fold import World, fold_all
from ackbook.projections.world.serialization import dump, load


def entries_of(journal: Path) -> list[Entry]:
    return [decode(line.raw) for line in Reader(journal).lines()]


def world_of(journal: Path) -> World:
    world = World()
    fold_all(world, entries_of(journal))
    return world


def run(journal: Path, lineage: str = "", forked_after: int = 0) -> tuple[str, int]:
    """One broker that finds out so much itself: what its journal began, and found as its end."""
    with contextlib.closing(open_log(journal, kinds=KINDS)) as log:
        fact = BrokerStarted(
            epoch=log.epoch, pid=1, version="t", lineage=lineage, forked_after=forked_after
        )
        draft = Draft(BrokerStarted.KIND, encode(fact))
        assert log.secure(log.measure(draft))
        log.stage([draft], log.now(), expect=log.next_seq)
        log.commit()
        return log.lineage, log.recovery.head.seq


def put_back(journal: Path, copy: Path) -> None:
    shutil.rmtree(journal)
    shutil.copytree(copy, journal)


def test_ids_end_in_the_tag_of_whoever_found_out_last(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    assert run(journal)[0] == ""
    assert world_of(journal).lineage == ""
    backup(journal, tmp_path / "backup")
    put_back(journal, tmp_path / "backup")
    first, end = run(journal)
    world = world_of(journal)
    assert (world.lineages, world.forks) == ((first,), (end,))
    assert lineage_of(event_id(world.seq + 1, world.lineage)) == first
    run(journal, "0badcafe", 77)
    world = world_of(journal)
    assert (world.lineages, world.forks) == ((first, "0badcafe"), (end, 77))


def test_one_backup_that_is_put_back_twice_gives_no_id_twice(tmp_path: Path) -> None:
    journal, given = tmp_path / "journal", set()
    run(journal)
    backup(journal, tmp_path / "backup")
    for number in range(3):
        if number:
            put_back(journal, tmp_path / "backup")
        run(journal)
        world = world_of(journal)
        given.add(event_id(world.seq + 1, world.lineage))
    assert len(given) == 3


def test_a_journal_and_its_copy_give_other_ids_from_then_on(tmp_path: Path) -> None:
    run(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for each in "ab":
        run(tmp_path / each)
    a, b = world_of(tmp_path / "a"), world_of(tmp_path / "b")
    assert a.seq == b.seq
    assert a.lineage == ""
    assert event_id(a.seq + 1, a.lineage) != event_id(b.seq + 1, b.lineage)


def test_a_history_that_no_broker_has_seen_begin_is_not_forgotten(tmp_path: Path) -> None:
    """A crash between the two records, or a compaction in between without a broker."""
    journal = tmp_path / "journal"
    run(journal)
    backup(journal, tmp_path / "backup")
    put_back(journal, tmp_path / "backup")
    log = open_log(journal, kinds=KINDS)
    log.close()
    assert run(journal)[0] == ""
    assert world_of(journal).lineages == (log.lineage,)


def test_the_world_of_any_snapshot_goes_on_to_the_same_histories(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    run(journal)
    for number in range(2):
        copy = tmp_path / f"backup{number}"
        backup(journal, copy)
        put_back(journal, copy)
        run(journal, f"{number:08x}", 1)
    entries, whole = entries_of(journal), world_of(journal)
    assert len(whole.lineages) == 4
    for cut in range(len(entries)):
        before = World()
        fold_all(before, entries[:cut])
        again = load([b"".join(line + b"\n" for line in dump(before))])
        fold_all(again, entries[cut:])
        assert list(dump(again)) == list(dump(whole))
        assert (again.lineages, again.forks) == (whole.lineages, whole.forks)


def test_a_world_without_histories_is_dumped_as_before() -> None:
    [line] = dump(World())
    assert {"lineages", "forks"}.isdisjoint(msgspec.json.decode(line))
