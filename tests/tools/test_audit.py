"""Export, report and bundle: what they say of a past, and what a bundle keeps to itself."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import sqlite3
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ackbook.broker.core.commands import Send
from ackbook.journal import Reader
from ackbook.journal.repair.slices import Slice, change_slice, check_slice
from ackbook.projections.facts import EventId
from ackbook.tools.cli.failures import Failure
from ackbook.tools.history.bundle_file import SLICE, unpack_bundle
from tests.support.past import Past, a_busy_day
from tests.support.shell import Done, House, ackbook

OUTCOMES = {"arrived": "verified", "evicted": "evicted", "cancelled": "cancelled"}
OUTCOMES |= {"waits": "open", "dead": "dead_letter"}

SECRETS = (
    "the merger is on Friday",
    "4711",
    "x",
    "many words " * 400,
    "\x1b]0;title\x07 and\nlines \u2028 of them",
    "token=Zq81kd0sAbCd",
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("told")
    return root, a_busy_day(root / "journal")


def on(root: Path, *arguments: str | Path) -> Done:
    return ackbook(*arguments, "--dir", root, cwd=root)


def rows_of(root: Path, *options: str) -> list[Any]:
    done = on(root, "export", *options)
    assert done.code == 0, done.err
    return done.lines()


# --- export and report


def test_each_delivery_is_one_row_with_its_outcome(told: tuple[Path, dict[str, str]]) -> None:
    root, ids = told
    rows = {row["delivery_id"]: row for row in rows_of(root)}
    world = on(root, "replay", "--json").json()
    assert len(rows) == world["counts"]["enqueued"]
    for fate, outcome in OUTCOMES.items():
        assert rows[ids[fate]]["outcome"] == outcome
    assert all("body" not in row for row in rows.values())
    held = rows[ids["evicted"]]
    assert held["waited_ms"] == held["waited_manual_flush_ms"] == held["to_ended_ms"]


def test_rows_are_chosen_and_ranges_part_them(told: tuple[Path, dict[str, str]]) -> None:
    root, ids = told
    every = [row["delivery_id"] for row in rows_of(root)]
    for cut in (9, 19, 20, 21, 22):
        after = rows_of(root, "--since", str(cut))
        assert {row["enqueued_seq"] >= cut for row in after} == {True}
        assert len(after) == len([row for row in rows_of(root) if row["enqueued_seq"] >= cut])
        parts = rows_of(root, "--until", str(cut)) + rows_of(root, "--since", str(cut))
        assert sorted(row["delivery_id"] for row in parts) == sorted(every)
    assert {row["agent"] for row in rows_of(root, "--agent", "BOB")} == {"bob"}
    [dead] = rows_of(root, "--outcome", "dead_letter")
    assert dead["delivery_id"] == ids["dead"]
    assert rows_of(root, "--until", "2020-01-01") == []
    assert len(rows_of(root, "--since", "1h")) == len(every)
    assert {row["body"] for row in rows_of(root, "--bodies", "--agent", "eve")} == {
        "being typed when the program ended"
    }
    for said in ("-1h", "end-1h", "00:00", "end-2w"):
        assert len(rows_of(root, "--since", said)) == len(every), said
    assert rows_of(root, "--until", "-1h") == []
    done = on(root, "export", "--since", "soon")
    assert done.code == 2
    assert "'soon' is no time" in done.err
    assert "-5m (before the last record), 12h (before now)" in done.err


def test_every_format_holds_the_same(told: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    root, _ = told
    rows = rows_of(root)
    table = tmp_path / "audit.sqlite"
    assert on(root, "export", "-o", table).code == 0
    assert stat.S_IMODE(table.stat().st_mode) == 0o600
    with sqlite3.connect(table) as asked:
        asked.row_factory = sqlite3.Row
        assert [dict(row) for row in asked.execute("SELECT * FROM deliveries")] == rows
        meta = dict(asked.execute("SELECT name, value FROM meta").fetchall())
        assert meta["journal"] == Reader(root / "journal").journal_id
        assert meta["last_seq"] == Reader(root / "journal").head()
        counted = asked.execute("SELECT sum(deliveries) FROM outcomes").fetchone()
        hourly = asked.execute("SELECT sum(deliveries) FROM by_hour").fetchone()
        slowest = asked.execute("SELECT count(*) FROM slowest").fetchone()
        assert {counted[0], hourly[0], slowest[0]} == {len(rows)}
    asked.close()
    sheet = list(csv.DictReader(io.StringIO(on(root, "export", "--format", "csv").out)))
    assert [row["delivery_id"] for row in sheet] == [row["delivery_id"] for row in rows]
    assert list(sheet[0]) == list(rows[0])


def test_a_file_is_not_replaced_unasked(told: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    root, _ = told
    for name in ("audit.sqlite", "audit.jsonl"):
        path = tmp_path / name
        path.write_text("mine")
        assert on(root, "export", "-o", path).code == 8
        assert path.read_text() == "mine"
        assert on(root, "export", "-o", path, "--force").code == 0
        assert path.read_bytes() != b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.jsonl", "audit.sqlite"]
    assert on(root, "export", "-o", "-").out == on(root, "export").out != ""
    assert not (root / "-").exists()


@pytest.mark.parametrize("verb", ["export", "bundle"])
def test_what_is_no_plain_file_is_never_replaced(
    told: tuple[Path, dict[str, str]], tmp_path: Path, verb: str
) -> None:
    root, ids = told
    words = ("export", "--force") if verb == "export" else ("bundle", ids["dead"])
    pipe, link, nowhere = tmp_path / "pipe", tmp_path / "link", tmp_path / "nowhere"
    os.mkfifo(pipe)
    (tmp_path / "precious").write_text("mine")
    link.symlink_to("precious")
    nowhere.symlink_to("nothing")
    for path in (pipe, link, nowhere):
        refused = on(root, *words, "-o", path)
        assert refused.code == 8
        assert "is no plain file" in refused.err
    assert pipe.is_fifo()
    assert (link.read_text(), nowhere.is_symlink()) == ("mine", True)


def test_a_cell_of_a_spreadsheet_is_no_formula(tmp_path: Path) -> None:
    with Past(tmp_path / "journal") as past:
        past.start()
        past.spawn("bob")
        past.send("bob", "x", sender="=1+1")
    done = on(tmp_path, "export", "--format", "csv")
    [row] = csv.DictReader(io.StringIO(done.out))
    assert row["sender"] == "'=1+1"


def test_a_report_counts_what_the_export_lists(told: tuple[Path, dict[str, str]]) -> None:
    root, _ = told
    found = on(root, "report", "--json").json()
    rows = rows_of(root)
    assert found["deliveries"] == len(rows) == sum(o["deliveries"] for o in found["outcomes"])
    assert found["unverified_share"] == 0
    assert found["since_enqueued"]["seen"]["count"] == sum(
        row["seen_us"] is not None for row in rows
    )
    [hold] = found["holds"]
    assert (hold["agent"], hold["reason"], hold["by"]) == ("bob", "manual_flush", "tester")
    assert hold["over"] is False
    people = on(root, "report")
    assert people.code == 0
    assert "manual_flush" in people.out
    assert on(root, "report", "--agent", "nobody").out.strip() == "no deliveries"


# --- bundles


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]


@pytest.mark.parametrize("redact", [[], ["--redact"]], ids=["whole", "redacted"])
@pytest.mark.parametrize("fate", ["arrived", "evicted", "cancelled", "waits", "dead", "message"])
def test_a_bundle_explains_what_the_journal_does(
    fate: str, redact: list[str], told: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, ids = told
    path = tmp_path / "one.ackbundle"
    done = on(root, "bundle", ids[fate], *redact, "-o", path)
    assert done.code == 0, done.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    here = ackbook("why", ids[fate], "--json", "--dir", path, cwd=tmp_path)
    assert here.json() == on(root, "why", ids[fate], "--json").json()
    last = json.loads(members(path)["manifest.json"])["last"]
    then = on(root, "replay", "--to", str(last), "--json").json()
    assert ackbook("replay", "--json", "--dir", path, cwd=tmp_path).json() == then
    for against in ([], ["--against", str(root)]):
        checked = ackbook("verify", "--slice", path, *against, "--json", cwd=tmp_path)
        assert checked.code == 0, checked.err
        assert checked.json()["redacted"] is bool(redact)


def test_a_whole_slice_is_byte_for_byte(told: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    root, _ = told
    path = tmp_path / "one.ackbundle"
    assert on(root, "bundle", "--range", "7..25", "-o", path).code == 0
    lines = list(Reader(root / "journal").lines(6, 25))
    assert members(path)["slice.jsonl"] == b"".join(line.raw + b"\n" for line in lines)


def test_no_text_of_a_message_survives_redaction(tmp_path: Path) -> None:
    with Past(tmp_path / "journal") as past:
        past.start()
        past.spawn("bob")
        for number, body in enumerate(SECRETS):
            past.tell(Send(sender="amy", target="bob", body=body, key=f"private-key-{number}"))
        past.tell(Send(sender="amy", target="nobody", body=SECRETS[0], key="refused-key"))
        past.tell(Send(sender="amy", target="bob", body="another", key="private-key-0"))
    for name, asked in (("all", ["--range", "1..13"]), ("late", ["--range", "9..13"])):
        path = tmp_path / name
        assert on(tmp_path, "bundle", *asked, "--redact", "-o", path).code == 0
        held = members(path)
        told = b"\n".join(held.values())
        for secret in (*SECRETS, "private-key", "refused-key"):
            if len(secret) > 4:
                assert json.dumps(secret)[1:-1].encode() not in told
                assert secret.encode() not in told
        bodies = [
            json.loads(line)["data"]["body"]
            for line in held["slice.jsonl"].splitlines()
            if b'"message.enqueued"' in line
        ]
        assert not set(bodies) & set(SECRETS)
        assert set(map(len, bodies)) <= {len(body.encode()) for body in SECRETS}
        assert b"salt" not in held["manifest.json"].replace(b"salted", b"")


def test_a_bundle_that_was_changed_is_refused(
    told: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, ids = told
    path = tmp_path / "one.ackbundle"
    assert on(root, "bundle", ids["evicted"], "-o", path).code == 0
    held = members(path)
    other = held["slice.jsonl"].replace(b'"waits 0"', b'"waits 9"')
    assert other != held["slice.jsonl"]
    _pack(tmp_path / "changed", held | {"slice.jsonl": other})
    manifest = json.loads(held["manifest.json"])
    manifest["files"]["slice.jsonl"]["sha256"] = hashlib.sha256(other).hexdigest()
    forged = {"manifest.json": json.dumps(manifest).encode(), "slice.jsonl": other}
    _pack(tmp_path / "forged", held | forged)
    _pack(tmp_path / "escapes", held | {"../evil": b"x"})
    _pack(tmp_path / "empty", {})
    (tmp_path / "text").write_text("no bundle")
    later = held["world.jsonl"].replace(b'"epoch":1', b'"epoch":2')
    assert later != held["world.jsonl"]
    _pack(tmp_path / "later", held | {"world.jsonl": later})
    for name in ("changed", "forged", "later", "escapes", "empty", "text"):
        for command in (("verify", "--slice", tmp_path / name), ("cat", "--dir", tmp_path / name)):
            done = ackbook(*command, cwd=tmp_path)
            assert done.code == 4, (name, command, done)
            assert "Traceback" not in done.err
    assert not (tmp_path.parent / "evil").exists()


def test_a_bundle_takes_no_more_room_than_it_says(
    told: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, ids = told
    honest, bomb = tmp_path / "honest", tmp_path / "bomb"
    assert on(root, "bundle", ids["evicted"], "-o", honest).code == 0
    with tarfile.open(honest) as source, tarfile.open(bomb, "w:gz") as target:
        for header in source:
            content = source.extractfile(header)
            assert content is not None
            if header.name == SLICE:
                header.size += 1 << 20
                target.addfile(header, io.BytesIO(content.read() + bytes(1 << 20)))
            else:
                target.addfile(header, content)
    with pytest.raises(Failure, match="is not what its manifest says"):
        unpack_bundle(bomb, tmp_path)
    assert not (tmp_path / SLICE).exists()
    assert on(root, "verify", "--slice", bomb).code == 4


def test_a_bundle_of_another_journal_is_told_apart(
    told: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, ids = told
    a_busy_day(tmp_path / "journal")
    for redact in ([], ["--redact"]):
        path = tmp_path / f"bundle{len(redact)}"
        assert on(root, "bundle", ids["dead"], *redact, "-o", path).code == 0
        done = ackbook("verify", "--slice", path, "--against", tmp_path, cwd=tmp_path)
        assert done.code == 4
        assert "is not of this journal" in done.err


@pytest.mark.parametrize("redact", [[], ["--redact"]], ids=["whole", "redacted"])
def test_a_slice_with_sums_that_fit_is_still_not_the_journals(
    redact: list[str], told: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, ids = told
    path = tmp_path / "one.ackbundle"
    assert on(root, "bundle", ids["evicted"], *redact, "-o", path).code == 0
    held = members(path)
    manifest = json.loads(held["manifest.json"])
    part = Slice(
        manifest["journal"], manifest["first"], manifest["last"], manifest["before"]["crc"]
    )
    lines = check_slice(part, held["slice.jsonl"].splitlines(), "slice")
    forged = [(line, line.data.replace(b'"cap":2', b'"cap":3'), line.by) for line in lines]
    other = b"".join(raw + b"\n" for raw in change_slice(part, forged))
    assert other != held["slice.jsonl"]
    manifest["files"]["slice.jsonl"]["sha256"] = hashlib.sha256(other).hexdigest()
    manifest["after"] = None
    changed = {"manifest.json": json.dumps(manifest).encode(), "slice.jsonl": other}
    _pack(tmp_path / "forged", held | changed)
    check = ("verify", "--slice", tmp_path / "forged")
    assert ackbook(*check, cwd=tmp_path).code == 0
    done = ackbook(*check, "--against", root, cwd=tmp_path)
    assert done.code == 4
    assert "record 23 is another one there" in done.err


def test_only_what_reads_opens_a_bundle(told: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    root, ids = told
    path = tmp_path / "one.ackbundle"
    assert on(root, "bundle", ids["dead"], "-o", path).code == 0
    before = path.read_bytes()
    for verb in ("compact", "repair", "up", "send bob x"):
        assert ackbook(*verb.split(), "--dir", path, cwd=tmp_path).code == 2
    for verb in ("cat", "replay", "report", "export", f"why {ids['dead']}"):
        assert ackbook(*verb.split(), "--dir", path, cwd=tmp_path).code == 0
        assert ackbook("--dir", path, *verb.split(), cwd=tmp_path).code == 0
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_what_a_bundle_does_not_reach_is_said_only_where_it_is_asked_for(
    told: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, ids = told
    path = tmp_path / "one.ackbundle"
    assert on(root, "bundle", ids["evicted"], "-o", path).code == 0
    asked = ("--dir", path)
    for verb in (("why", ids["evicted"]), ("cat",), ("replay",), ("replay", "--check")):
        assert ackbook(*verb, *asked, cwd=tmp_path).err == ""
    for verb in (("why", "evt_4"), ("cat", "--from", "3"), ("report",), ("export",)):
        done = ackbook(*verb, *asked, cwd=tmp_path)
        assert done.err.count("this is a bundle of records 18 to 24") == 1
        assert "missing" not in done.err
    late = tmp_path / "late.ackbundle"
    first = int(ids["evicted"].split("_")[1], 16)
    assert on(root, "bundle", "--range", f"{first}..24", "-o", late).code == 0
    done = ackbook("why", ids["evicted"], "--dir", late, cwd=tmp_path)
    assert done.err.count(f"this is a bundle of records {first} to 24") == 1
    assert "journal.segment" not in done.out, "what stands in the place of a record is none of it"
    cat = ackbook("cat", "--dir", late, cwd=tmp_path)
    assert [line["seq"] for line in cat.lines()] == list(range(first, 25))


def test_what_cannot_be_bundled_is_said(told: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    root, ids = told
    path = tmp_path / "one.ackbundle"
    assert on(root, "bundle", EventId("evt_ffff"), "-o", path).code == 3
    assert on(root, "bundle", "--range", "9..9999", "-o", path).code == 2
    assert on(root, "bundle", "--range", "9..3", "-o", path).code == 2
    assert on(root, "bundle", "-o", path).code == 2
    assert not path.exists()
    path.write_text("mine")
    assert on(root, "bundle", ids["dead"], "-o", path).code == 8
    assert path.read_text() == "mine"


def test_what_stood_on_the_screen_is_shown_and_bundled(house: House, tmp_path: Path) -> None:
    house.up()
    assert house("spawn", "bob", "--wait", "140", "--", "cat").code == 0
    sent = house("send", "bob", "a text to be seen", "--wait", "140", "--json").json()
    assert house("down").code == 0
    told = house("why", sent["event_id"], "--screen")
    assert "a text to be seen" in told.out
    for redact in ([], ["--redact"]):
        path = tmp_path / f"bundle{len(redact)}"
        assert house("bundle", sent["event_id"], *redact, "-o", path).code == 0
        shown = ackbook("why", sent["event_id"], "--screen", "--json", "--dir", path, cwd=tmp_path)
        rows = "\n".join(row for still in shown.json()["screens"] for row in still["rows"])
        assert sent["event_id"] in rows
        assert ("a text to be seen" in rows) is not bool(redact)
        assert (b"a text to be seen" in b"".join(members(path).values())) is not bool(redact)


def _pack(path: Path, content: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in content.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
