"""The promises of the journal under crashes, and the proof that the check of them can fail."""

import itertools
from collections.abc import Callable
from random import Random

import pytest

from ackbook.journal import DiskFailed, Draft, Limits, Retention, open_log
from ackbook.journal.writing.preallocator import Preallocator
from tests.journal.campaign import run_history
from tests.journal.mutations import MUTATIONS, Patch
from tests.journal.promises import DIRECTORY, Broken
from tests.journal.story import RETENTIONS, SMALL, Story
from tests.support.disk import Crash, CrashKind, SimulatedDisk, nothing

PINNED = {
    "acknowledged_before_sync": 100,
    "no_directory_sync": 102,
    "head_before_sync": 106,
    "clean_looking_tail_kept_in_place": 112,
    "ground_laid_behind_the_seal": 144,
    "seal_unsynced": 102,
    "any_later_line_is_proof": 1340,
    "no_later_line_is_proof": 135,
    "head_bears_no_witness": 166,
    "d_runs_ahead": 101,
    "failed_sync_is_tried_again": 122,
    "new_file_renamed_unsynced": 100,
    "reader_shows_what_is_written": 100,
    "unlinked_before_the_record": 349,
    "record_not_awaited": 264,
    "reach_told_late": 405,
    "snapshot_renamed_unsynced": 105,
    "archive_renamed_unsynced": 105,
    "archive_name_unsynced": 144,
    "compacted_beyond_the_snapshots": 142,
    "snapshots_bear_no_witness": 244,
    "removed_before_the_tail_is_durable": 1_515,
    "compaction_left_half_done": 1_515,
}
"""A seed at or before the first history that notices each mutation; of the last two a pair of calls
(of a compaction, and of the start after it)."""

HISTORIES_MAX = 250

PID = 12_345
"""Whose histories those seeds are."""


def test_no_promise_breaks_in_random_histories() -> None:
    _run_histories(0, 400)


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_broken_protocol_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patch: Patch = monkeypatch.setattr
    # LOCK and `journal.opened` tell the pid: with more digits a seed is another history.
    patch("os.getpid", lambda: PID)
    MUTATIONS[name](patch)
    with pytest.raises(Broken):
        _notice(name)


@pytest.mark.parametrize("kind", ["process", "power"])
def test_every_call_of_a_short_life_can_be_the_last(kind: CrashKind) -> None:
    cut_points = _calls_of(_short_life)
    assert cut_points > 60, "the life rolls, extends, cuts and closes"
    for calls in range(1, cut_points + 1):
        for seed in range(3):
            story = Story(calls * 10 + seed)
            story.disk.crash_in(calls)
            _short_life(story)
            story.crash(kind)
            story.finish()


@pytest.mark.parametrize("kind", ["process", "power"])
def test_every_call_of_a_recovery_can_be_the_last(kind: CrashKind) -> None:
    for calls in range(1, 40):
        for seed in range(4):
            story = Story(calls * 10 + seed)
            story.open()
            story.append([150] * 12)
            story.disk.crash_in(2)
            story.append([50, 60, 70])
            if story.log is not None:
                story.commit()
            story.crash("power")
            story.disk.crash_in(calls)
            if story.open():
                story.disk.clear_faults()
            story.crash(kind)
            story.finish()


@pytest.mark.parametrize("kind", ["process", "power"])
@pytest.mark.parametrize("keep_audit", RETENTIONS[1:])
def test_every_call_of_a_compaction_can_be_the_last(kind: CrashKind, keep_audit: Retention) -> None:
    begin, end = _calls_of_compaction(keep_audit)
    assert end - begin > 30, "it seals, makes snapshots and archives, records, and deletes"
    for calls in range(begin, end + 1):
        for seed in range(3):
            story = Story(calls * 10 + seed)
            story.disk.crash_in(calls)
            _compacting_life(story, keep_audit)
            story.crash(kind)
            story.finish()


def test_every_call_of_a_recovery_from_a_compaction_can_be_the_last() -> None:
    _cut_recoveries_of_compactions()


def _cut_recoveries_of_compactions(first: int = 0) -> None:
    """Every call of a compaction with every call of the start after it, from pair `first` on."""
    keep_nothing = Retention(bytes_max=0)
    begin, end = _calls_of_compaction(keep_nothing)
    pairs = itertools.product(range(begin, end + 1), range(1, 16))
    for calls, calls_of_start in itertools.islice(pairs, first, None):
        story = Story(calls * 100 + calls_of_start)
        story.disk.crash_in(calls)
        _compacting_life(story, keep_nothing)
        story.crash("process")
        story.disk.crash_in(calls_of_start)
        story.open()
        story.crash("power")
        story.finish()


def test_a_compaction_trusts_no_snapshot_whose_name_is_not_durable() -> None:
    _cut_compactions_behind_killed_makers()


def _cut_compactions_behind_killed_makers() -> None:
    """Two makers of snapshots were killed in a row, each before it had synced its name."""
    begin, end = _calls_of(_half_snapshots), _calls_of(_compacting_behind_them)
    assert end - begin > 5, "it syncs, records, and deletes"
    for calls in range(begin + 1, end + 1):
        for seed in range(5):
            story = Story(calls * 10 + seed)
            story.disk.crash_in(calls)
            _compacting_behind_them(story)
            story.crash("power")
            story.finish()


def _half_snapshots(story: Story) -> None:
    story.open()
    story.append([300] * 8)
    story.commit()
    sealed = story.seal()
    for position in (sealed, None):
        story.snapshot(position, maker_is_killed=True)
    assert story.tally["makers_killed"] == 2


def _compacting_behind_them(story: Story) -> None:
    _half_snapshots(story)
    story.compact(Retention(bytes_max=0))


def test_every_call_of_a_compaction_can_fail() -> None:
    for keep_audit in RETENTIONS[1:]:
        begin, end = _calls_of_compaction(keep_audit)
        for calls in range(begin, end + 1):
            story = Story(calls)
            story.disk.fail_in(calls)
            _compacting_life(story, keep_audit)
            story.disk.clear_faults()
            story.crash("power")
            story.finish()


def test_every_call_of_a_life_can_fail() -> None:
    for calls in range(1, _calls_of(_short_life) + 1):
        story = Story(calls)
        story.disk.fail_in(calls)
        _short_life(story)
        story.disk.clear_faults()
        story.crash("process")
        story.finish()


def test_a_sync_that_fails_beside_a_batch_is_told_to_the_batch() -> None:
    _fail_beside_batches()


def _fail_beside_batches() -> None:
    for seed in range(20):
        story = Story(seed)
        story.open()
        story.append([300])
        story.commit()
        assert story.log is not None
        preallocator = story.log.begin_preallocation()
        assert preallocator is not None
        story.append([100])
        _fail_beside(story, preallocator)
        story.crash("power")
        story.finish()


def _fail_beside(story: Story, preallocator: Preallocator) -> None:
    """The batch is written; before it is synced, another sync fails and takes it along."""
    assert story.log is not None

    def step() -> None:
        story.disk.before_sync = nothing
        story.disk.fail_in(2)
        preallocator.step()

    story.disk.before_sync = step
    try:
        story.log.commit()
    except DiskFailed:
        return
    story.promised += story.hoped
    story.hoped = []


def _notice(mutation: str) -> None:
    # Two mishaps in two short moments are too rare to wait for.
    match mutation:
        case "ground_laid_through_the_descriptor_of_the_appends":
            _fail_beside_batches()
        case "removed_before_the_tail_is_durable" | "compaction_left_half_done":
            _cut_recoveries_of_compactions(PINNED[mutation])
        case "snapshot_name_not_awaited":
            _cut_compactions_behind_killed_makers()
        case _:
            _run_histories(PINNED[mutation], HISTORIES_MAX)


def _run_histories(first: int, count: int) -> None:
    for seed in range(first, first + count):
        run_history(seed)


def _short_life(story: Story) -> None:
    steps: list[Callable[[], object]] = [
        story.open,
        lambda: story.append([100, 200]),
        story.begin_preallocation,
        story.commit,
        lambda: story.append([150] * 14),
        story.begin_preallocation,
        story.commit,
        story.begin_preallocation,
        story.close,
        story.open,
        lambda: story.append([10]),
        story.commit,
    ]
    for step in steps:
        if story.disk.crashed or (story.log is None and step != story.open):
            return
        step()


def _compacting_life(story: Story, keep_audit: Retention) -> None:
    if not story.open():
        return
    for sizes in ([300] * 8, [300] * 8):
        story.append(sizes)
        if story.log is not None:
            story.commit()
        if story.log is None:
            return
    story.tally["calls_before"] = story.disk.calls
    story.compact(keep_audit, wholly=True)
    if story.log is not None:
        story.append([50])
    if story.log is not None:
        story.commit()


def _calls_of_compaction(keep_audit: Retention) -> tuple[int, int]:
    story = Story(1)
    _compacting_life(story, keep_audit)
    assert story.tally["compacted_segments"] > 1
    return story.tally["calls_before"], story.disk.calls


def _calls_of(life: Callable[[Story], None]) -> int:
    story = Story(1)
    life(story)
    return story.disk.calls


def test_a_full_disk_refuses_and_loses_nothing_and_comes_back() -> None:
    story = Story(7)
    assert story.open()
    story.disk.capacity = story.disk.used() + 500
    for _ in range(40):
        story.append([180])
        story.commit()
    assert story.tally["refused_full"] > 0
    assert story.log is not None, "a full disk does not end the log"
    before = len(story.promised)
    story.append([50], reserve=True)
    story.commit()
    assert len(story.promised) == before + 1, "the reserve takes what makes the state smaller"
    story.disk.capacity = None
    story.clock.advance(1_100_000)
    story.append([180])
    story.commit()
    assert len(story.promised) == before + 2
    story.close()
    story.finish()


def test_a_clean_close_succeeds_on_a_full_disk() -> None:
    story = Story(8)
    assert story.open()
    story.append([100])
    story.commit()
    story.disk.capacity = story.disk.used()
    story.close()
    assert story.tally["closes"] == 1


def test_a_failed_write_ahead_is_no_poison() -> None:
    disk = SimulatedDisk(3)
    log = open_log(DIRECTORY, files=disk, limits=SMALL, trusted=True)
    disk.capacity = disk.used()
    draft = Draft("thing.happened", b'{"n":1}')
    for _ in range(4):
        if log.secure(log.measure(draft)):
            log.stage([draft], log.now(), expect=log.next_seq)
        log.commit()
    assert not log.poisoned
    log.close()


def test_no_segment_is_begun_without_room_for_it() -> None:
    disk = SimulatedDisk(4)
    log = open_log(DIRECTORY, files=disk, limits=Limits(segment_bytes_max=600), trusted=True)
    disk.capacity = disk.used() + 1000
    draft = Draft("thing.happened", b'{"n":1}')
    for _ in range(10):
        assert log.secure(log.measure(draft))
        log.stage([draft], log.now(), expect=log.next_seq)
        log.commit()
    assert log.statistics().segments == 1
    assert not [name for name in disk.entries(DIRECTORY) if name.endswith(".tmp")]
    log.close()


def test_the_simulated_disk_forgets_what_was_not_synced() -> None:
    survived = set()
    for seed in range(40):
        disk = SimulatedDisk(seed)
        disk.make_dir(DIRECTORY)
        handle = disk.open(DIRECTORY / "LOCK", "create")
        disk.sync_dir(DIRECTORY)
        disk.write(handle, 0, b"lost?")
        disk.reboot("power")
        survived.add(disk.content(DIRECTORY / "LOCK"))
    assert b"lost?" in survived
    assert b"" in survived
    assert len(survived) > 5, "parts survive, too"


def test_a_crash_leaves_nothing_running_in_the_simulation() -> None:
    disk = SimulatedDisk(Random(1).randrange(100))
    disk.crash_in(5)
    with pytest.raises(Crash):
        open_log(DIRECTORY, files=disk)
    with pytest.raises(Crash):
        disk.entries(DIRECTORY)
    disk.reboot("process")
    open_log(DIRECTORY, files=disk).close()
