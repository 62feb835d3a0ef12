"""The offline verbs: what they say of a past, whole or damaged, and that they change nothing."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.forged import blind_head
from tests.support.past import Past, a_busy_day
from tests.support.shell import ACKBOOK, ackbook, environment

PENDING_KEYS = {"delivery_id", "event_id", "agent", "from", "state", "attempts", "reason"}
WHY_KEYS = {"id", "state", "reason", "sentence", "timeline", "whole", "missing"}
FATE_KEYS = {"agent", "settled_seq", "typed", "attempts", "wait"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A directory with a past, and the ids in it. Nobody may change it."""
    root = tmp_path_factory.mktemp("told")
    return root, a_busy_day(root / "journal")


@pytest.fixture
def copy(told: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(told[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


def segments(root: Path) -> list[Path]:
    return sorted((root / "journal").glob("0*.jsonl"))


def everything(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


# --- a whole past


@pytest.mark.parametrize("inside", ["", "journal"])
def test_verify_of_a_good_journal_ends_with_0(
    inside: str, told: tuple[Path, dict[str, str]]
) -> None:
    done = ackbook("verify", "--json", "--dir", told[0] / inside, cwd=told[0])
    assert done.code == 0
    found = done.json()
    assert set(found) == {"ok", "first_seq", "last_seq", "records", "segments", "damage"}
    assert found["ok"] is True
    assert found["damage"] == []
    assert (found["first_seq"], found["segments"]) == (1, len(segments(told[0])))
    assert found["records"] == found["last_seq"] > 20


def test_readers_change_nothing(told: tuple[Path, dict[str, str]]) -> None:
    root, ids = told
    before = everything(root)
    for arguments in (("verify",), ("cat",), ("events",), ("replay",), ("why", ids["waits"])):
        assert ackbook(*arguments, "--dir", root, cwd=root).code == 0
    assert everything(root) == before


def test_cat_prints_every_record_as_it_stands_in_the_files(
    told: tuple[Path, dict[str, str]],
) -> None:
    root, _ = told
    done = ackbook("cat", "--dir", root, cwd=root)
    assert done.code == 0
    assert done.out == "".join(path.read_text().rstrip("\n") + "\n" for path in segments(root))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--from", "5", "--to", "7"), {5, 6, 7}),
        (("--from", "8", "--to", "9", "--kind", "message.enqueued"), {9}),
        (("--to", "7", "--kind", "journal.*"), {1, 2}),
        (("--to", "8", "--kind", "journal.opened", "--kind", "broker.*"), {2, 3}),
        (("--kind", "agent.spawned", "--agent", "ANN"), {7}),
        (("--id", "{evicted}", "--kind", "message.*"), {19}),
        (("--id", "{evicted}", "--kind", "delivery.evicted"), {23}),
        (("--id", "nothing"), set()),
        (("--from", "1000"), set()),
    ],
)
def test_cat_chooses_records(
    options: tuple[str, ...], expected: set[int], told: tuple[Path, dict[str, str]]
) -> None:
    root, ids = told
    done = ackbook("cat", *(o.format(**ids) for o in options), "--dir", root, cwd=root)
    assert done.code == 0
    assert {line["seq"] for line in done.lines()} == expected


def test_cat_finds_a_release_by_each_delivery_that_it_dropped(tmp_path: Path) -> None:
    from ackbook.broker.core.commands import Release, SetMode
    from ackbook.projections.facts import AgentName

    bob = AgentName("bob")
    with Past(tmp_path / "journal") as past:
        past.start()
        past.spawn("bob")
        past.tell(SetMode(name=bob, mode="manual_flush"))
        sent = [past.send("bob", "a-body-is-no-id") for _ in range(2)]
        past.tell(Release(name=bob))
    for one in sent:
        done = ackbook(
            "cat", "--kind", "agent.released", "--id", one.deliveries[0][0], cwd=tmp_path,
            env={"ACKBOOK_DIR": str(tmp_path)},
        )  # fmt: skip
        assert [line["kind"] for line in done.lines()] == ["agent.released"]
    by_body = ackbook("cat", "--id", "a-body-is-no-id", "--dir", tmp_path, cwd=tmp_path)
    assert by_body.lines() == []
    by_target = ackbook(
        "cat", "--agent", "BOB", "--kind", "message.*", "--dir", tmp_path, cwd=tmp_path
    )
    assert len(by_target.lines()) == 2


def test_events_go_on_from_any_cursor_without_hole_or_repetition(
    told: tuple[Path, dict[str, str]],
) -> None:
    root, _ = told
    whole = ackbook("events", "--json", "--dir", root, cwd=root).lines()
    assert {"kind", "seq", "record"} <= set(whole[0])
    cursors = [event["seq"] for event in whole]
    assert cursors == sorted(set(cursors))
    assert all(event["seq"] // 1024 == event["record"] for event in whole)
    for cut in (1, len(whole) // 2, len(whole) - 1):
        since = str(cursors[cut - 1])
        rest = ackbook("events", "--json", "--since", since, "--dir", root, cwd=root).lines()
        assert rest == whole[cut:]


def test_events_since_now_are_none(told: tuple[Path, dict[str, str]]) -> None:
    done = ackbook("events", "--since", "now", "--json", "--dir", told[0], cwd=told[0])
    assert (done.code, done.out) == (0, "")


@pytest.mark.parametrize("since", ["99999999", "soon", "-1"])
def test_a_cursor_that_cannot_be_is_said_so(since: str, told: tuple[Path, dict[str, str]]) -> None:
    done = ackbook("events", f"--since={since}", "--dir", told[0], cwd=told[0])
    assert done.code == 2
    assert done.out == ""
    assert since in done.err


def test_following_needs_a_broker(told: tuple[Path, dict[str, str]]) -> None:
    done = ackbook("events", "--follow", "--dir", told[0], cwd=told[0])
    assert done.code == 3
    assert "no broker is running" in done.err


def test_replay_shows_the_world_at_any_position(told: tuple[Path, dict[str, str]]) -> None:
    root, ids = told
    now = ackbook("replay", "--json", "--dir", root, cwd=root).json()
    assert set(now) == {"seq", "asked_seq", "at", "pending", "agents", "dead_letters", "counts"}
    assert [row["delivery_id"] for row in now["pending"]] == [ids["waits"]]
    assert all(set(row) == PENDING_KEYS for row in now["pending"])
    assert [row["delivery_id"] for row in now["dead_letters"]] == [ids["dead"]]
    assert [row["name"] for row in now["agents"]] == ["Ann", "bob", "eve"]
    assert now["counts"]["enqueued"] == sum(now["counts"].values()) - now["counts"]["enqueued"]

    [enqueued] = ackbook(
        "cat", "--kind", "message.enqueued", "--id", ids["evicted"], "--dir", root, cwd=root
    ).lines()
    then = ackbook("replay", "--to", str(enqueued["seq"]), "--json", "--dir", root, cwd=root).json()
    assert (then["seq"], then["at"]) == (enqueued["seq"], enqueued["at"])
    assert [row["delivery_id"] for row in then["pending"]] == [ids["evicted"]]

    nothing = ackbook("replay", "--to", "0", "--json", "--dir", root, cwd=root).json()
    assert (nothing["seq"], nothing["agents"]) == (0, [])


def test_replay_beyond_the_end_is_said_so(told: tuple[Path, dict[str, str]]) -> None:
    done = ackbook("replay", "--to", "1000", "--dir", told[0], cwd=told[0])
    assert done.code == 2
    assert "the journal ends at" in done.err


@pytest.mark.parametrize(
    ("fate", "state", "reason"),
    [
        ("arrived", "acked", None),
        ("evicted", "evicted", "queue_full"),
        ("cancelled", "cancelled", "cancelled"),
        ("waits", "held", "manual_flush"),
        ("dead", "dead_letter", "outcome_unknown"),
    ],
)
def test_why_tells_the_story_of_a_delivery(
    fate: str, state: str, reason: str | None, told: tuple[Path, dict[str, str]]
) -> None:
    root, ids = told
    story = ackbook("why", ids[fate], "--json", "--dir", root, cwd=root).json()
    assert set(story) == WHY_KEYS | FATE_KEYS
    assert (story["id"], story["state"], story["reason"]) == (ids[fate], state, reason)
    assert all({"seq", "at", "kind"} <= set(row) for row in story["timeline"])
    seqs = [row["seq"] for row in story["timeline"]]
    assert seqs == sorted(seqs)
    people = ackbook("why", ids[fate], "--dir", root, cwd=root)
    assert people.out.splitlines()[-1] == story["sentence"]
    for row in story["timeline"]:
        assert any(f" {row['seq']} " in line and row["kind"] in line
                   for line in people.out.splitlines())  # fmt: skip


def test_why_of_a_message_tells_of_each_of_its_deliveries(
    told: tuple[Path, dict[str, str]],
) -> None:
    root, ids = told
    story = ackbook("why", ids["message"], "--json", "--dir", root, cwd=root).json()
    assert set(story) == WHY_KEYS | {"deliveries"}
    assert [set(row) for row in story["deliveries"]] == [
        {"delivery_id", "state", "reason", "sentence"} | FATE_KEYS
    ] * 2
    people = ackbook("why", ids["message"], "--dir", root, cwd=root)
    for row in story["deliveries"]:
        assert row["sentence"] in people.out


def test_why_of_an_unknown_id_ends_with_3(told: tuple[Path, dict[str, str]]) -> None:
    done = ackbook("why", "evt_ffff", "--dir", told[0], cwd=told[0])
    assert done.code == 3
    assert "no record names evt_ffff" in done.err


def test_a_body_acts_on_no_terminal_and_stays_out_of_why(tmp_path: Path) -> None:
    with Past(tmp_path / "journal") as past:
        past.start()
        past.spawn("bob")
        event_id = past.send("bob", "\x1b]0;owned\x07\x9b2J secret").event_id
    for arguments in (("events",), ("why", event_id)):
        done = ackbook(*arguments, "--dir", tmp_path, cwd=tmp_path)
        assert not any((ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 for c in done.out)
    assert "secret" not in done.out


@pytest.mark.parametrize("verb", ["cat", "replay", "stat", "report", "why"])
def test_a_reader_that_goes_away_ends_a_verb_quietly(
    told: tuple[Path, dict[str, str]], verb: str
) -> None:
    root, ids = told
    words = (verb, ids["evicted"]) if verb == "why" else (verb,)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*ACKBOOK, *words, "--dir", str(root)],
            env=environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_under_standard_output_is_an_error(
    told: tuple[Path, dict[str, str]],
) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*ACKBOOK, "cat", "--dir", told[0]],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 74
    assert done.stderr == b"ackbook: No space left on device\n"


# --- a damaged past


def test_a_torn_tail_is_1_in_verify_and_readers_give_the_rest(copy: Path) -> None:
    whole = ackbook("cat", "--dir", copy, cwd=copy).lines()
    tail = segments(copy)[-1]
    _as_if_killed(copy)
    with open(tail, "ab") as file:
        file.write(b'{"seq":%d,"at":1,"d":' % (len(whole) + 1))
    done = ackbook("verify", "--json", "--dir", copy, cwd=copy)
    assert done.code == 1
    assert done.json()["ok"] is False
    [damage] = done.json()["damage"]
    assert set(damage) == {"file", "line", "byte", "what", "next"}
    assert damage["file"].endswith(tail.name)
    assert ackbook("cat", "--dir", copy, cwd=copy).lines() == whole


def test_a_flipped_byte_in_a_sealed_segment_is_4_and_readers_say_what_is_missing(
    copy: Path, told: tuple[Path, dict[str, str]]
) -> None:
    whole = ackbook("cat", "--dir", copy, cwd=copy).lines()
    sealed = segments(copy)[0]
    content = bytearray(sealed.read_bytes())
    line = content.split(b"\n")[9]
    at = content.index(line) + line.index(b'"data"') + 12
    content[at] ^= 1
    sealed.write_bytes(content)

    done = ackbook("verify", "--json", "--dir", copy, cwd=copy)
    assert done.code == 4
    damage = done.json()["damage"][0]
    assert (damage["file"].rpartition("/")[2], damage["line"]) == (sealed.name, 10)
    people = ackbook("verify", "--dir", copy, cwd=copy)
    assert people.code == 4
    assert sealed.name in people.out
    assert "ackbook " in people.out, "the next command is named"

    for arguments in (("cat",), ("events", "--json"), ("replay", "--json")):
        read = ackbook(*arguments, "--dir", copy, cwd=copy)
        assert read.code == 0
        assert sealed.name in read.err
    given = ackbook("cat", "--dir", copy, cwd=copy).lines()
    assert given[:9] == whole[:9]
    assert all(line in whole for line in given)
    assert len(given) < len(whole)
    assert ackbook("replay", "--json", "--dir", copy, cwd=copy).json()["seq"] == 9
    story = ackbook("why", told[1]["message"], "--dir", copy, cwd=copy)
    assert story.code == 0
    assert "missing:" in story.err


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_missing_segment_is_4_and_the_last_one_7(place: str, copy: Path) -> None:
    files = segments(copy)
    assert len(files) >= 2
    (files[0] if place == "first" else files[-1]).unlink()
    done = ackbook("verify", "--json", "--dir", copy, cwd=copy)
    assert done.code == (4 if place == "first" else 7)
    assert done.json()["ok"] is False
    assert done.json()["damage"]


def test_every_prefix_of_a_tail_is_read_without_a_traceback(copy: Path) -> None:
    tail = segments(copy)[-1]
    content = tail.read_bytes()
    _as_if_killed(copy)
    for cut in itertools.islice(range(1, len(content)), 0, None, max(1, len(content) // 12)):
        tail.write_bytes(content[:cut])
        for arguments in (("verify", "--json"), ("replay", "--json")):
            done = ackbook(*arguments, "--dir", copy, cwd=copy)
            assert done.code in (0, 1, 4, 7)
            assert "Traceback" not in done.err


def _as_if_killed(root: Path) -> None:
    """Take the witness of the clean close away."""
    blind_head(root / "journal")


def test_a_record_of_an_unknown_shape_is_10_and_not_a_guess(tmp_path: Path) -> None:
    from ackbook.journal import Draft, open_log

    log = open_log(tmp_path / "journal")
    draft = Draft("broker.stopped", b'{"reason":7}')
    assert log.secure(log.measure(draft))
    log.stage([draft], log.now(), expect=log.next_seq)
    log.commit()
    log.close()
    done = ackbook("replay", "--dir", tmp_path, cwd=tmp_path)
    assert done.code == 10
    assert "shape" in done.err


def test_json_of_people_is_one_line_each(told: tuple[Path, dict[str, str]]) -> None:
    root, ids = told
    for arguments in (("verify",), ("replay",), ("why", ids["message"])):
        answer: Any = ackbook(*arguments, "--json", "--dir", root, cwd=root)
        assert len(answer.out.splitlines()) == 1
        json.loads(answer.out)
