"""The segment index is worth time and nothing else: with it, without it, or with a bad one,
every question has the same answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from ackbook.broker.core.commands import Redeliver, ReportEnded
from ackbook.broker.history.cache import Cache
from ackbook.broker.history.segment_index import IndexedSegment
from ackbook.broker.history.story_query import Caches, StoryQuery
from ackbook.journal import Reader
from ackbook.projections.codec import decode_block
from ackbook.projections.facts import (
    AgentName,
    DeliveryRedelivered,
    MessageEnqueued,
    MessageRefused,
)
from tests.core.days import Day
from tests.support.orders import spawn
from tests.support.past import SMALL, Past
from tests.support.recorded import Recorded
from tests.support.shell import ackbook

STEPS = 320


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of several dozen segments."""
    directory = tmp_path_factory.mktemp("day") / "journal"
    with closing(Recorded(directory)) as broker:
        Day(7, broker).run(STEPS)
    assert len(Reader(directory).bases) > 15
    return directory


@pytest.fixture
def caches(tmp_path: Path) -> Caches:
    return caches_in(tmp_path)


def caches_in(root: Path) -> Caches:
    return Caches(Cache(root, "index"), Cache(root, "worlds"))


def telling(journal: Path, caches: Caches | None) -> StoryQuery:
    return StoryQuery(Reader(journal), journal, caches=caches)


def ids_in(journal: Path) -> Iterator[str]:
    for block in Reader(journal).blocks():
        for entry in decode_block(block):
            if isinstance(entry.fact, MessageEnqueued | MessageRefused):
                yield entry.fact.event_id
            if isinstance(entry.fact, MessageEnqueued):
                yield from (each.delivery_id for each in entry.fact.deliveries)


def answers(journal: Path, caches: Caches | None) -> list[object]:
    """Everything that can be asked about this journal."""
    told = telling(journal, caches)
    stories = [told.story(each) for each in ids_in(journal)]
    keys = [told.uses_of(key, sender) for key in "klmz" for sender in (None, "human", "nobody")]
    last = [told.last_deliveries(name, count) for name in ("amy", "CID", "eve") for count in (1, 9)]
    return [[each and each.to_dict() for each in stories], keys, last]


def test_a_cache_changes_no_answer(journal: Path, caches: Caches) -> None:
    plain = answers(journal, None)
    assert answers(journal, caches) == plain, "while it is made"
    assert len(caches.segments.names()) == len(Reader(journal).bases) - 1
    assert answers(journal, caches) == plain, "once it is there"


def test_archives_tell_the_same_and_share_the_cache(tmp_path: Path, caches: Caches) -> None:
    journal = tmp_path / "journal"
    with closing(Recorded(journal)) as broker:
        Day(8, broker).run(STEPS)
    plain = answers(journal, caches)
    kept = caches.segments.names()
    assert ackbook("compact", "--dir", tmp_path, cwd=tmp_path).code == 0
    assert list((journal / "archive").iterdir())
    assert answers(journal, caches)[0] == plain[0]
    assert set(caches.segments.names()) >= set(kept)
    assert answers(journal, None)[0] == plain[0]


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "remove"])
def test_what_is_damaged_in_the_cache_is_made_again(
    harm: str, journal: Path, caches: Caches, tmp_path: Path
) -> None:
    plain = answers(journal, caches)
    kept = sorted((tmp_path / "index").iterdir())
    for path in kept[::3]:
        content = path.read_bytes()
        match harm:
            case "flip":
                path.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
            case "cut":
                path.write_bytes(content[: len(content) // 2])
            case "empty":
                path.write_bytes(b"")
            case _:
                path.unlink()
    assert answers(journal, caches) == plain
    assert {path.name for path in kept} == set(caches.segments.names())


FOREIGN = {"following": "0" * 64, "start": "0" * 64}


@pytest.mark.parametrize(
    ("which", "forged"),
    [
        ("all of them", FOREIGN),
        ("the one that most leads to", FOREIGN),
        ("all of them", {"version": "of another program"}),
    ],
)
def test_an_index_of_another_history_or_version_is_not_believed(
    which: str, forged: dict[str, str], journal: Path, caches: Caches
) -> None:
    plain = answers(journal, caches)
    index = indexed_in(caches)
    most = max(index, key=lambda name: len(index[name].words))
    for name in index if which == "all of them" else [most]:
        other = msgspec.structs.replace(index[name], words=b"", **forged)
        caches.segments.put(name, msgspec.msgpack.encode(other))
    assert answers(journal, caches) == plain
    assert {name: each.words for name, each in indexed_in(caches).items()} == {
        name: each.words for name, each in index.items()
    }


def indexed_in(caches: Caches) -> dict[str, IndexedSegment]:
    kept = {name: caches.segments.get(name) for name in caches.segments.names()}
    return {
        name: msgspec.msgpack.decode(content, type=IndexedSegment)
        for name, content in kept.items()
        if content is not None
    }


def test_a_journal_that_went_another_way_is_told_anew(tmp_path: Path, caches: Caches) -> None:
    """Two copies of one journal have one cache, also when each of them has gone on."""
    first, second = tmp_path / "first" / "journal", tmp_path / "second"
    with closing(Recorded(first)) as broker:
        spawn(broker, "bob")
    assert ackbook("backup", second, "--dir", first, cwd=tmp_path).code == 0
    for directory, name in ((first, "ann"), (second, "zoe")):
        with closing(Recorded(directory)) as broker:
            Day(len(name), broker).run(60)
    for _ in range(2):
        for directory in (first, second):
            assert answers(directory, caches) == answers(directory, None)


def test_a_cache_that_cannot_be_written_costs_only_time(journal: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert answers(journal, caches_in(tmp_path / "file")) == answers(journal, None)


class Watched(Reader):
    """A reader that remembers of which spans it gave records."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.given: list[tuple[int, int]] = []

    def blocks(self, after: int = 0, through: int | None = None) -> Iterator[bytes]:
        for block in super().blocks(after, through):
            seqs = [entry.seq for entry in decode_block(block)]
            self.given.append((seqs[0], seqs[-1]))
            yield block


def test_only_the_segments_that_mention_it_are_opened(tmp_path: Path, caches: Caches) -> None:
    journal = tmp_path / "journal"
    with closing(Recorded(journal)) as broker:
        Day(9, broker).run(STEPS)
    wanted = next(iter(ids_in(journal)))
    told = StoryQuery(Reader(journal), journal, caches=caches, interval=7).story(wanted)
    assert told is not None
    last = max(int(str(row["seq"])) for row in told.timeline)
    beyond = [base for base in Reader(journal).bases[:-2] if base > last]
    assert len(beyond) > 5
    reader = Watched(journal)
    assert StoryQuery(reader, journal, caches=caches, interval=7).story(wanted) == told
    opened = {first for first, last in reader.given if last > first} & set(beyond[:-1])
    assert opened == set(), "of the others only the first line is looked at"
    plain = Watched(journal)
    assert StoryQuery(plain, journal, caches=None).story(wanted) == told
    assert {first for first, last in plain.given if last > first} >= set(beyond[:-1])


def test_damage_in_what_is_asked_for_is_named_and_the_rest_is_told(
    tmp_path: Path, caches: Caches
) -> None:
    journal = tmp_path / "journal"
    with closing(Recorded(journal)) as broker:
        Day(10, broker).run(STEPS)
    answers(journal, caches)
    first = min(journal.glob("0*.jsonl"))
    content = first.read_bytes()
    at = content.index(b"message.enqueued")
    first.write_bytes(content[:at] + b"M" + content[at + 1 :])
    wanted = list(ids_in(journal))
    for each in wanted[:: max(1, len(wanted) // 10)]:
        reader = Reader(journal)
        told = StoryQuery(reader, journal, caches=caches).story(each)
        assert told is not None
        plain = telling(journal, None).story(each)
        assert plain is not None
        # What was found out while it was whole is still true.
        assert told == plain or not told.missing


def test_what_was_queued_again_is_the_last_that_an_agent_was_sent(
    tmp_path: Path, caches: Caches
) -> None:
    journal = tmp_path / "journal"
    with Past(journal, SMALL) as past:
        past.start()
        past.spawn("ann")
        past.spawn("eve")
        past.send("eve", "being typed when the program ended")
        past.tell(ReportEnded(name=AgentName("eve"), generation=1, reason="exited", code=1))
        for _ in range(40):
            past.send("ann", "of no interest to eve")
        [again] = past.tell(Redeliver()).entries[:1]
        for _ in range(40):
            past.send("ann", "of no interest to eve")
    assert isinstance(again.fact, DeliveryRedelivered)
    assert telling(journal, caches).last_deliveries("eve", 1) == [again.fact.new_delivery_id]


def test_where_the_beginning_was_let_go_of_the_rest_is_told(tmp_path: Path, caches: Caches) -> None:
    journal = tmp_path / "journal"
    with closing(Recorded(journal)) as broker:
        Day(11, broker).run(STEPS)
        waiting = list(broker.world.deliveries)
    whole = {each: telling(journal, None).story(each) for each in waiting}
    done = ackbook("compact", "--keep-audit", "none", "--dir", tmp_path, cwd=tmp_path)
    assert done.code == 0
    assert Reader(journal).first_seq > 1
    for each in waiting:
        story = telling(journal, caches).story(each)
        before = whole[each]
        if story is None:
            continue  # it was queued in what is gone
        assert before is not None
        assert (story.state, story.reason) == (before.state, before.reason)
    assert caches.segments.names() == []
    gone = ackbook("why", "evt_1", "--dir", tmp_path, cwd=tmp_path)
    assert gone.code == 3
    assert "evt_1 begins at record 1, and what is left of the journal at" in gone.err
