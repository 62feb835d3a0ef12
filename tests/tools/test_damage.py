"""Every command on every kind of damage: the exit code, the words, and that readers change nothing.

The journals are those of `tests/journal/golden/damaged/`, made by `tests.journal.damaged_corpus`.
`repair` is run with `--dry-run`; `why` asks for the first message.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from ackbook.journal import Reader, newest_snapshots
from ackbook.projections.world.serialization import FOLD_VERSION
from ackbook.tools.main import VERBS
from tests.journal.damaged_corpus import CORPUS, KINDS
from tests.support.shell import Done, House, ackbook, run_here

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
compacted_by_another_version      0    0    0    0      0       0      0   0   0      0      0  0
torn                              1    1    0    0      0       0      0   0   0      0      0  0
zeros                             1    1    0    0      0       0      0   0   0      0      0  0
garbage                           1    1    0    0      0       0      0   0   0      0      0  0
bad_then_good                     1    1    0    0      0       0      0   0   0      0      0  0
behind_a_seal                     1    1    0    0      0       0      0   0   0      0      0  0
flipped_in_the_tail               4    4    0    4      4       7      4   0   0      0      0  4
blank_line                        4    4    0    4      4       7      4   0   0      0      0  4
empty_tail                        4    4    0    4      4       7      4   0   0      0      0  4
first_line_bad                    4    4    0    4      4       7      4   0   0      0      0  4
flipped_in_a_sealed_segment       4    4    0    4      4       7      4   0   0      0      0  4
hole_in_a_sealed_segment          4    4    0    4      4       7      4   0   0      0      0  4
line_removed                      4    4    0    4      4       7      4   0   0      0      0  4
sealed_segment_cut_short          4    4    0    4      4       7      4   0   0      0      0  4
first_missing                     4    4    0    4      4       7      4   0   0      3      0  4
middle_missing                    4    4    0    4      4       7      4   0   0      0      0  4
foreign_segment                   4    4    0    4      4       7      4   0   0      0      0  4
foreign_head                      4    4    0    4      4       0      4   0   0      0      0  4
renamed_segment                   4    4    0    4      4       0      4   0   0      0      0  4
two_tails                         4    4    0    4      4       7      4   0   0      0      0  4
last_missing                      7    7    0    7      7       7      7   0   0      0      0  7
head_beyond                       7    7    0    7      7       7      7   0   0      0      0  7
older_tail_restored               7    7    0    7      7       7      7   0   0      0      0  7
half_copied                       7    7    0    7      7       7      7   0   0      0      0  7
snapshot_beyond                   7    7    0    7      7       7      7   0   0      0      0  7
head_missing                      7    7    0    7      7       7      7   0   0      0      0  7
head_missing_and_the_end          7    7    0    7      7       7      7   0   0      0      0  7
head_cut_short                    7    7    0    7      7       7      7   0   0      0      0  7
only_head                         7    7    0    7      7       4      7   0   3      0      0  7
archive_damaged                   4    4    0    4      0       7      4   0   0      0      0  0
archive_missing                   7    7    0    7      0       7      7   0   0      0      0  0
state_of_another_version          7    7    0    7      0       7      7   0   3      3      0  7
archives_and_snapshots_missing    7    7    0    7      0       7      7   0   3      3      0  7
archive_damaged_before_another_version \
                                  4    4    0    4      0       7      4   0   0      0      0  4
archive_missing_before_another_version \
                                  7    7    0    7      0       7      7   0   0      0      0  7
newer_format                     10   10    0   10     10      10     10   0   0      0      0 10
unknown_kind                     10   10    0   10     10      10     10   0   0      0      0 10
unknown_shape                    10    0   10    0      0       0      0   0   0     10     10 10
"""
HEAD, *ROWS = (line.split() for line in TABLE.strip().splitlines())
EXPECTED = {name: dict(zip(HEAD[1:], map(int, codes), strict=True)) for name, *codes in ROWS}
WITH_SNAPSHOTS = [name for name in KINDS if list(CORPUS.glob(f"{name}/journal/snapshot-*"))]
EVERY_VERB = {name for verbs in VERBS.values() for name in verbs}

Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """A command in this process."""
    return partial(run_here, capsys)


@pytest.fixture(params=[*KINDS, *(f"{name} made now" for name in WITH_SNAPSHOTS)])
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of each kind, under its name. What a snapshot holds is known to the version of the
    fold that made it, so those with snapshots are also made by the present one."""
    name = str(request.param).removesuffix(" made now")
    return (
        shutil.copytree(CORPUS / name, tmp_path / name)
        if name == request.param
        else made(name, tmp_path / name)
    )


@pytest.fixture(params=KINDS)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """The same for a broker, which has to load what it finds: with snapshots made now only."""
    name = request.param
    if name in WITH_SNAPSHOTS:
        made(name, tmp_path / name)
    else:
        shutil.copytree(CORPUS / name, tmp_path / name)
    house = House(tmp_path, name)
    try:
        yield house
    finally:
        house.close()


def made(name: str, directory: Path) -> Path:
    """A journal that is spoilt in this way, by the code as it is."""
    shutil.copytree(CORPUS / "whole" / "journal", directory / "journal")
    KINDS[name](directory / "journal")
    return directory


def loadable(directory: Path) -> bool:
    """Whether a snapshot is there that the present fold can load."""
    return bool(newest_snapshots(directory / "journal", FOLD_VERSION).usable)


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
    if damaged.name == "archive_damaged" and not loadable(damaged):
        expected["replay"] = 3  # only a snapshot would tell the world
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
    shape = expected["events"]
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
    ("kind", "verb", "said"),
    [
        ("snapshot_cut_short", "verify", "is set aside: it has no footer"),
        ("snapshot_beyond", "verify", "snapshot-00000000000000000044.jsonl vouches for 44"),
        ("compacted", "verify", "good, records 1 to "),
        ("compacted_by_another_version", "stat", "fewer than 2 snapshots verify"),
        ("head_missing", "verify", "HEAD: it is missing, and whether records after"),
        ("head_cut_short", "verify", "HEAD: it has 0 bytes, and whether records after"),
        ("archive_missing", "verify", "were archived and are not there"),
        ("archive_damaged", "verify", "archive/00000000000000000001-"),
    ],
)
def test_what_a_kind_is_about_is_what_is_said_of_it(
    kind: str, verb: str, said: str, run: Run
) -> None:
    done = run(verb, "--dir", CORPUS / kind)
    assert said in done.out + done.err


def test_a_start_sets_the_snapshots_of_another_version_aside(tmp_path: Path) -> None:
    house = House(shutil.copytree(CORPUS / "compacted_by_another_version", tmp_path / "copy"), "")
    try:
        house.up()
        assert house("down").code == 0
    finally:
        house.close()
    *_, opened = house("cat", "--kind", "journal.opened", "--json").lines()
    report = opened["data"]["recovery"]
    assert "snapshot" not in report
    assert "version 0 of the fold" in report["set_aside"][0]


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


def as_directory(path: Path) -> None:
    path.mkdir()


def as_file(path: Path) -> None:
    path.write_bytes(b"what is this?")


def as_link_into_nowhere(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


@pytest.mark.parametrize(
    ("name", "become"),
    [
        ("LOCK", as_directory),
        ("LOCK", os.mkfifo),
        ("HEAD", as_directory),
        ("HEAD", os.mkfifo),
        ("archive", as_file),
        ("quarantine", as_file),
        ("quarantine", as_link_into_nowhere),
        ("00000000000000009999.jsonl", as_directory),
        ("00000000000000009999.jsonl", os.mkfifo),
        ("00000000000000000001.jsonl", as_link_into_nowhere),
        ("snapshot-00000000000000000005.jsonl", as_directory),
        ("archive/00000000000000000001-00000000000000000009.jsonl.gz", as_directory),
    ],
)
def test_a_name_that_stands_for_something_else_is_told_by_every_command(
    name: str, become: Callable[[Path], None], run: Run, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(CORPUS / "whole", copy)
    path = copy / "journal" / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    become(path)
    before = everything(copy)
    for words in (*COMMANDS.values(), ("repair",), ("compact",), ("compact", "--dry-run"), ("up",)):
        done = run(*(word.format(out=tmp_path) for word in words), "--dir", copy)
        assert done.code == 4, (words, done)
        assert name in done.err, (words, done)
        assert "move it away, then ackbook verify" in done.err, (words, done)
    assert everything(copy) == before, "nothing is written beside it"


@pytest.mark.parametrize("name", ["00000000000000000001.jsonl", "HEAD"])
def test_a_medium_that_cannot_be_read_is_told_with_its_file(
    name: str, run: Run, tmp_path: Path
) -> None:
    copy = shutil.copytree(CORPUS / "whole", tmp_path / "copy")
    path = copy / "journal" / name
    path.unlink()
    # The memory at address 0 is a file whose every read is answered with EIO.
    path.symlink_to("/proc/self/mem")
    for words in COMMANDS.values():
        done = run(*(word.format(out=tmp_path) for word in words), "--dir", copy)
        if done.code == 74:
            assert "Input/output error" in done.err, (words, done)
            assert "/mem" in done.err, (words, done)
        else:
            # Its size is 0, so who asks for that first takes it for empty.
            assert done.code in (0, 4, 7), (words, done)
            assert name == "HEAD" or name in done.out + done.err, (words, done)
    if name != "HEAD":
        assert run("cat", "--dir", copy).code == 74


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


@pytest.mark.parametrize("names", [(), ("HEAD",), ("HEAD", "LOCK")])
def test_of_an_empty_journal_nothing_is_compacted_and_nothing_salvaged(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    journal = tmp_path / "empty" / "journal"
    journal.mkdir(parents=True)
    for name in names:
        (journal / name).touch()
    told = ackbook("compact", "--dry-run", "--json", "--dir", journal.parent, cwd=tmp_path)
    assert told.code == 0, told.err
    assert (told.json()["removed"], told.json()["pinned"]) == ([], [])
    saved = ackbook("salvage", "--out", "out", "--dir", journal.parent, cwd=tmp_path)
    assert (saved.code, saved.out) == (4, "")
    assert not (tmp_path / "out").exists()
