"""Going through a journal file by file finds what a look at the whole of it finds."""

import shutil
from pathlib import Path

import pytest

from ackbook.journal import Damage, Reader, check_file, holes, list_directory, older_files, verify
from ackbook.journal.format.control import Reach
from ackbook.journal.format.layout import HEAD
from ackbook.journal.recovery.survey import survey
from ackbook.journal.storage.files import Access, Handle, OsFiles
from tests.journal.damaged_corpus import CORPUS, KINDS
from tests.journal.past import add, opened, take_snapshot


def found_by_file(journal: Path) -> list[Damage]:
    files = OsFiles()
    listing = list_directory(files, journal)
    found = [check_file(journal, name) for name, _ in older_files(listing)]
    missing = holes(journal, listing, survey(files, journal, live=False).reach)
    return [*missing, *(damage for damage in found if damage is not None)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wrong_with_older_files_is_found_one_by_one(kind: str) -> None:
    journal = CORPUS / kind / "journal"
    tail = max((path.name for path in journal.glob("0*.jsonl")), default="")
    older = [damage for damage in verify(journal).damage if damage.file not in (HEAD, tail)]
    follows_nothing = [damage for damage in verify(journal).damage if "follows" in damage.what]
    found = found_by_file(journal)
    assert {each.file for each in found} >= {each.file for each in older}
    assert {each.file for each in found} <= {each.file for each in (*older, *follows_nothing)}
    assert all(each.what and each.next for each in found)


def test_archives_that_are_not_there_are_known_by_the_names_of_the_others(tmp_path: Path) -> None:
    reach = Reach(kept_from=31, archived_from=11)
    there = [(11, 14), (15, 20), (21, 30)]
    (tmp_path / "archive").mkdir()
    for first, last in there:
        (tmp_path / "archive" / f"{first:020d}-{last:020d}.jsonl.gz").touch()
    assert holes(tmp_path, list_directory(OsFiles(), tmp_path), reach) == ()
    for first, last in there:
        name = f"{first:020d}-{last:020d}.jsonl.gz"
        (tmp_path / "archive" / name).rename(tmp_path / "aside")
        [missing] = holes(tmp_path, list_directory(OsFiles(), tmp_path), reach)
        assert f"records {first} to {last} were archived and are not there" in missing.what
        (tmp_path / "aside").rename(tmp_path / "archive" / name)


class _Going(OsFiles):
    """A compaction takes a file away between the moment its name is read and it is opened."""

    gone = False

    def open(self, path: Path, access: Access) -> Handle:
        path.unlink()
        self.gone = True
        return super().open(path, access)


def test_a_file_that_goes_away_meanwhile_is_no_damage(tmp_path: Path) -> None:
    log = opened(tmp_path / "journal")
    add(log, 14)
    log.close()
    first = min(path.name for path in log.directory.glob("0*.jsonl"))
    going = _Going()
    assert check_file(log.directory, first, files=going) is None
    assert going.gone
    assert check_file(log.directory, "00000000000000004711.jsonl") is None


def test_a_missing_segment_is_found_by_the_one_before_it(tmp_path: Path) -> None:
    log = opened(tmp_path / "journal")
    add(log, 40)
    take_snapshot(log, log.seal())
    take_snapshot(log)
    log.close()
    names = sorted(path.name for path in log.directory.glob("0*.jsonl"))
    assert [check_file(log.directory, name) for name in names] == [None] * len(names)
    (log.directory / names[2]).unlink()
    assert check_file(log.directory, names[0]) is None
    found = check_file(log.directory, names[1])
    assert found is not None
    assert found.file == names[3]
    assert "missing before it" in found.what


def test_nothing_is_changed_by_a_check(tmp_path: Path) -> None:
    journal = shutil.copytree(CORPUS / "hole_in_a_sealed_segment" / "journal", tmp_path / "journal")
    before = {path: path.read_bytes() for path in sorted(journal.rglob("*")) if path.is_file()}
    assert found_by_file(journal)
    assert before == {p: p.read_bytes() for p in sorted(journal.rglob("*")) if p.is_file()}
    assert len(list(Reader(journal).lines())) > 0
