"""A directory that an earlier version left, after an end without a word: opened, asked, continued.

What that version itself answered about it is what today's code has to answer, and the world that it
folded is the one that is gone on with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ackbook.broker.history.world_loading import LOADABLE, begin_world, fold_rest
from ackbook.journal import Reader, newest_snapshots, read_snapshot
from ackbook.projections.codec import decode_block
from ackbook.projections.facts import AgentName
from ackbook.projections.world.fold import World, fold_all
from ackbook.projections.world.serialization import dump, load
from tests.support.shell import House
from tests.upgrades.versions import VERSIONS, Left, Row, only_more

ASKED = "/tmp/ackbook-{}/asked"
"""Where each version was asked: its answers name it, and ours the copy."""

PASSING = frozenset({"pid", "workerPid", "age_ms", "oldest_ms", "since_ms", "failed_at_ms"})
"""What depends on when somebody asks: the ends of programs are noticed at the start after."""


@pytest.fixture(params=VERSIONS, ids=lambda left: left.version)
def left(request: pytest.FixtureRequest) -> Left:
    version: Left = request.param
    return version


@pytest.fixture
def house(left: Left, tmp_path: Path) -> Iterator[House]:
    """A copy of the directory, in which nobody runs."""
    house = House(tmp_path)
    house.directory = left.copy(tmp_path)
    (house.directory / "connection.json").unlink()  # its process may be anybody's by now
    yield house
    house.close()


def there(house: House, left: Left, answer: object) -> object:
    """An answer of then as it would be given of the copy."""
    text = json.dumps(answer).replace(ASKED.format(left.version), str(house.directory))
    return json.loads(text)


def without(passing: frozenset[str], answer: object) -> object:
    match answer:
        case dict():
            return {k: without(passing, v) for k, v in answer.items() if k not in passing}
        case list():
            return [without(passing, each) for each in answer]
        case _:
            return answer


def test_what_was_recorded_holds_every_way_out_of_a_queue(left: Left) -> None:
    outcomes = "verified unverified evicted cancelled expired released dead_letter open"
    assert {row["outcome"] for row in left.answers("export")} >= set(outcomes.split())
    kinds = "delivery.held delivery.redelivered message.refused journal.compacted agent.adopted"
    assert {row["kind"] for row in left.answers("cat")} >= set(kinds.split())
    listed = {path.name for path in (left.path / "directory").iterdir()}
    assert listed >= {"connection.json", "journal", "logs", "screens"}
    journal = left.path / "directory" / "journal"
    assert len(list(journal.glob("0*.jsonl"))) >= 3
    assert list((journal / "archive").iterdir())
    assert left.answers("cat")[-1]["kind"] != "journal.closed"


def test_it_is_small(left: Left) -> None:
    files = [path for path in left.path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 400 * 1024


@pytest.mark.parametrize("verb", ["verify", "stat", "replay", "report"])
def test_one_answer_is_given_as_it_was(verb: str, left: Left, house: House) -> None:
    done = house(verb, "--json")
    assert done.code == 0, done
    assert not list(only_more(done.json(), there(house, left, left.answer(verb))))


@pytest.mark.parametrize(
    ("verb", "option"), [("cat", "--json"), ("events", "--json"), ("export", "--bodies")]
)
def test_a_long_answer_is_given_as_it_was(verb: str, option: str, left: Left, house: House) -> None:
    done = house(verb, option)
    assert done.code == 0, done
    assert not list(only_more(done.lines(), there(house, left, left.answers(verb))))


def test_each_delivery_has_the_story_that_it_had(left: Left, house: House) -> None:
    rows = left.answers("export")
    agents = sorted({row["agent"] for row in rows})
    told = [house("why", "--agent", name, "--last", "99", "--json").lines() for name in agents]
    stories = [story for each in told for story in each]
    assert {story["id"] for story in stories} == {row["delivery_id"] for row in rows}
    assert not list(only_more(stories, there(house, left, left.answers("why"))))


def test_every_decision_is_made_again_or_named(left: Left, house: House) -> None:
    """`otherwise.json` in the version's folder lists what later rules decide otherwise on purpose;
    the changelog says since which version."""
    accepted = left.path / "otherwise.json"
    otherwise = json.loads(accepted.read_bytes()) if accepted.exists() else []
    then: Row = left.answer("check")
    now = house("replay", "--check", "--all", "--json").json()
    assert not list(only_more(now | {"divergences": []}, then | {"divergences": []}))
    assert now["divergences"] == then["divergences"] + otherwise


def test_its_snapshots_load_and_tell_what_the_records_tell(house: House) -> None:
    journal = house.directory / "journal"
    usable = newest_snapshots(journal, LOADABLE).usable
    assert len(usable) == 2
    for snapshot in usable:
        whole = World()
        for block in Reader(journal).blocks(0, snapshot.seq):
            fold_all(whole, decode_block(block))
        loaded = load(read_snapshot(journal / snapshot.name).blocks(), snapshot.fold_version)
        assert list(dump(loaded)) == list(dump(whole))
    head = Reader(journal).head()
    begun, snapshot_used = begin_world(journal, head)
    assert snapshot_used is not None
    for _ in fold_rest(journal, begun, head):
        pass
    whole = World()
    for block in Reader(journal).blocks(0, head):
        fold_all(whole, decode_block(block))
    assert list(dump(begun)) == list(dump(whole))
    assert begun.agent(AgentName("alice")) is not None


def test_a_broker_starts_on_it_and_stands_where_that_version_would(
    left: Left, house: House
) -> None:
    house.up()
    for verb in ("ls", "pending", "dead"):
        then = without(PASSING, there(house, left, left.answer(verb)))
        assert not list(only_more(without(PASSING, house(verb, "--json").json()), then)), verb


def test_what_waited_in_it_is_typed_and_so_is_what_is_new(left: Left, house: House) -> None:
    house.up()
    waiting = house("pending", "--json").json()["pending"]
    assert [row["agent"] for row in waiting] == ["alice", "alice"]
    assert house("spawn", "alice", "--", "cat").code == 0
    assert house("auto", "alice").code == 0
    assert house("send", "alice", "and a new one", "--wait", "60").code == 0
    assert house("pending", "--json").json()["pending"] == []
    for row in waiting:
        assert house("why", row["delivery_id"], "--json").json()["settled_seq"]
    assert house("down").code == 0
    assert house("verify").code == 0


def test_it_is_kept_passed_on_and_made_smaller(left: Left, house: House) -> None:
    seen = next(row for row in left.answers("export") if row["outcome"] == "verified")
    bundle, copy, table = (house.root / name for name in ("bundle", "copy", "table.sqlite"))
    assert house("bundle", seen["delivery_id"], "--output", bundle).code == 0
    told = house("why", seen["delivery_id"], "--json", "--dir", bundle).json()
    assert told["sentence"] == house("why", seen["delivery_id"], "--json").json()["sentence"]
    assert house("backup", copy).code == 0
    assert house("export", "--format", "sqlite", "--output", table).code == 0
    compacted = house("compact", "--json").json()
    assert compacted["removed"]
    for directory in (copy, house.directory):
        assert house("verify", "--dir", directory).code == 0
        whole = [row["seq"] for row in house("cat", "--json", "--dir", directory).lines()]
        assert whole[: len(left.answers("cat"))] == [row["seq"] for row in left.answers("cat")]
