"""Every row of the recovery table, with the bytes that cause it, and what each verdict does."""

import itertools
import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import pytest

from ackbook.journal import (
    Corrupt,
    DamageFound,
    Draft,
    JournalError,
    Limits,
    Log,
    Lost,
    NewerFormat,
    Reader,
    TornTail,
    open_log,
    verify,
)
from ackbook.journal.format.control import Repaired, control_draft
from ackbook.journal.format.head import SLOT_BYTES
from ackbook.journal.format.record import encode_line, time_part
from ackbook.journal.reading.scanner import BLOCK_BYTES
from ackbook.journal.recovery.decision_table import TABLE, Finding, RecoveryAction, decide
from tests.support.forged import blind_head

KINDS = frozenset({"thing.happened"})
FIRST = "00000000000000000001.jsonl"
ROOMY = Limits(room_bytes_min=2000, reserve_bytes=4000, control_bytes=1500)
SMALL = Limits(segment_bytes_max=1000, room_bytes_min=2000, reserve_bytes=4000, control_bytes=1500)


def test_the_first_row_that_holds_is_the_verdict_for_all_combinations() -> None:
    order = [finding for finding, _ in TABLE]
    assert set(order) == set(Finding)
    for size in range(len(order) + 1):
        for found in itertools.combinations(order, size):
            row, verdict = decide(frozenset(found))
            first = min(found, key=order.index, default=None)
            assert row is first
            assert verdict is (dict(TABLE)[first] if first else RecoveryAction.KEEP)


def test_a_verdict_that_refuses_has_an_error_of_its_own() -> None:
    errors = [verdict.error for verdict in RecoveryAction if verdict.refuses]
    assert errors == [NewerFormat, Lost, Corrupt]
    assert (RecoveryAction.CUT.error, RecoveryAction.KEEP.error) == (TornTail, None)


def make(directory: Path, count: int = 3, *, close: bool = True, rounds: int = 1) -> list[str]:
    """A journal of `count` records in each of `rounds` batches; the names of its segments."""
    limits = SMALL if rounds > 3 else ROOMY
    log = open_log(directory, kinds=KINDS, limits=limits, new_id="5eed")
    for _ in range(rounds):
        fill(log, count)
    if close:
        log.close()
    else:
        abandon(log)
    return sorted(path.name for path in directory.glob("*.jsonl"))


def fill(log: Log, count: int) -> None:
    for number in range(count):
        draft = Draft("thing.happened", b'{"n":%d}' % number)
        assert log.secure(log.measure(draft))
        log.stage([draft], log.now(), expect=log.next_seq)
    log.commit()


def abandon(log: Log) -> None:
    """The end of a process that was killed: descriptors close, nothing is written."""
    log._committer.close()
    log._writer.release()
    log._lock.release()


def content(directory: Path) -> dict[str, bytes]:
    """Every file but LOCK, which only says who was there last."""
    paths = [path for path in directory.rglob("*") if path.is_file() and path.name != "LOCK"]
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def refuses(directory: Path, error: type[JournalError]) -> JournalError:
    """A start raises this error and changes nothing, and `verify` says the same."""
    before = content(directory)
    with pytest.raises(error) as caught:
        open_log(directory, kinds=KINDS, limits=SMALL)
    assert content(directory) == before
    assert RecoveryAction(verify(directory, kinds=KINDS).verdict).error is error
    assert str(caught.value.next_step) in str(caught.value)
    return caught.value


def opens(directory: Path) -> Log:
    return open_log(directory, kinds=KINDS, limits=ROOMY)


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def seqs(directory: Path) -> list[int]:
    return [line.seq for line in Reader(directory).lines()]


def line(path: Path, seq: int, d: int, data: bytes = b"{}", kind: str = "thing.happened") -> bytes:
    """A line that fits behind the last line of a file."""
    before = path.read_bytes().rstrip(b"\n") + b"\n"
    draft = Draft(kind, data)
    return encode_line(draft, seq, time_part(1_763_800_000_000_000, d), crc32(before))[0]


# NEWER


def test_a_newer_format_is_refused_before_any_write(tmp_path: Path) -> None:
    make(tmp_path)
    edit(tmp_path / FIRST, lambda data: data.replace(b'"format":1', b'"format":2', 1))
    error = refuses(tmp_path, NewerFormat)
    assert "format 2" in str(error)


@pytest.mark.parametrize("kind", ["later.invented", "journal.invented"])
def test_an_unknown_kind_in_the_tail_is_refused_before_any_write(tmp_path: Path, kind: str) -> None:
    make(tmp_path, close=False)
    tail = tmp_path / FIRST
    edit(tail, lambda data: data.rstrip(b"\n") + b"\n" + line(tail, 6, 5, kind=kind))
    error = refuses(tmp_path, NewerFormat)
    assert kind in str(error)


def test_an_unknown_kind_in_a_sealed_segment_is_refused_before_any_write(tmp_path: Path) -> None:
    assert len(make(tmp_path, rounds=5)) > 1
    before = content(tmp_path)
    with pytest.raises(NewerFormat, match=r"thing\.happened"):
        open_log(tmp_path, kinds=frozenset({"other.thing"}), limits=SMALL)
    assert content(tmp_path) == before


def test_open_kinds_need_no_list(tmp_path: Path) -> None:
    log = opens(tmp_path)
    draft = Draft("x.mine", b"{}")
    assert log.secure(log.measure(draft))
    log.stage([draft], log.now(), expect=log.next_seq)
    log.close()
    opens(tmp_path).close()


# ORPHANED and BEYOND: lost


@pytest.mark.parametrize("witness", ["HEAD", "snapshot", "archive", "quarantine"])
def test_a_journal_without_segments_never_starts_empty(tmp_path: Path, witness: str) -> None:
    make(tmp_path)
    (tmp_path / FIRST).unlink()
    if witness != "HEAD":
        (tmp_path / "HEAD").unlink()
        if witness == "snapshot":
            (tmp_path / "snapshot-00000000000000000003.jsonl").write_bytes(b"{}\n")
        else:
            (tmp_path / witness).mkdir()
            (tmp_path / witness / "something").write_bytes(b"kept")
    refuses(tmp_path, Lost)


@pytest.mark.parametrize("kept", [0, 1, 2 * SLOT_BYTES - 1])
@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("rounds", [1, 5])
def test_records_without_head_are_lost_since_nobody_knows_how_many_there_were(
    kept: int, close: bool, rounds: int, tmp_path: Path
) -> None:
    names = make(tmp_path, rounds=rounds, close=close)
    head = tmp_path / "HEAD"
    content = head.read_bytes()[:kept]
    head.unlink()
    if kept:
        head.write_bytes(b"?" + content[1:])
    tail = tmp_path / names[-1]
    whole = tail.read_bytes().rstrip(b"\n") + b"\n"
    for lines in range(2 if rounds == 1 else 1, whole.count(b"\n")):
        tail.write_bytes(b"".join(whole.splitlines(keepends=True)[:lines]))
        error = refuses(tmp_path, Lost)
        assert "whether records after" in str(error)
        assert error.damage is not None
        assert error.damage.file == "HEAD"


def test_a_start_that_made_the_first_line_and_not_yet_head_is_gone_on_with(tmp_path: Path) -> None:
    make(tmp_path)
    edit(tmp_path / FIRST, lambda data: data.splitlines(keepends=True)[0])
    for end in (b"", b"\n" * 300):
        (tmp_path / "HEAD").unlink()
        edit(tmp_path / FIRST, lambda data, end=end: data.splitlines(keepends=True)[0] + end)
        assert verify(tmp_path).ok
        opens(tmp_path).close()
        assert verify(tmp_path).last_seq > 1


def test_the_last_record_gone_is_lost_when_head_vouches_for_it(tmp_path: Path) -> None:
    make(tmp_path, close=False)
    edit(tmp_path / FIRST, lambda data: b"\n".join(data.split(b"\n")[:4]) + b"\n")
    error = refuses(tmp_path, Lost)
    assert "records 5 to 5 are missing" in str(error)


def test_the_last_segment_gone_is_lost(tmp_path: Path) -> None:
    names = make(tmp_path, rounds=5)
    (tmp_path / names[-1]).unlink()
    refuses(tmp_path, Lost)


def test_a_flipped_byte_in_the_last_line_is_lost_not_cut(tmp_path: Path) -> None:
    make(tmp_path)
    edit(tmp_path / FIRST, lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])
    refuses(tmp_path, Lost)


# BROKEN, FIRST_LINE and PROVEN: corrupt


def test_a_flipped_byte_in_a_sealed_segment_is_corrupt_with_its_place(tmp_path: Path) -> None:
    names = make(tmp_path, rounds=5)
    edit(tmp_path / names[0], lambda data: data[:400] + bytes([data[400] ^ 1]) + data[401:])
    error = refuses(tmp_path, Corrupt)
    assert isinstance(error, DamageFound)
    assert error.damage is not None
    at = (tmp_path / names[0]).read_bytes()
    assert error.damage.file == names[0]
    assert error.damage.line == at[:400].count(b"\n") + 1
    assert error.damage.byte == at.rfind(b"\n", 0, 400) + 1
    assert "checksum" in str(error) or "not a line" in str(error)


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_segment_is_corrupt(tmp_path: Path, which: int) -> None:
    names = make(tmp_path, rounds=12)
    assert len(names) > 2
    (tmp_path / names[which]).unlink()
    refuses(tmp_path, Corrupt)


def test_a_sealed_segment_without_its_seal_is_corrupt(tmp_path: Path) -> None:
    names = make(tmp_path, rounds=5)
    edit(tmp_path / names[0], lambda data: data[: data.rstrip(b"\n").rfind(b"\n") + 1])
    refuses(tmp_path, Corrupt)


def test_room_behind_a_seal_with_a_successor_is_corrupt(tmp_path: Path) -> None:
    names = make(tmp_path, rounds=5)
    edit(tmp_path / names[0], lambda data: data + b"\n\n")
    refuses(tmp_path, Corrupt)


def test_a_segment_of_another_journal_is_corrupt(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    names = make(mine, rounds=5)
    log = open_log(other, kinds=KINDS, limits=SMALL, new_id="0123")
    for _ in range(5):
        fill(log, 3)
    log.close()
    assert sorted(path.name for path in other.glob("*.jsonl")) == names
    shutil.copy(other / names[-1], mine / names[-1])
    blind_head(mine)
    assert "another journal" in str(refuses(mine, Corrupt))


def test_a_head_of_another_journal_is_corrupt(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    make(mine)
    open_log(other, new_id="0123").close()
    shutil.copy(other / "HEAD", mine / "HEAD")
    assert "another journal" in str(refuses(mine, Corrupt))


def test_another_line_than_the_durable_one_is_corrupt(tmp_path: Path) -> None:
    make(tmp_path, close=False)
    tail = tmp_path / FIRST
    edit(tail, lambda data: b"\n".join(data.split(b"\n")[:4]) + b"\n")
    edit(tail, lambda data: data + line(tail, 5, 4, b'{"n":"forged"}'))
    assert "HEAD knows it" in str(refuses(tmp_path, Corrupt))


@pytest.mark.parametrize("first", [b"", b"\n" * 200, bytes(200), b"rubbish\n"])
def test_a_bad_first_line_of_the_tail_is_corrupt(tmp_path: Path, first: bytes) -> None:
    make(tmp_path)
    blind_head(tmp_path)
    edit(tmp_path / FIRST, lambda data: first + data[len(first) :] if first else b"")
    refuses(tmp_path, Corrupt)


def test_a_segment_under_the_name_of_another_is_corrupt(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / FIRST).rename(tmp_path / "00000000000000000007.jsonl")
    refuses(tmp_path, Corrupt)


def test_a_bad_line_that_a_later_one_calls_durable_is_corrupt(tmp_path: Path) -> None:
    make(tmp_path, count=1, rounds=3, close=False)
    blind_head(tmp_path)
    edit(tmp_path / FIRST, lambda data: data.replace(b'{"n":0}', b'{"n":7}', 1))
    error = refuses(tmp_path, Corrupt)
    assert "was durable before it" in str(error)


def test_the_proof_needs_no_checksum(tmp_path: Path) -> None:
    make(tmp_path, count=1, rounds=3, close=False)
    blind_head(tmp_path)

    def spoil(data: bytes) -> bytes:
        lines = data.rstrip(b"\n").split(b"\n")
        lines[2] = b"\0" * len(lines[2])
        lines[4] = lines[4][:-10] + b'00000000"}'
        return b"\n".join(lines) + b"\n"

    edit(tmp_path / FIRST, spoil)
    refuses(tmp_path, Corrupt)


def test_the_proof_needs_no_newline_before_it(tmp_path: Path) -> None:
    make(tmp_path, count=1, rounds=2, close=False)
    blind_head(tmp_path)

    def join_the_last_two(data: bytes) -> bytes:
        lines = data.rstrip(b"\n")
        place = lines.rfind(b"\n")
        return lines[:place] + b"J" + lines[place + 1 :] + b"\n"

    edit(tmp_path / FIRST, join_the_last_two)
    refuses(tmp_path, Corrupt)


def test_a_copy_of_a_line_inside_a_torn_record_is_no_proof(tmp_path: Path) -> None:
    make(tmp_path, close=False)
    tail = tmp_path / FIRST
    good = tail.read_bytes().rstrip(b"\n") + b"\n"
    inner = line(tail, 90, 80)[:-1]
    outer = line(tail, 6, 5, b'{"copy":' + inner + b"}")
    torn = outer[: outer.index(inner) + len(inner)]
    tail.write_bytes(good + torn + b"\n" * 50)
    assert verify(tmp_path).verdict == "cut"
    opens(tmp_path).close()


# TORN: cut


TEARS: dict[str, Callable[[bytes], bytes]] = {
    "half a line": lambda good: good[: len(good) // 3],
    "zeros": lambda good: bytes(300),
    "noise": lambda good: bytes(range(256)),
    "zeros before a line": lambda good: bytes(40) + good[40:],
    "a blank line before a line": lambda good: b"\n" + good,
    "a bad line, then a good one of its batch": lambda good: good.replace(b"happened", b"hxppened"),
}


@pytest.mark.parametrize("tear", sorted(TEARS))
@pytest.mark.parametrize("with_head", [True, False])
def test_an_unacknowledged_end_is_cut_and_kept_aside(
    tmp_path: Path, tear: str, with_head: bool
) -> None:
    make(tmp_path, close=False)
    tail = tmp_path / FIRST
    good = tail.read_bytes().rstrip(b"\n") + b"\n"
    first = line(tail, 6, 5)
    second = encode_line(
        Draft("thing.happened", b"{}"), 7, time_part(1_763_800_000_000_001, 5), crc32(good + first)
    )[0]
    torn = TEARS[tear](first + second)
    tail.write_bytes(good + torn + b"\n" * 500)
    if not with_head:
        blind_head(tmp_path)
    report = verify(tmp_path, kinds=KINDS)
    assert (report.verdict, report.last_seq) == ("cut", 5)
    assert report.damage[0].byte == len(good)
    old = tail.stat().st_ino
    log = opens(tmp_path)
    assert log.recovery.verdict == "cut"
    assert log.recovery.head.seq == 5
    kept = torn.rstrip(b"\n")
    assert log.recovery.cut_bytes == len(kept)
    if kept.strip(b"\0\n"):
        assert (tmp_path / log.recovery.quarantined).read_bytes() == kept
        beside = (tmp_path / log.recovery.quarantined).with_suffix(".json")
        assert json.loads(beside.read_bytes())["byte"] == len(good)
    assert tail.stat().st_ino != old, "the old file is never written again"
    fill(log, 1)
    log.close()
    assert seqs(tmp_path) == list(range(1, 9))
    assert verify(tmp_path).ok


def test_anything_behind_a_seal_is_cut(tmp_path: Path) -> None:
    names = make(tmp_path, rounds=5)
    for name in names[1:]:
        (tmp_path / name).unlink()
    blind_head(tmp_path)
    edit(tmp_path / names[0], lambda data: data + b"rubbish\n")
    assert verify(tmp_path).verdict == "cut"
    log = opens(tmp_path)
    assert log.recovery.verdict == "cut"
    log.close()
    assert verify(tmp_path).ok
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == names[:2]


def test_more_than_two_batches_are_never_cut_without_asking(tmp_path: Path) -> None:
    limits = Limits(batch_bytes_max=1000)
    open_log(tmp_path, limits=limits).close()
    blind_head(tmp_path)
    edit(tmp_path / FIRST, lambda data: data + b"x" * 2001)
    before = content(tmp_path)
    with pytest.raises(TornTail) as caught:
        open_log(tmp_path, limits=limits)
    call = f"repair(Path({str(tmp_path)!r}), dry_run=True)"
    assert str(caught.value.next_step) == call
    assert content(tmp_path) == before
    log = open_log(tmp_path, limits=limits, accept_cut=True)
    assert log.recovery.cut_bytes == 2001
    log.close()


def test_zeros_and_newlines_are_cut_without_asking(tmp_path: Path) -> None:
    limits = Limits(batch_bytes_max=1000)
    open_log(tmp_path, limits=limits).close()
    edit(tmp_path / FIRST, lambda data: data + bytes(5000) + b"\n" * 5000)
    log = open_log(tmp_path, limits=limits)
    assert log.recovery.quarantined == ""
    log.close()


# UNFINISHED, SEALED, clean: keep


def test_a_whole_last_line_without_its_newline_is_kept(tmp_path: Path) -> None:
    make(tmp_path, close=False)
    edit(tmp_path / FIRST, lambda data: data.rstrip(b"\n"))
    assert verify(tmp_path).verdict == "keep"
    log = opens(tmp_path)
    assert log.recovery.completed_newline
    assert log.recovery.head.seq == 5
    log.close()
    assert verify(tmp_path).ok


def test_a_seal_without_successor_gets_one(tmp_path: Path) -> None:
    names = make(tmp_path, rounds=5)
    for name in names[1:]:
        (tmp_path / name).unlink()
    blind_head(tmp_path)
    sealed = (tmp_path / names[0]).read_bytes()
    assert verify(tmp_path).verdict == "keep"
    log = opens(tmp_path)
    log.close()
    assert (tmp_path / names[0]).read_bytes() == sealed
    first = json.loads((tmp_path / names[1]).read_bytes().split(b"\n")[0])
    assert first["data"]["previous_sha256"] == sha256(sealed).hexdigest()
    assert verify(tmp_path).ok


def test_a_clean_close_is_written_on_in_place(tmp_path: Path) -> None:
    make(tmp_path)
    before = (tmp_path / FIRST).stat().st_ino
    log = opens(tmp_path)
    assert log.recovery.clean
    log.close()
    assert (tmp_path / FIRST).stat().st_ino == before


@pytest.mark.parametrize("change", [b"\n", b""])
def test_everything_but_a_clean_close_is_copied(tmp_path: Path, change: bytes) -> None:
    make(tmp_path, close=bool(change))
    tail = tmp_path / FIRST
    edit(tail, lambda data: data + change)
    before = tail.stat().st_ino
    log = opens(tmp_path)
    assert not log.recovery.clean
    assert tail.stat().st_ino != before
    log.close()


def test_recovery_twice_is_recovery_once(tmp_path: Path) -> None:
    make(tmp_path, close=False)
    edit(tmp_path / FIRST, lambda data: data.rstrip(b"\n") + b"\ntorn")
    abandon(opens(tmp_path))
    abandon(opens(tmp_path))
    assert seqs(tmp_path) == list(range(1, 8))
    assert len(list((tmp_path / "quarantine").glob("*.bytes"))) == 1


def test_garbage_is_removed_and_unknown_names_are_left_alone(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "HEAD.tmp").write_bytes(b"x")
    (tmp_path / "notes.txt").write_bytes(b"mine")
    log = opens(tmp_path)
    assert log.recovery.removed == ("HEAD.tmp",)
    assert log.recovery.unknown == ("notes.txt",)
    log.close()
    assert (tmp_path / "notes.txt").read_bytes() == b"mine"
    assert not (tmp_path / "HEAD.tmp").exists()


def test_a_torn_slot_of_head_is_ignored_and_reported(tmp_path: Path) -> None:
    make(tmp_path, close=False)
    edit(tmp_path / "HEAD", lambda data: data[:20] + b"?" + data[21:])
    log = opens(tmp_path)
    assert log.recovery.heads_unreadable == 1
    log.close()


@pytest.mark.parametrize("size", [2, BLOCK_BYTES])
def test_an_accepted_loss_makes_the_seqs_jump_and_readers_follow(tmp_path: Path, size: int) -> None:
    """Also where a block of the reader ends between the two, since the next line does not fit."""
    make(tmp_path, close=False)
    tail = tmp_path / FIRST
    good = tail.read_bytes().rstrip(b"\n") + b"\n"
    draft = control_draft(Repaired(last=9, reason="the disk of May"))
    repaired, running = encode_line(draft, 6, time_part(1_763_800_000_000_000, 5), crc32(good))
    after, _ = encode_line(
        Draft("thing.happened", b"{" + b" " * (size - 2) + b"}"),
        10,
        time_part(1_763_800_000_000_000, 6),
        running,
    )
    tail.write_bytes(good + repaired + after)
    blind_head(tmp_path)
    assert verify(tmp_path).ok
    assert seqs(tmp_path) == [1, 2, 3, 4, 5, 6, 10]
    log = opens(tmp_path)
    assert log.next_seq == 12
    log.close()
    assert [line.seq for line in Reader(tmp_path).lines(after=6, through=11)] == [10, 11]
