"""What a program is promised that opens a journal by its front door and knows no more of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import IO

import pytest

import ackbook.journal.reading.follow
from ackbook.journal import (
    Corrupt,
    DiskFailed,
    Journal,
    JournalFull,
    Limits,
    Locked,
    NotOpen,
    OsFiles,
    OutOfReach,
    Reader,
    RecordRefused,
    Retention,
    SnapshotUnusable,
    open_journal,
    read_journal,
    verify,
)
from ackbook.journal.storage.files import Handle
from ackbook.journal.storage.notifier import Notifier
from tests.support.embedded_writer import LIMITS

ROOT = Path(__file__).parents[2]
TEA = {"item": "tea"}


@contextlib.contextmanager
def counting(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that counts through the front door; it is killed at the latest by this."""
    command = [sys.executable, "-m", "tests.support.embedded_writer", str(directory)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(output: IO[str] | None) -> list[str]:
    assert output is not None
    return output.readline().split()


def test_what_was_appended_is_read_back_also_after_a_new_start(tmp_path: Path) -> None:
    with open_journal(tmp_path / "orders") as journal:
        seq = journal.append("order.placed", TEA)
        more = journal.append_all(("order.placed", {"n": n}) for n in range(3))
        assert journal.seq == more[-1] == seq + 3
    with open_journal(tmp_path / "orders") as journal:
        records = list(journal.read())
        assert [record.seq for record in records] == [seq, *more]
        assert [record.value for record in records] == [TEA, {"n": 0}, {"n": 1}, {"n": 2}]
        assert {record.kind for record in records} == {"order.placed"}
        assert [record.seq for record in journal.read(after=seq, through=more[1])] == [*more[:2]]
        assert [record.at for record in records] == sorted(record.at for record in records)
    assert verify(tmp_path / "orders").ok


@dataclass
class Order:
    item: str
    cups: int


def test_a_dataclass_goes_in_and_comes_back(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.append("order.placed", Order("tea", 2))
        journal.append("order.placed", b'{"item":"milk","cups":1}')
        assert [record.load(Order) for record in journal.read()] == [
            Order("tea", 2),
            Order("milk", 1),
        ]


@pytest.mark.parametrize(
    ("kind", "data", "reason"),
    [
        ("order", TEA, "unknown_kind"),
        ("journal.closed", TEA, "unknown_kind"),
        ("order.placed", [1, 2], "bad_json"),
        ("order.placed", {"deep": [{"price": float("nan")}]}, "bad_json"),
        ("order.placed", {"n": 2**53 + 1}, "bad_json"),
        ("order.placed", {"text": "\ud800"}, "bad_json"),
        ("order.placed", {"what": object()}, "bad_json"),
        ("order.placed", b"rubbish", "bad_json"),
        ("order.placed", b'{"a":}', "bad_json"),
        ("order.placed", b'{\n"a":1}', "bad_json"),
        ("order.placed", {"text": "x" * 10_000}, "too_large"),
    ],
)
def test_a_record_that_is_refused_harms_only_its_own_call(
    tmp_path: Path, kind: str, data: dict[str, object], reason: str
) -> None:
    with open_journal(tmp_path, limits=Limits(line_bytes_max=5_000)) as journal:
        first = journal.append("order.placed", TEA)
        with pytest.raises(RecordRefused) as caught:
            journal.append_all([("order.placed", TEA), (kind, data)])
        assert caught.value.reason == reason
        assert journal.append("order.placed", TEA) == first + 1
    assert [record.value for record in read_journal(tmp_path).read()] == [TEA, TEA]


def test_a_call_holds_no_more_than_a_batch(tmp_path: Path) -> None:
    with open_journal(tmp_path, limits=Limits(batch_bytes_max=2_000)) as journal:
        with pytest.raises(RecordRefused, match="a batch is 2000"):
            journal.append_all([("order.placed", TEA)] * 20)
        assert list(journal.append_all([])) == []
        assert list(journal.read()) == []


def test_one_sync_serves_all_records_of_a_call(tmp_path: Path) -> None:
    files = CountingFiles()
    with open_journal(tmp_path, files=files) as journal:
        journal.append("order.placed", TEA)
        before = files.syncs
        journal.append_all([("order.placed", TEA)] * 100)
        assert files.syncs == before + 1
        for _ in range(5):
            journal.append("order.placed", TEA)
        assert files.syncs == before + 6


class CountingFiles(OsFiles):
    """The real file system; it counts the syncs of appends, which alone are asked for here."""

    syncs = 0

    def sync(self, handle: Handle) -> None:
        if threading.current_thread() is threading.main_thread():
            self.syncs += 1
        super().sync(handle)


def test_threads_may_append_at_the_same_time(tmp_path: Path) -> None:
    told: dict[int, int] = {}

    def append(number: int) -> None:
        for each in range(25):
            told[journal.append("thread.counted", {"n": number * 100 + each})] = number * 100 + each

    with open_journal(tmp_path) as journal:
        threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {record.seq: record.value["n"] for record in journal.read()} == told
    assert len(told) == 200


def test_a_process_that_is_killed_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    random, acknowledged, number = Random(7), 0, 0
    for _ in range(8):
        with counting(tmp_path) as process:
            assert said(process.stdout)[0] == "counted"
            for _ in range(random.randrange(1, 250)):
                _, seq, told = said(process.stdout)
                acknowledged, number = int(seq), int(told)
            process.kill()
            process.wait()
        with open_journal(tmp_path, limits=LIMITS) as journal:
            numbers = [record.value["n"] for record in journal.read()]
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) >= number
            assert journal.recovery.head.seq >= acknowledged
    assert verify(tmp_path).ok
    assert list((tmp_path / "archive").iterdir()), "it compacted meanwhile"


def test_another_process_follows_across_segments_compactions_and_kills(tmp_path: Path) -> None:
    following = iter(read_journal(tmp_path).follow())
    seen = 0
    for goal in (400, 900, 1500):
        with counting(tmp_path) as process:
            said(process.stdout)
            while seen < goal:
                told = int(said(process.stdout)[2])
                while seen < told:
                    record = next(following)
                    seen += 1
                    assert record.value == {"n": seen}
            process.kill()
    assert len(list((tmp_path / "archive").iterdir())) > 2


def test_a_follower_that_begins_late_reads_through_the_archives_first(tmp_path: Path) -> None:
    with counting(tmp_path) as process:
        said(process.stdout)
        while int(said(process.stdout)[2]) < 600:
            pass
        following = iter(read_journal(tmp_path).follow())
        assert [next(following).value["n"] for _ in range(700)] == list(range(1, 701))


def test_a_second_opening_is_told_who_has_it(tmp_path: Path) -> None:
    with counting(tmp_path) as process:
        said(process.stdout)
        with pytest.raises(Locked, match=f"process {process.pid}"):
            open_journal(tmp_path)
    with (
        open_journal(tmp_path),
        pytest.raises(Locked, match=f"process {os.getpid()}"),
    ):
        open_journal(tmp_path)


def test_a_follower_in_another_thread_hears_of_each_record_and_ends_with_the_journal(
    tmp_path: Path,
) -> None:
    heard: list[int] = []
    with open_journal(tmp_path) as journal:
        thread = threading.Thread(
            target=lambda: heard.extend(record.seq for record in journal.follow())
        )
        thread.start()
        told = [journal.append("order.placed", TEA) for _ in range(50)]
    thread.join()
    assert heard == told


def test_a_follower_in_the_same_process_need_not_look_to_hear_of_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ackbook.journal.reading.follow, "PAUSE_S_MIN", 3600.0)
    monkeypatch.setattr(ackbook.journal.reading.follow, "PAUSE_S_MAX", 3600.0)
    turns = threading.Semaphore(0)

    def follow() -> None:
        for _ in orders.follow():
            turns.release()

    with open_journal(tmp_path) as orders:
        threading.Thread(target=follow, daemon=True).start()
        for _ in range(20):
            orders.append("order.placed", TEA)
            assert turns.acquire(timeout=150)


def test_a_ring_between_a_look_and_the_wait_is_heard() -> None:
    notifier = Notifier()
    heard = notifier.rings
    notifier.ring()
    notifier.wait(heard, 3600)
    asyncio.run(notifier.wait_async(heard, 3600))


def test_a_follower_ends_when_it_was_quiet_and_goes_on_where_it_was(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        following = journal.follow(quiet_s_max=0.05)
        first = journal.append_all([("order.placed", TEA)] * 3)
        assert next(iter(following)).seq == first[0]
        assert [record.seq for record in following] == [*first[1:]]
        later = journal.append("order.placed", TEA)
        assert [record.seq for record in following] == [later]


def test_a_follower_sees_nothing_that_is_not_durable(tmp_path: Path) -> None:
    files = HeldFiles()
    with open_journal(tmp_path, files=files) as journal:
        files.go.clear()
        thread = threading.Thread(target=journal.append, args=("order.placed", TEA))
        thread.start()
        assert files.arrived.wait(150)
        assert b"tea" in next(iter(tmp_path.glob("0*.jsonl"))).read_bytes(), "it is written"
        assert list(journal.follow(quiet_s_max=0.02)) == []
        assert list(read_journal(tmp_path).follow(quiet_s_max=0.02)) == []
        assert list(read_journal(tmp_path).read()) == []
        files.go.set()
        thread.join()
        assert len(list(read_journal(tmp_path).follow(quiet_s_max=0.02))) == 1


class HeldFiles(OsFiles):
    """The real file system; its syncs wait until they are let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.arrived = threading.Event()

    def sync(self, handle: Handle) -> None:
        if not self.go.is_set():
            self.arrived.set()
        assert self.go.wait(150)
        super().sync(handle)


def test_a_cursor_ahead_of_the_journal_is_said_to_be(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        for ask in (journal.follow, lambda after: list(journal.read(after)), journal.follow):
            with pytest.raises(OutOfReach, match="999 is ahead"):
                ask(999)
    with pytest.raises(OutOfReach, match="999 is ahead"):
        read_journal(tmp_path).follow(999)


def test_a_start_goes_on_from_the_newest_state(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        assert (journal.state().seq, journal.state().value) == (0, None)
        assert journal.state().load(dict[str, int]) is None
        seq = journal.append("order.placed", TEA)
        journal.snapshot({"tea": 1, "text": "x" * 200_000}, through=seq)
        later = journal.append("order.placed", TEA)
        journal.append("order.placed", TEA)
        journal.snapshot({"tea": 2}, through=later)
    with open_journal(tmp_path) as journal:
        assert journal.state().load(dict[str, int]) == {"tea": 2}
        assert len(list(journal.read(after=journal.state().seq))) == 1
        (tmp_path / f"snapshot-{later:020d}.jsonl").unlink()
        assert journal.state().value == {"tea": 1, "text": "x" * 200_000}
    assert read_journal(tmp_path).state().seq == seq


def test_a_state_of_another_version_is_left_aside(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.snapshot("old", through=journal.append("order.placed", TEA))
    with open_journal(tmp_path, state_version=2) as journal:
        assert journal.state().seq == 0
        assert len(list(journal.read())) == 1


def test_a_state_that_stands_on_no_record_is_refused(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        for through in (0, journal.seq + 1):
            with pytest.raises(SnapshotUnusable, match=f"no record {through}"):
                journal.snapshot({}, through=through)
        with pytest.raises(RecordRefused, match="nan"):
            journal.snapshot({"n": float("nan")}, through=journal.seq)


def test_compaction_takes_everything_that_one_snapshot_holds(tmp_path: Path) -> None:
    with open_journal(tmp_path, limits=LIMITS) as journal:
        seqs = journal.append_all([("order.placed", {"n": n}) for n in range(100)])
        assert journal.compact().removed == (), "there is no snapshot"
        journal.snapshot(100, through=seqs[-1])
        done = journal.compact()
        assert done.through >= seqs[-1]
        assert [pinned.why for pinned in done.pinned] == ["it is being written"]
        assert journal.compact().removed == (), "again is nothing"
        assert journal.state().value == 100
        assert [record.seq for record in journal.read()] == [*seqs]
    with open_journal(tmp_path) as journal:
        assert journal.state().value == 100
        assert list(journal.read(after=journal.state().seq)) == []
    assert verify(tmp_path).ok


def test_what_was_appended_since_the_snapshot_stays(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.snapshot(1, through=journal.append("order.placed", TEA))
        journal.append("order.placed", TEA)
        assert journal.compact().removed == ()
        assert len(list(journal.read(after=journal.state().seq))) == 1


def test_reading_what_was_let_go_of_is_an_error_that_says_where_to_begin(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        seq = journal.append("order.placed", TEA)
        journal.snapshot(1, through=seq)
        journal.compact(Retention(bytes_max=0))
        kept = journal.append("order.placed", TEA)
        with pytest.raises(OutOfReach, match=f"read after {journal.first_seq - 1}"):
            list(journal.read())
        with pytest.raises(OutOfReach):
            next(iter(journal.follow(after=seq - 1)))
        assert [record.seq for record in journal.read(journal.first_seq - 1)] == [kept]
        assert [record.seq for record in journal.read(journal.state().seq)] == [kept]


def test_archives_that_were_kept_go_when_less_is_to_be_kept(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.snapshot(1, through=journal.append("order.placed", TEA))
        [name] = journal.compact().archived
        assert journal.compact(Retention(bytes_max=1)).forgotten == (name,)
        assert list((tmp_path / "archive").iterdir()) == []


@pytest.mark.parametrize("place", [1, -1], ids=["sealed", "in_use"])
def test_reading_what_is_damaged_is_an_error_and_not_a_gap(tmp_path: Path, place: int) -> None:
    with open_journal(tmp_path, limits=LIMITS) as journal:
        for n in range(500):
            journal.append("order.placed", {"n": n})
        segment = sorted(tmp_path.glob("0*.jsonl"))[place]
        segment.write_bytes(segment.read_bytes().replace(b'"n":', b'"m":', 1))
        with pytest.raises(Corrupt, match=segment.name):
            list(journal.read())
        with pytest.raises(Corrupt, match=segment.name):
            list(journal.follow(quiet_s_max=0.05))


def test_a_full_disk_refuses_and_comes_back(tmp_path: Path) -> None:
    files = FullFiles()
    limits = Limits(room_bytes_min=8_000, room_bytes_max=8_000, retry_us_min=0)
    with open_journal(tmp_path, files=files, limits=limits) as journal:
        files.full = True
        count = append_until_full(journal)
        files.full = False
        journal.append("order.placed", {"n": count})
        assert [record.value["n"] for record in journal.read()] == list(range(count + 1))
    assert verify(tmp_path).ok


def append_until_full(journal: Journal) -> int:
    """How many records there was room for."""
    for count in range(10_000):
        try:
            journal.append("order.placed", {"n": count})
        except JournalFull:
            return count
    pytest.fail("it never was full")


class FullFiles(OsFiles):
    """The real file system; while it is full, it has no room for a file that grows."""

    full = False

    def write(self, handle: Handle, offset: int, data: bytes) -> int:
        if self.full and offset + len(data) > self.size(handle):
            raise OSError(28, os.strerror(28))
        return super().write(handle, offset, data)


def test_a_sync_that_fails_ends_the_journal(tmp_path: Path) -> None:
    files = FailingFiles()
    with open_journal(tmp_path, files=files) as journal:
        kept = journal.append("order.placed", TEA)
        files.error = OSError(5, os.strerror(5))
        with pytest.raises(DiskFailed, match="outcome of the batch is unknown"):
            journal.append("order.placed", TEA)
        files.error = None
        with pytest.raises(DiskFailed, match="failed before"):
            journal.append("order.placed", TEA)
        assert [record.seq for record in journal.read()] == [kept]
        assert [record.seq for record in journal.follow(quiet_s_max=0.02)] == [kept]
    with open_journal(tmp_path) as journal:
        assert next(journal.read()).seq == kept


class FailingFiles(OsFiles):
    """The real file system; its syncs raise what they are told to."""

    error: BaseException | None = None

    def sync(self, handle: Handle) -> None:
        if self.error is not None:
            raise self.error
        super().sync(handle)


def test_a_write_that_was_interrupted_is_never_gone_on_from(tmp_path: Path) -> None:
    files = FailingFiles()
    journal = open_journal(tmp_path / "a", files=files)
    kept = journal.append("order.placed", TEA)
    files.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        journal.append("order.placed", TEA)
    files.error = None
    with pytest.raises(NotOpen, match="interrupted"):
        journal.append("order.placed", TEA)
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").glob("*")}
    journal.close()
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").glob("*")} == before
    assert [record.seq for record in journal.read()] == [kept]


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    seq = journal.append("order.placed", TEA)
    journal.close()
    journal.close()
    for ask in (journal.compact, lambda: journal.append("order.placed", TEA)):
        with pytest.raises(NotOpen, match="is closed"):
            ask()
    assert [record.seq for record in journal.follow(after=seq - 1)] == [seq]


def test_a_fork_may_not_append_nor_end_what_its_parent_opened(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        first = journal.append("order.placed", TEA)
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                try:
                    journal.append("order.placed", TEA)
                except NotOpen:
                    code = 0
                journal.close()
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(Locked):
            open_journal(tmp_path)
        assert journal.append("order.placed", TEA) == first + 1
    assert verify(tmp_path).ok


def test_the_witness_of_the_last_append_is_durable_soon_without_another_one(
    tmp_path: Path,
) -> None:
    files = WitnessFiles()
    with open_journal(tmp_path, files=files) as journal:
        journal.append("order.placed", TEA)
        assert files.synced_head.wait(150)


class WitnessFiles(OsFiles):
    """The real file system; it tells when HEAD was synced away from the main thread."""

    def __init__(self) -> None:
        self.synced_head = threading.Event()

    def sync(self, handle: Handle) -> None:
        super().sync(handle)
        if Path(os.readlink(f"/proc/self/fd/{handle}")).name == "HEAD":
            self.synced_head.set()


def test_a_journal_that_is_not_there_yet_is_followed_from_its_first_record(tmp_path: Path) -> None:
    later = read_journal(tmp_path / "later")
    assert (later.seq, later.first_seq, later.state().seq, list(later.read())) == (0, 0, 0, [])
    following = later.follow(quiet_s_max=20)
    with open_journal(tmp_path / "later") as journal:
        seq = journal.append("order.placed", TEA)
        assert next(iter(following)).seq == seq


def test_what_is_read_while_it_is_written_is_what_the_reader_reads(tmp_path: Path) -> None:
    with open_journal(tmp_path, limits=LIMITS) as journal:
        for n in range(400):
            journal.append("order.placed", {"n": n})
        lines = [line for line in Reader(tmp_path).lines() if line.kind == "order.placed"]
        records = list(journal.read())
        assert [(r.seq, r.at, r.data) for r in records] == [(x.seq, x.at, x.data) for x in lines]
