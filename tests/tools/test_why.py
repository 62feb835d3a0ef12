"""`why` may be asked by what people have at hand: an id, a key, the name of an agent."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from ackbook.broker.core.commands import Release, Send, Sent, SetMode, Spawn
from ackbook.broker.history.story_query import StoryQuery
from ackbook.journal import Reader
from ackbook.projections.facts import AgentName, RestartPolicy
from ackbook.tools.shapes.why import DeliveryStory, DeliveryTold, MessageStory, WaitOfQueue
from tests.support.orders import program
from tests.support.past import SMALL, Past
from tests.support.shell import Done, ackbook


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A journal of a few segments; the ids of its messages by what they are."""
    root = tmp_path_factory.mktemp("keys")
    ids: dict[str, str] = {}
    with Past(root / "journal", SMALL) as past:
        past.start()
        past.spawn("bob")
        past.spawn("Ann")
        for name, sender, key, body in (
            ("amy", "amy", "deploy", "x"),
            ("zoe", "zoe", "deploy", "x"),
            ("own", "amy", "only amy's", "x"),
        ):
            answer = past.tell(Send(sender=sender, target="bob", body=body, key=key)).verdict.answer  # type: ignore[union-attr]
            assert isinstance(answer, Sent)
            ids[name] = answer.event_id
        refused = Send(sender="amy", target="bob", body="another", key="only amy's")
        ids["refused"] = f"evt_{past.tell(refused).entries[0].seq:x}"
        for number in range(20):
            ids[f"ann {number}"] = past.send("ann", "x").deliveries[0][0]
    return root, ids


def fields_of(shape: type[msgspec.Struct]) -> set[str]:
    return set(shape.__struct_fields__)


def why(root: Path, *arguments: str) -> Done:
    return ackbook("why", *arguments, "--dir", root, cwd=root)


@pytest.mark.parametrize("screens", [[], ["--screen"]], ids=["alone", "with screens"])
def test_every_key_that_is_printed_is_one_of_the_shapes(
    screens: list[str], told: tuple[Path, dict[str, str]]
) -> None:
    root, ids = told
    left_out = set() if screens else {"screens"}
    message = why(root, ids["amy"], "--json", *screens).json()
    assert set(message) == fields_of(MessageStory) - left_out
    [fate] = message["deliveries"]
    assert set(fate) == fields_of(DeliveryTold)
    delivery = why(root, ids["ann 19"], "--json", *screens).json()
    assert set(delivery) == fields_of(DeliveryStory) - left_out
    assert set(delivery["wait"]) == fields_of(WaitOfQueue)
    for shape, told_of in ((MessageStory, ids["amy"]), (DeliveryStory, ids["ann 19"])):
        journal = Reader(root / "journal")
        story = StoryQuery(journal, root / "journal", caches=None).story(told_of)
        assert story is not None
        assert set(story.to_dict()) == fields_of(shape) - {"screens"}, "a key is dropped unseen"


def test_by_a_key_that_one_sender_used(told: tuple[Path, dict[str, str]]) -> None:
    root, ids = told
    for asked in (
        ("only amy's",),
        ("--key", "only amy's"),
        ("--key", "only amy's", "--from", "amy"),
    ):
        done = why(root, *asked, "--json")
        assert done.json()["id"] == ids["own"], "what was taken comes before what was refused"
        assert f"used 2 times by amy; also: {ids['refused']}" in done.err


def test_a_key_of_several_senders_asks_whose(told: tuple[Path, dict[str, str]]) -> None:
    root, ids = told
    done = why(root, "deploy")
    assert (done.code, done.out) == (2, "")
    assert "2 senders used the key deploy" in done.err
    assert f"amy ({ids['amy']}," in done.err
    assert f"zoe ({ids['zoe']}," in done.err
    assert "ackbook why --key deploy --from amy" in done.err
    assert why(root, "--key", "deploy", "--from", "zoe", "--json").json()["id"] == ids["zoe"]


def test_the_last_that_an_agent_was_sent(told: tuple[Path, dict[str, str]]) -> None:
    root, ids = told
    assert why(root, "--agent", "ANN", "--last", "--json").json()["id"] == ids["ann 19"]
    several = why(root, "--agent", "ann", "--last", "15", "--json").lines()
    assert [story["id"] for story in several] == [ids[f"ann {number}"] for number in range(5, 20)]
    more = why(root, "--agent", "bob", "--last", "100", "--json").lines()
    assert len(more) == 3
    people = why(root, "--agent", "ann", "--last", "2").out
    assert people.splitlines()[-1].startswith(ids["ann 19"])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "name one thing"),
        (("evt_9", "--key", "k"), 2, "name one thing"),
        (("--agent", "ann"), 2, "--agent and --last belong together"),
        (("evt_9", "--last"), 2, "--agent and --last belong together"),
        (("evt_9", "--from", "amy"), 2, "--from says whose"),
        (("--agent", "eve", "--last"), 3, "nothing was ever queued for eve"),
        (("no such key",), 3, "neither as an id nor as an idempotency key"),
        (("--key", "deploy", "--from", "eve"), 3, "idempotency key of eve"),
        (("evt_ffff",), 3, "no record names evt_ffff"),
        (("evt_1",), 3, "no record names evt_1"),
    ],
)
def test_what_cannot_be_answered_is_said_so(
    arguments: tuple[str, ...], code: int, said: str, told: tuple[Path, dict[str, str]]
) -> None:
    done = why(told[0], *arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_the_second_question_reads_what_the_first_one_kept(
    told: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, ids = told
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    first, second = (
        ackbook("why", ids["amy"], "--json", "--dir", root, cwd=root,
                env={"XDG_CACHE_HOME": str(tmp_path)})
        for _ in range(2)
    )  # fmt: skip
    assert first.json() == second.json()
    assert list(tmp_path.rglob("segments/*/*"))
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_line_says_what_a_person_reads_and_no_more(tmp_path: Path) -> None:
    with Past(tmp_path / "journal") as past:
        past.start()
        past.tell(Spawn(program=program("bob", restart=RestartPolicy())))
        past.tell(SetMode(name=AgentName("bob"), mode="manual_flush"))
        ids = [past.send("bob", f"{number}").deliveries[0][0] for number in range(3)]
        past.tell(
            Send(sender="ann", target="bob", body="soon too late", ttl_ms=60_000, key="a key")
        )
        past.tell(Release(name=AgentName("bob")))
    told = ackbook("why", ids[0], "--dir", tmp_path, cwd=tmp_path).out
    assert "bob, dropped 4 deliveries, because of" in told
    assert all(each not in told for each in (*ids[1:], "{}", "[]"))
    told = ackbook("why", "--key", "a key", "--dir", tmp_path, cwd=tmp_path).out
    assert re.search(r"expires at \d\d:\d\d:\d\d\.\d{3}", told)
