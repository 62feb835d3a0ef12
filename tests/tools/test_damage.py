"""Every command on every kind of damage: the exit code, the words, and that readers change nothing.

The journals are those of `tests/journal/golden/damaged/`, made by `tests.journal.damaged_corpus`.
`repair` is run with `--dry-run`; `why` asks for the first message.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest
from ackbook_tools.main import VERBS, main

from journal import Reader
from tests.journal.damaged_corpus import CORPUS, KINDS
from tests.support.shell import Done, House, ackbook

COMMANDS = {
    "verify": ("verify",),
    "fast": ("verify", "--fast"),
    "stat": ("stat",),
    "head": ("head",),
    "repair": ("repair", "--dry-run"),
    "salvage": ("salvage", "--out", "{out}/salvaged"),
    "backup": ("backup", "{out}/copied"),
    "cat": ("cat",),
    "why": ("why", "evt_9"),
    "replay": ("replay",),
    "events": ("events",),
}

TABLE = """
kind                         verify fast stat head repair salvage backup cat why replay events up
whole                             0    0    0    0      0       0      0   0   0      0      0  0
head_unreadable                   0    0    0    0      0       0      0   0   0      0      0  0
left_over                         0    0    0    0      0       0      0   0   0      0      0  0
no_newline                        0    0    0    0      0       0      0   0   0      0      0  0
sealed_tail                       0    0    0    0      0       0      0   0   0      0      0  0
older_backup_restored             0    0    0    0      0       0      0   0   0      0      0  0
snapshot_cut_short                0    0    0    0      0       0      0   0   0      0      0  0
compacted                         0    0    0    0      0       0      0   0   0      0      0  0
torn                              1    1    0    0      0       0      0   0   0      0      0  0
zeros                             1    1    0    0      0       0      0   0   0      0      0  0
garbage                           1    1    0    0      0       0      0   0   0      0      0  0
bad_then_good                     1    1    0    0      0       0      0   0   0      0      0  0
behind_a_seal                     1    1    0    0      0       0      0   0   0      0      0  0
flipped_in_the_tail               4    4    0    4      4       7      4   0   0      0      0  4
blank_line                        4    4    0    4      4       7      4   0   0      0      0  4
empty_tail                        4    4    0    4      4       7      4   0   0      0      0  4
first_line_bad                    4    4    0    4      4       7      4   0   0      0      0  4
flipped_in_a_sealed_segment       4    4    0    0      4       7      4   0   3      0      0  4
hole_in_a_sealed_segment          4    4    0    0      4       7      4   0   0      0      0  4
line_removed                      4    4    0    0      4       7      4   0   0      0      0  4
sealed_segment_cut_short          4    4    0    0      4       7      4   0   0      0      0  4
first_missing                     4    4    0    0      4       7      4   0   3      0      0  4
middle_missing                    4    4    0    0      4       7      4   0   0      0      0  4
foreign_segment                   4    4    0    0      4       7      4   0   0      0      0  4
foreign_head                      4    4    0    0      4       0      4   0   0      0      0  4
renamed_segment                   4    4    0    0      4       0      4   0   0      0      0  4
two_tails                         4    4    0    0      4       7      4   0   0      0      0  4
last_missing                      7    7    0    7      7       7      7   0   0      0      0  7
head_beyond                       7    7    0    7      7       7      7   0   0      0      0  7
older_tail_restored               7    7    0    7      7       7      7   0   0      0      0  7
half_copied                       7    7    0    7      7       7      7   0   0      0      0  7
snapshot_beyond                   7    7    0    0      7       7      7   0   0      0      0  7
only_head                         7    7    0    7      7       7      7   0   3      0      0  7
archive_damaged                   4    4    0    0      0       7      4   0   3      0      0  0
archive_missing                   7    7    0    0      0       7      7   0   0      0      0  0
archives_and_snapshots_missing    7    7    0    0      0       7      7   0   3      0      0  7
newer_format                     10   10    0   10     10      10     10   0   0      0      0 10
unknown_kind                     10   10    0    0     10      10     10   0   0      0      0 10
unknown_shape                    10    0   10    0      0       0      0   0   0     10     10 10
"""
HEAD, *ROWS = (line.split() for line in TABLE.strip().splitlines())
EXPECTED = {name: dict(zip(HEAD[1:], map(int, codes), strict=True)) for name, *codes in ROWS}
EVERY_VERB = {name for verbs in VERBS.values() for name in verbs}

Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """A command in this process: there are hundreds of them."""

    def run_here(*arguments: str | Path) -> Done:
        with patch("sys.argv", ["ackbook", *map(str, arguments)]):
            code = main()
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run_here


@pytest.fixture(params=KINDS)
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of each kind, under its name."""
    copy = tmp_path / str(request.param)
    shutil.copytree(CORPUS / copy.name, copy)
    return copy


@pytest.fixture
def house(damaged: Path) -> Iterator[House]:
    """What a snapshot holds is known to the version that made it only, so a journal with snapshots
    is made anew: the others have to start for ever as they are."""
    journal = damaged / "journal"
    if list(journal.glob("snapshot-*")):
        shutil.rmtree(journal)
        shutil.copytree(CORPUS / "whole" / "journal", journal)
        KINDS[damaged.name](journal)
    house = House(damaged.parent, damaged.name)
    try:
        yield house
    finally:
        house.close()


def everything(root: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_the_table_and_the_corpus_are_about_the_same_kinds() -> None:
    assert set(EXPECTED) == set(KINDS) == {path.name for path in CORPUS.iterdir()}


def test_every_command_that_reads_says_what_it_should_and_changes_nothing(
    damaged: Path, run: Run, tmp_path: Path
) -> None:
    before = everything(damaged)
    codes = {}
    for name, words in COMMANDS.items():
        done = run(*(word.format(out=tmp_path) for word in words), "--dir", damaged)
        codes[name] = done.code
        assert bool(done.err) or done.code in (0, 1, 4, 7, 10), (name, done)
        for verb in re.findall(r"ackbook ([a-z]+) ", done.out + done.err):
            assert verb in EVERY_VERB, "the next command exists"
    expected = {name: code for name, code in EXPECTED[damaged.name].items() if name != "up"}
    assert codes == expected
    assert everything(damaged) == before


def test_a_broker_starts_where_its_state_can_be_had_and_nowhere_else(
    house: House,
) -> None:
    before = everything(house.directory / "journal")
    done = house("up", "--background", "--json")
    assert done.code == EXPECTED[house.directory.name]["up"], done.err
    after = everything(house.directory / "journal")
    expected = EXPECTED[house.directory.name]
    if expected["up"] and expected["fast"]:
        lock = str(house.directory / "journal" / "LOCK")
        assert after | {lock: before[lock]} == before
    if done.code:
        return
    assert house("down").code == 0
    assert house("verify").code == (0 if expected["verify"] == 1 else expected["verify"])


def test_verdicts_name_the_place_the_proof_and_the_next_command(damaged: Path, run: Run) -> None:
    found = run("verify", "--json", "--dir", damaged).json()
    expected = EXPECTED[damaged.name]["verify"]
    assert found["ok"] == (expected == 0)
    assert bool(found["damage"]) == (expected != 0)
    for one in found["damage"]:
        assert set(one) == {"file", "line", "byte", "what", "next"}
        assert one["file"]
        assert one["what"]
        assert one["next"]


def test_what_is_repaired_or_copied_or_salvaged_is_good(
    damaged: Path, run: Run, tmp_path: Path
) -> None:
    expected = EXPECTED[damaged.name]
    shape = expected["replay"]
    copied = run("backup", tmp_path / "copied", "--dir", damaged)
    if copied.code == 0:
        assert run("verify", "--dir", tmp_path / "copied").code == shape
    salvaged = run("salvage", "--out", tmp_path / "salvaged", "--json", "--dir", damaged)
    if salvaged.code in (0, 7) and salvaged.out:
        assert run("verify", "--dir", tmp_path / "salvaged").code == shape
        replayed = run("replay", "--json", "--dir", tmp_path / "salvaged")
        assert replayed.code == shape
        if not shape:
            assert replayed.json()["seq"] == salvaged.json()["last_seq"]
    repaired = run("repair", "--dir", damaged)
    assert repaired.code == expected["repair"]
    if repaired.code == 0 and expected["verify"] in (0, 1):
        assert run("verify", "--dir", damaged).code == shape


@pytest.mark.parametrize(
    "kind", ["first_missing", "flipped_in_a_sealed_segment", "half_copied", "first_line_bad"]
)
def test_a_broker_serves_what_was_salvaged(kind: str, tmp_path: Path) -> None:
    house = House(tmp_path)
    saved = ackbook(
        "salvage", "--out", house.directory, "--dir", CORPUS / kind, "--json", cwd=tmp_path
    )
    assert saved.code == 7
    last = saved.json()["last_seq"]
    try:
        house.up()
        assert house("down").code == 0
    finally:
        house.close()
    assert house("verify").code == 0
    seqs = [line.seq for line in Reader(house.directory / "journal").lines()]
    assert last in seqs
    assert seqs[-1] > last


def test_a_token_tells_that_an_older_backup_was_restored(run: Run) -> None:
    directory = CORPUS / "older_backup_restored"
    token = (directory / "TOKEN").read_text().strip()
    assert run("verify", "--dir", directory).code == 0
    told = run("verify", "--head", token, "--dir", directory)
    assert told.code == 7
    assert "rolled back" in told.out
    assert run("verify", "--head", token, "--dir", CORPUS / "whole").code == 0


@pytest.mark.parametrize("token", ["", "nonsense", "ab.0." + "0" * 64, "ab.1.00"])
def test_what_is_no_token_is_a_wrong_use(token: str, run: Run) -> None:
    done = run("verify", "--head", token, "--dir", CORPUS / "whole")
    assert done.code == 2
    assert "ackbook head" in done.err


def test_a_directory_that_has_a_journal_is_never_written_into(run: Run, tmp_path: Path) -> None:
    shutil.copytree(CORPUS / "whole", tmp_path / "there")
    before = everything(tmp_path / "there")
    for words in (("backup", tmp_path / "there"), ("salvage", "--out", tmp_path / "there")):
        assert run(*words, "--dir", CORPUS / "torn").code == 8
    assert everything(tmp_path / "there") == before


def test_a_repair_keeps_what_it_cuts_and_says_so(run: Run, tmp_path: Path) -> None:
    shutil.copytree(CORPUS / "garbage", tmp_path / "copy")
    shown = run("repair", "--dry-run", "--json", "--dir", tmp_path / "copy").json()
    assert (shown["torn"], shown["done"], shown["kept"]) == (True, False, None)
    done = run("repair", "--json", "--dir", tmp_path / "copy").json()
    assert (done["done"], done["cut_bytes"]) == (True, 200)
    kept = tmp_path / "copy" / "journal" / done["kept"]
    assert kept.read_bytes() == bytes(byte ^ 0xA5 for byte in range(200))
    again = run("repair", "--json", "--dir", tmp_path / "copy").json()
    assert (again["torn"], again["last_seq"]) == (False, shown["last_seq"])


def test_stat_counts_every_record_what_is_not_settled_and_says_what_pins_a_file(run: Run) -> None:
    directory = CORPUS / "compacted"
    rows = run("stat", "--json", "--dir", directory).json()["segments"]
    found = run("verify", "--json", "--dir", directory).json()
    assert sum(row["records"] for row in rows) == found["records"]
    for row, following in pairwise(rows):
        assert row["last_seq"] + 1 == following["first_seq"]
    for row in rows:
        assert row["bytes"] == (directory / "journal" / row["file"]).stat().st_size
        assert row["archived"] == row["file"].startswith("archive/")
        assert bool(row["pinned_by"]) != row["archived"]
    world = run("replay", "--json", "--dir", directory).json()
    unsettled = {row["event_id"] for row in (*world["pending"], *world["dead_letters"])}
    assert sum(row["live"] for row in rows) == len(unsettled) > 0
    shown = run("stat", "--dir", directory).out
    assert all(row["file"] in shown for row in rows)


def test_head_prints_one_token_that_verify_takes(run: Run) -> None:
    token = run("head", "--dir", CORPUS / "compacted").out.strip()
    told = run("head", "--json", "--dir", CORPUS / "compacted").json()
    assert token == told["token"]
    done = run("verify", "--head", token, "--dir", CORPUS / "compacted")
    assert done.code == 0
    assert f"up to record {told['seq']}" in done.out
    other = run("verify", "--head", token, "--dir", CORPUS / "foreign_head")
    assert other.code == 4
