"""Readers: everything after a position, once, in order; what is damaged is named, not hidden."""

from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from ackbook.journal import Corrupt, Draft, Limits, Log, Reader, open_log, verify
from ackbook.journal.format.record import encode_line, parse_line, time_part
from ackbook.journal.reading.blocks import BLOCK_BYTES
from tests.support.forged import blind_head

SMALL = Limits(segment_bytes_max=3000, room_bytes_min=3000, reserve_bytes=4000, control_bytes=1500)


def put(log: Log, count: int, pad: int = 0) -> None:
    for number in range(count):
        draft = Draft("thing.happened", b'{"n":%d,"pad":"%b"}' % (number, b"x" * pad))
        if not log.secure(log.measure(draft)):
            log.commit()
            assert log.secure(log.measure(draft))
        log.stage([draft], log.now(), expect=log.next_seq)
    log.commit()


TORN_ENDS = [b'{"seq":', b"\n\n\nrubbish\n", b"\n" * 3 * BLOCK_BYTES + b"rubbish\n", bytes(100)]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Several segments, cleanly closed."""
    log = open_log(tmp_path, limits=SMALL, new_id="5eed")
    for _ in range(15):
        put(log, 4)
    log.close()
    return tmp_path


def flip(path: Path, place: int) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])


def test_every_slice_is_exactly_the_lines_between(journal: Path) -> None:
    reader = Reader(journal)
    head = reader.head()
    everything = [line.seq for line in reader.lines()]
    assert everything == list(range(1, head + 1))
    for after in range(0, head + 2, 3):
        for through in range(after, head + 3, 5):
            fresh = Reader(journal)
            for each in (reader, fresh):
                seen = [line.seq for line in each.lines(after, through)]
                assert seen == list(range(after + 1, min(through, head) + 1))


def test_without_head_the_slices_are_the_same(journal: Path) -> None:
    (journal / "HEAD").unlink()
    assert [line.seq for line in Reader(journal).lines(10, 20)] == list(range(11, 21))


def test_blocks_are_whole_verified_lines_of_a_bounded_size(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    put(log, 2000, pad=100)
    put(log, 1, pad=300_000)
    put(log, 10)
    blocks = list(Reader(tmp_path).blocks())
    assert len(blocks) > 4
    assert sum(len(block) > BLOCK_BYTES for block in blocks) == 1, "only for a longer line"
    raws = b"".join(blocks).split(b"\n")
    assert raws.pop() == b""
    assert [msgspec.json.decode(raw)["seq"] for raw in raws] == list(range(1, log.head.seq + 1))
    log.close()


def test_following_is_asking_again(tmp_path: Path) -> None:
    log = open_log(tmp_path, limits=SMALL)
    reader, seen = Reader(tmp_path), 0
    for _ in range(30):
        put(log, 3)
        for line in reader.lines(after=seen):
            assert line.seq == seen + 1
            seen = line.seq
        assert seen == log.head.seq
    log.close()


def test_what_was_read_before_and_cut_since_is_read_anew(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    put(log, 3)
    log._writer.release()
    log._lock.release()
    torn = tmp_path / "torn"
    torn.mkdir()
    data = (tmp_path / "00000000000000000001.jsonl").read_bytes().rstrip(b"\n") + b"\n"
    tail = torn / "00000000000000000001.jsonl"
    tail.write_bytes(data)
    reader = Reader(torn)
    assert [line.seq for line in reader.lines()] == [1, 2, 3, 4, 5]
    tail.write_bytes(data[: data.rstrip(b"\n").rfind(b"\n") + 1])
    blind_head(torn)
    log = open_log(torn)
    put(log, 5)
    assert [line.seq for line in reader.lines(after=5)] == [6, 7, 8, 9, 10][: log.head.seq - 5]
    assert reader.damage == ()
    log.close()


def test_damage_is_named_and_the_rest_is_given(journal: Path) -> None:
    names = sorted(path.name for path in journal.glob("*.jsonl"))
    second = journal / names[1]
    flip(second, 500)
    reader = Reader(journal)
    seqs = [line.seq for line in reader.lines()]
    missing = sorted(set(range(1, reader.head() + 1)) - set(seqs))
    assert missing == list(range(missing[0], int(names[2][:20])))
    (damage,) = reader.damage
    assert damage.file == names[1]
    assert damage.line == second.read_bytes()[:500].count(b"\n") + 1
    assert f"verify(Path({str(journal)!r}))" in str(damage.next)
    list(reader.lines())
    assert len(reader.damage) == 1, "each place once"


@pytest.mark.parametrize("end", TORN_ENDS)
def test_a_torn_end_is_named_when_no_writer_is_at_work(journal: Path, end: bytes) -> None:
    tail = max(journal.glob("*.jsonl"))
    good = tail.read_bytes()
    tail.write_bytes(good + end)
    reader = Reader(journal)
    assert [line.seq for line in reader.lines()][-1] == verify(journal).last_seq
    (damage,) = reader.damage
    assert (damage.file, damage.byte) == (tail.name, len(good))


def test_a_bad_tail_is_named_and_its_good_lines_are_given(journal: Path) -> None:
    tail = max(journal.glob("*.jsonl"))
    flip(tail, 500)
    reader = Reader(journal)
    good = tail.read_bytes()[:500].count(b"\n")
    assert [line.seq for line in reader.lines()][-1] == int(tail.stem) + good - 1
    assert [damage.file for damage in reader.damage] == [tail.name]


def test_a_reader_of_nothing_sees_nothing(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "absent"):
        reader = Reader(directory)
        assert (reader.head(), reader.first_seq, reader.journal_id) == (0, 0, None)
        assert list(reader.lines()) == []
        assert verify(directory).records == 0


def test_a_reader_knows_whose_journal_it_is(journal: Path) -> None:
    assert (Reader(journal).journal_id, Reader(journal).first_seq) == ("5eed", 1)


def test_a_reader_changes_nothing(journal: Path) -> None:
    before = {path: path.stat() for path in journal.rglob("*")}
    list(Reader(journal).lines())
    verify(journal)
    after = {path: path.stat() for path in journal.rglob("*")}
    assert before.keys() == after.keys()
    assert all(before[path].st_mtime_ns == after[path].st_mtime_ns for path in before)


def test_verify_names_every_damaged_place(journal: Path) -> None:
    names = sorted(path.name for path in journal.glob("*.jsonl"))
    for name in names[:2]:
        flip(journal / name, 300)
    report = verify(journal)
    assert (report.ok, report.verdict) == (False, "corrupt")
    assert [damage.file for damage in report.damage] == names[:2]
    assert all(damage.line > 0 and damage.proof is not None for damage in report.damage)


def change(path: Path, number: int, fields: dict[str, object]) -> str:
    """Change the data of one line of a file, with all checksums made right again; the checksum
    of the last line. It is what somebody would do who knows the format."""
    running, lines = 0, []
    for index, raw in enumerate(path.read_bytes().splitlines()):
        parsed = parse_line(raw)
        assert parsed is not None
        data = parsed.data
        if index == number % len(path.read_bytes().splitlines()):
            data = msgspec.json.encode(msgspec.json.decode(data) | fields)
        times = time_part(parsed.at, parsed.d)
        draft = Draft(parsed.kind, data, parsed.by, parsed.cause)
        line, running = encode_line(draft, parsed.seq, times, running)
        lines.append(line)
    path.write_bytes(b"".join(lines))
    return lines[-1][-11:-3].decode()


def head_gone(journal: Path) -> list[Path]:
    blind_head(journal)
    return sorted(journal.glob("*.jsonl"))


def test_verify_checks_the_sha256_of_a_seal(journal: Path) -> None:
    first, second, *_ = head_gone(journal)
    crc = change(first, -1, {"sha256": "0" * 64})
    digest = sha256(first.read_bytes()).hexdigest()
    change(second, 0, {"previous_crc": crc, "previous_sha256": digest})
    report = verify(journal)
    assert "the seal has another sha256" in report.damage[0].what


def test_verify_checks_the_base_that_a_first_line_names(journal: Path) -> None:
    *_, tail = head_gone(journal)
    change(tail, 0, {"base": 7})
    assert "it says that it starts at 7" in verify(journal).damage[0].proof


def test_verify_checks_what_a_seal_counts(journal: Path) -> None:
    first, *_ = head_gone(journal)
    change(first, -1, {"count": 3})
    assert "the seal does not fit" in verify(journal).damage[0].what


def test_verify_checks_the_sha256_that_chains_two_segments(journal: Path) -> None:
    _, second, third = head_gone(journal)[:3]
    crc = change(second, 0, {"previous_sha256": "0" * 64})
    change(third, 0, {"previous_crc": crc})
    damage = verify(journal).damage
    assert "it follows another segment" in damage[0].what


def test_a_start_checks_the_checksum_that_chains_two_segments(journal: Path) -> None:
    _, second, *_ = head_gone(journal)
    change(second, 0, {"previous_crc": "00000000"})
    with pytest.raises(Corrupt, match="it follows another segment"):
        open_log(journal)


def test_a_missing_segment_is_named_by_its_seqs(journal: Path) -> None:
    _, second, third = sorted(journal.glob("*.jsonl"))[:3]
    second.unlink()
    wanted = f"{int(second.stem)} to {int(third.stem) - 1} are missing before it"
    with pytest.raises(Corrupt, match=wanted):
        open_log(journal)


def test_verify_counts_what_there_is(journal: Path) -> None:
    report = verify(journal)
    last = list(Reader(journal).lines())[-1].seq
    assert report.ok
    assert (report.first_seq, report.last_seq, report.records) == (1, last, last)
    assert report.segments == len(list(journal.glob("*.jsonl")))
    assert report.journal == "5eed"
