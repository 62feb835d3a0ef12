"""Who keeps a journal by its front door meets its errors, whatever the machine refuses, and after
each of them the journal is what it was."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ackbook.journal import (
    AttemptFailed,
    Corrupt,
    DiskFailed,
    Journal,
    JournalError,
    JournalFull,
    Limits,
    OsFiles,
    Retention,
    open_journal,
    plan_compaction,
    read_journal,
    salvage,
    verify,
)
from ackbook.journal.storage.file_status import EntryKind
from ackbook.journal.storage.files import Access, Handle
from tests.support.holders import ROOT

SMALL = Limits(segment_bytes_max=4096, room_bytes_min=64 * 1024, reserve_bytes=48 * 1024)


class Refusing(OsFiles):
    """A machine that opens and lists nothing while it has an `error`."""

    error = 0

    def open(self, path: Path, access: Access) -> Handle:
        self._look(path)
        return super().open(path, access)

    def entries(self, directory: Path) -> dict[str, EntryKind]:
        self._look(directory)
        return super().entries(directory)

    def _look(self, path: Path) -> None:
        if self.error:
            raise OSError(self.error, os.strerror(self.error), str(path))


ASKED: dict[str, Callable[[Journal], object]] = {
    "read": lambda journal: list(journal.read()),
    "follow": lambda journal: list(journal.follow(quiet_s_max=0.0)),
    "state": lambda journal: journal.state(),
    "seq": lambda journal: journal.seq,
    "first_seq": lambda journal: journal.first_seq,
    "snapshot": lambda journal: journal.snapshot([1], through=5),
    "compact": lambda journal: journal.compact(),
    "forget": lambda journal: journal.compact(Retention(bytes_max=0)),
}


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES])
@pytest.mark.parametrize("asked", ASKED)
def test_what_the_machine_refuses_is_an_attempt_that_failed(
    asked: str, number: int, tmp_path: Path
) -> None:
    files = Refusing()
    with open_journal(tmp_path / "j", files=files, limits=SMALL) as journal:
        for count in range(60):
            journal.append("a.thing", {"count": count})
        journal.snapshot([0], through=journal.seq)
        files.error = number
        with pytest.raises(AttemptFailed, match=f"{os.strerror(number)}.*Next: "):
            ASKED[asked](journal)
        files.error = 0
        ASKED[asked](journal)
        assert journal.append("a.thing", {"count": 60}) > 60
    assert verify(tmp_path / "j").ok


def test_a_disk_without_room_for_a_snapshot_says_so(tmp_path: Path) -> None:
    files = Refusing()
    with open_journal(tmp_path / "j", files=files) as journal:
        journal.append("a.thing", {})
        files.error = errno.ENOSPC
        with pytest.raises((JournalFull, AttemptFailed), match="No space left"):
            journal.snapshot([1], through=1)
        files.error = 0


def test_opening_says_it_in_the_words_of_the_journal_too(tmp_path: Path) -> None:
    files = Refusing()
    open_journal(tmp_path / "j").close()
    files.error = errno.EMFILE
    with pytest.raises(DiskFailed, match="Too many open files"):
        open_journal(tmp_path / "j", files=files)


def test_on_a_loop_it_is_the_same(tmp_path: Path) -> None:
    files = Refusing()

    async def use() -> None:
        async with open_journal(tmp_path / "j", files=files) as journal:
            await journal.append("a.thing", {})
            files.error = errno.EMFILE
            with pytest.raises(AttemptFailed):
                await journal.snapshot([1], through=1)
            with pytest.raises(AttemptFailed):
                await journal.compact()
            with pytest.raises(AttemptFailed):
                async for _ in journal.follow(quiet_s_max=0.0):
                    pass
            files.error = 0
            await journal.snapshot([1], through=2)
            await journal.append("a.thing", {})

    asyncio.run(use())


def test_a_reader_meets_the_same_errors(tmp_path: Path) -> None:
    """In a process that can really open nothing more."""
    with open_journal(tmp_path / "j") as journal:
        journal.append("a.thing", {})
    script = (
        "import os, resource, sys\n"
        "from ackbook.journal import AttemptFailed, read_journal\n"
        "journal = read_journal(sys.argv[1])\n"
        "assert len(list(journal.read())) == 1\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "for ask in (lambda: list(journal.read()), lambda: journal.seq, journal.state):\n"
        "    try:\n"
        "        ask()\n"
        "    except AttemptFailed as error:\n"
        "        assert 'Too many open files' in str(error)\n"
        "    else:\n"
        "        raise SystemExit('it was not refused')\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "j")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [record.kind for record in read_journal(tmp_path / "j").read()] == ["a.thing"]


def test_there_is_nothing_to_compact_in_an_empty_journal(tmp_path: Path) -> None:
    plan = plan_compaction(tmp_path, fold_version=1, now=1)
    assert (plan.goes, plan.pinned, plan.through) == ((), (), 0)


@pytest.mark.parametrize(
    "names", [(), ("HEAD",), ("HEAD", "LOCK"), ("00000000000000000001.jsonl",)]
)
def test_of_nothing_nothing_is_salvaged(names: tuple[str, ...], tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in names:
        (source / name).touch()
    with pytest.raises(Corrupt, match="no line in it is proven to be good"):
        salvage(source, tmp_path / "out")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["source"]


@pytest.mark.parametrize(
    "name",
    ["LOCK", "HEAD", "HEAD.tmp", "00000000000000000001.jsonl", "00000000000000000001.jsonl.tmp"],
)
def test_no_link_that_was_planted_makes_a_journal_write_elsewhere(
    name: str, tmp_path: Path
) -> None:
    """It is refused, or removed as what an interrupted step left."""
    mine = tmp_path / "mine"
    mine.write_text("mine\n")
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / name).symlink_to(mine)
    with contextlib.suppress(JournalError):
        open_journal(tmp_path / "j").close()
    assert mine.read_text() == "mine\n"


@pytest.mark.parametrize("name", ["LOCK", "HEAD", "00000000000000000001.jsonl"])
def test_a_journal_whose_files_are_links_is_read_and_not_written(name: str, tmp_path: Path) -> None:
    with open_journal(tmp_path / "j") as journal:
        journal.append("a.thing", {})
    (tmp_path / "j" / name).rename(tmp_path / "real")
    before = (tmp_path / "real").read_bytes()
    (tmp_path / "j" / name).symlink_to(tmp_path / "real")
    assert len(list(read_journal(tmp_path / "j").read())) == 1
    if name == "HEAD":  # it is made anew, and takes the place of the link
        open_journal(tmp_path / "j").close()
    else:
        with pytest.raises(DiskFailed, match="it is a link, and nothing is written through one"):
            open_journal(tmp_path / "j")
    assert (tmp_path / "real").read_bytes() == before
