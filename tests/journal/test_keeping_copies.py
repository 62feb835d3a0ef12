"""Backups, head tokens, repairs: copies that open like any other, and proofs of what they hold."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ackbook.journal import (
    Corrupt,
    Draft,
    HeadToken,
    Limits,
    Locked,
    Log,
    Lost,
    OutOfReach,
    Reader,
    TargetTaken,
    backup,
    check_token,
    compact,
    head_token,
    open_log,
    parse_token,
    read_snapshot,
    repair,
    verify,
)
from ackbook.journal.format.control import Sealed, SegmentStarted, read_control
from ackbook.journal.format.record import encode_line, running_after, time_part
from ackbook.journal.storage.files import Access, Handle, OsFiles
from tests.journal.damaged_corpus import CORPUS, archives, segments, take_snapshot

WHOLE = CORPUS / "whole" / "journal"
SMALL = Limits(segment_bytes_max=4096, room_bytes_min=64 * 1024, reserve_bytes=48 * 1024)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WHOLE, tmp_path / "journal"))


def note(log: Log, text: str, count: int = 1) -> None:
    drafts = [Draft("x.note", b'{"text":"%s"}' % text.encode())] * count
    assert log.secure(sum(map(log.measure, drafts)))
    log.stage(drafts, log.now(), expect=log.next_seq)
    log.commit()


def token_of(directory: Path) -> HeadToken:
    token = head_token(directory)
    assert token is not None
    return token


# --- backup


def test_a_backup_made_while_records_are_written_is_a_prefix_and_opens(tmp_path: Path) -> None:
    """Segments roll all the while; each copy ends at a record that was durable when it began."""
    journal = tmp_path / "journal"
    log = open_log(journal, limits=SMALL)
    note(log, "the first one")
    stop, told = threading.Event(), [log.head.seq]

    def write() -> None:
        while not stop.is_set():
            note(log, "a text of some length, so that segments roll", count=7)
            told.append(log.head.seq)

    writer = threading.Thread(target=write)
    writer.start()
    copies = []
    try:
        for number in range(8):
            before = told[-1]
            copy = tmp_path / f"copy{number}"
            report = backup(journal, copy)
            assert report.head.seq >= before, "whatever anybody was told is in it"
            copies.append((copy, report))
    finally:
        stop.set()
        writer.join()
        log.close()
    assert len(segments(copies[-1][0])) > 1, "the writer was at work"
    for copy, report in copies:
        assert token_of(copy) == report.head
        assert check_token(journal, report.head) is None
        wanted = [line.raw for line in Reader(journal).lines(through=report.head.seq)]
        assert [line.raw for line in Reader(copy).lines()] == wanted
        opened = open_log(copy)
        assert opened.recovery.cut_bytes == 0
        note(opened, "goes on")
        opened.close()
        assert verify(copy).ok


def test_a_backup_holds_snapshots_and_archives(tmp_path: Path) -> None:
    source = CORPUS / "compacted" / "journal"
    report = backup(source, tmp_path / "copy")
    assert (report.segments, report.snapshots, report.archives) == (2, 2, 4)
    for path in (*archives(source), *source.glob("snapshot-*")):
        assert (tmp_path / "copy" / path.relative_to(source)).read_bytes() == path.read_bytes()
    assert list(Reader(tmp_path / "copy").lines()) == list(Reader(source).lines())


class Meanwhile(OsFiles):
    """The real disk, and something that happens when the first file is created."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._pending = [act]

    def open(self, path: Path, access: Access) -> Handle:
        if access == "create" and self._pending:
            self._pending.pop()()
        return super().open(path, access)


def test_a_backup_whose_source_is_compacted_meanwhile_begins_again(
    journal: Path, tmp_path: Path
) -> None:
    log = open_log(journal, limits=SMALL)
    for text in ("one", "two"):
        note(log, text)
        log.sync_head()
        log.note_snapshot(read_snapshot(take_snapshot(journal)))
    before = [line.raw for line in Reader(journal).lines()]
    files = Meanwhile(lambda: compact(log, fold_version=None))
    try:
        report = backup(journal, tmp_path / "copy", files=files)
    finally:
        log.close()
    assert (report.segments, report.archives) == (len(segments(journal)), len(archives(journal)))
    assert archives(journal)
    assert verify(tmp_path / "copy").ok
    assert [line.raw for line in Reader(tmp_path / "copy").lines()][: len(before)] == before


def test_a_torn_end_stays_behind(tmp_path: Path) -> None:
    backup(CORPUS / "torn" / "journal", tmp_path / "copy")
    assert verify(tmp_path / "copy").ok
    assert token_of(tmp_path / "copy") == token_of(WHOLE)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("flipped_in_a_sealed_segment", Corrupt),
        ("flipped_in_the_tail", Corrupt),
        ("archive_damaged", Corrupt),
        ("head_beyond", Lost),
        ("last_missing", Lost),
    ],
)
def test_a_damaged_journal_is_not_copied(kind: str, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error) as raised:
        backup(CORPUS / kind / "journal", tmp_path / "copy")
    assert "partial" not in str(raised.value), "the damage is in the source"
    assert not (tmp_path / "copy").exists()


def test_a_backup_never_goes_where_something_is(journal: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetTaken):
        backup(WHOLE, journal)
    (tmp_path / "copy.partial").mkdir()
    (tmp_path / "copy.partial" / "mine").write_text("kept")
    with pytest.raises(TargetTaken):
        backup(WHOLE, tmp_path / "copy")
    assert (tmp_path / "copy.partial" / "mine").read_text() == "kept"


# --- tokens


def test_a_token_is_read_back_and_nothing_else_is(journal: Path) -> None:
    token = token_of(journal)
    assert parse_token(str(token)) == token
    assert parse_token(f" {token}\n") == token
    for text in ("", "x", str(token)[:-1], f"{token}0", str(token).upper(), "a.0." + "0" * 64):
        assert parse_token(text) is None


def test_a_token_holds_while_the_journal_goes_on_and_rolls(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    log = open_log(journal, limits=SMALL)
    tokens = []
    for number in range(60):
        note(log, f"note {number}", count=3)
        tokens.append(token_of(journal))
    log.close()
    assert len(segments(journal)) > 3
    assert [check_token(journal, token) for token in tokens] == [None] * len(tokens)


def test_a_journal_that_was_rolled_back_is_told_by_the_token(journal: Path) -> None:
    token = (CORPUS / "older_backup_restored" / "TOKEN").read_text()
    older = CORPUS / "older_backup_restored" / "journal"
    assert verify(older).ok
    parsed = parse_token(token)
    assert parsed is not None
    assert isinstance(check_token(older, parsed), Lost)
    assert check_token(journal, parsed) is None


def test_history_rewritten_with_right_checksums_is_told_by_the_token(journal: Path) -> None:
    """Whoever rewrites a segment can compute every checksum, and even the seal; what the next
    segment's first line says of it, and so everything after it, has to be rewritten as well."""
    token = token_of(journal)
    for path in segments(journal):
        copy = journal.with_name(f"copy-{path.stem}")
        shutil.copytree(journal, copy)
        rewrite(copy / path.name)
        assert isinstance(check_token(copy, token), Corrupt), path.name
    rewrite_all(journal)
    assert verify(journal).ok, "nothing in the directory itself gives it away"
    assert isinstance(check_token(journal, token), Corrupt)


def rewrite(path: Path, previous: tuple[str, str] | None = None) -> tuple[str, str]:
    """Change the data of one record and make every checksum of the segment fit again."""
    from hashlib import sha256

    import msgspec

    from ackbook.journal.format.control import control_draft

    content, running, crc = b"", 0, ""
    lines = [line for line in Reader(path.parent).lines() if line.seq >= int(path.stem)]
    changed = False
    for line in lines:
        draft = Draft(line.kind, line.data, line.by, line.cause)
        control = read_control(line)
        if isinstance(control, SegmentStarted) and previous is not None:
            crc, digest = previous
            draft = control_draft(
                msgspec.structs.replace(control, previous_crc=crc, previous_sha256=digest)
            )
        elif isinstance(control, Sealed):
            digest = sha256(content).hexdigest()
            draft = control_draft(
                msgspec.structs.replace(control, bytes=len(content), sha256=digest)
            )
        elif control is None and not changed:
            draft = Draft(line.kind, line.data.replace(b"{", b'{"forged":1,', 1), line.by)
            changed = True
        raw, running = encode_line(draft, line.seq, time_part(line.at, line.d), running)
        content, crc = content + raw, raw[-11:-3].decode()
        assert running == running_after(crc)
        if isinstance(control, Sealed):
            break
    path.write_bytes(content)
    return crc, sha256(content).hexdigest()


def rewrite_all(journal: Path) -> None:
    """Forge every segment and the chain between them, and HEAD."""
    from tests.journal.damaged_corpus import lines_of, write_head

    previous: tuple[str, str] | None = None
    originals = {path: path.read_bytes() for path in segments(journal)}
    for path in originals:
        alone = journal.with_name("alone")
        alone.mkdir()
        (alone / path.name).write_bytes(originals[path])
        previous = rewrite(alone / path.name, previous)
        shutil.move(alone / path.name, path)
        alone.rmdir()
    last = lines_of(journal)[-1]
    journal_id = Reader(journal).journal_id
    assert journal_id is not None
    write_head(journal, journal_id, last.seq, last.crc)


def test_the_token_of_another_journal_is_told_apart(journal: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    log = open_log(other)
    note(log, "another one")
    log.close()
    wrong = check_token(journal, token_of(other))
    assert isinstance(wrong, Corrupt)
    assert "another journal" in str(wrong)


def test_a_token_of_what_is_gone_on_purpose_cannot_be_checked(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(CORPUS / "compacted" / "journal", tmp_path / "journal"))
    older = HeadToken(token_of(copy).journal, 5, "0" * 64)
    assert isinstance(check_token(copy, older), Corrupt)
    assert check_token(copy, token_of(copy)) is None
    shutil.rmtree(copy / "archive")
    gone = check_token(copy, older)
    assert isinstance(gone, OutOfReach)


def test_a_damaged_end_gives_no_token() -> None:
    with pytest.raises(Lost):
        head_token(CORPUS / "head_beyond" / "journal")
    with pytest.raises(Corrupt):
        head_token(CORPUS / "flipped_in_the_tail" / "journal")


# --- repair


def test_a_dry_run_changes_nothing_and_the_repair_does_what_it_said(tmp_path: Path) -> None:
    for kind in ("torn", "zeros", "garbage", "bad_then_good", "behind_a_seal"):
        copy = Path(shutil.copytree(CORPUS / kind / "journal", tmp_path / kind))
        before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
        said = repair(copy, dry_run=True)
        assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
        done = repair(copy)
        assert (said.done, done.done) == (False, True)
        assert (said.damage, said.cut_bytes, said.last_seq) == (
            done.damage,
            done.cut_bytes,
            done.last_seq,
        )
        assert verify(copy).ok
        again = repair(copy)
        assert again.damage is None
        log = open_log(copy)
        assert log.head.seq > done.last_seq
        log.close()


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_journal_that_is_open_is_not_repaired(journal: Path, dry_run: bool) -> None:
    log = open_log(journal)
    try:
        with pytest.raises(Locked):
            repair(journal, dry_run=dry_run)
    finally:
        log.close()


def test_damage_to_what_was_acknowledged_is_never_cut(tmp_path: Path) -> None:
    for kind, error in (("flipped_in_the_tail", Corrupt), ("head_beyond", Lost)):
        copy = Path(shutil.copytree(CORPUS / kind / "journal", tmp_path / kind))
        before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file() and p.name != "LOCK"}
        with pytest.raises(error):
            repair(copy)
        for path, was in before.items():
            assert path.read_bytes() == was
