"""What was decided can be decided again from the records alone, and a difference is shown."""

from __future__ import annotations

import msgspec
import pytest

from ackbook.broker.core import standing_rules
from ackbook.broker.core.commands import NoteUpkeep, Send, SetMode, Spawn
from ackbook.broker.core.recorded_command import command_of
from ackbook.broker.core.replay.recheck import Divergence, NotTold, check
from ackbook.projections.codec import Entry, decode
from ackbook.projections.facts import (
    AgentName,
    DeliveryAttempted,
    DeliveryWritten,
    MessageEnqueued,
    MessageRefused,
    Policy,
)
from ackbook.projections.world.fold import World
from tests.support.orders import deliver, ended, message, program, report_of, spawn
from tests.support.simulated import Simulated, dump


def checked(lines: list[bytes]) -> list[Divergence | NotTold]:
    """Everything that is not decided again as these lines say."""
    return [found for found in check(World(), map(decode, lines)) if found is not None]


@pytest.fixture
def broker() -> Simulated:
    broker = Simulated(Policy(queue_length_max=2))
    spawn(broker, "Bob", "dev")
    return broker


def first_of(broker: Simulated, kind: str) -> Entry:
    number = broker.kinds().index(kind)
    return decode(broker.lines[number])


@pytest.mark.parametrize(
    "command",
    [
        message("Bob", "hello"),
        message("@bob", "hello", key="k", priority=2),
        message("#dev", "hello", ttl_ms=1_500),
        message("#dev", "hello", key="k", thread="t", data=msgspec.Raw(b'{"a":[1]}')),
        message("BOB", "urgent", priority=0, mode="steer", need="written"),
    ],
)
def test_an_accepted_send_comes_back_word_for_word(broker: Simulated, command: Send) -> None:
    broker.sent(command)
    told = command_of(first_of(broker, "message.enqueued"))
    assert told is not None
    assert (told.command, told.whole) == (command, True)


@pytest.mark.parametrize(
    ("body", "reason"),
    [("\u200b \n", "empty"), ("é" * 300_000, "too_large"), ("x", "unknown_agent")],
)
def test_a_refused_send_is_refused_again_though_its_text_is_kept_nowhere(
    broker: Simulated, body: str, reason: str
) -> None:
    broker.refused(message("nobody" if body == "x" else "bob", body))
    (refusal,) = broker.facts(MessageRefused)
    assert refusal.reason == reason
    assert body not in broker.lines[-1].decode()
    assert checked(broker.lines) == []


def test_a_key_that_comes_with_another_message_is_refused_again(broker: Simulated) -> None:
    broker.sent(message("@BOB", "one", key="k"))
    broker.refused(message("@BOB", "two", key="k"))
    assert broker.kinds()[-1] == "message.refused"
    assert checked(broker.lines) == []


@pytest.mark.parametrize("body", ["x", "xx"])
def test_a_message_like_what_stands_for_a_lost_text_is_not_taken_for_it(
    broker: Simulated, body: str
) -> None:
    broker.sent(message("bob", body, key="k"))
    broker.refused(message("bob", "y" * len(body), key="k"))
    assert checked(broker.lines) == []


@pytest.mark.parametrize("size", [-1, 10**10])
def test_the_length_that_a_stranger_names_is_never_made_up(broker: Simulated, size: int) -> None:
    broker.refused(message("nobody", "x"))
    refused = decode(broker.lines[-1])
    fact = msgspec.structs.replace(refused.fact, body_bytes=size)
    assert command_of(msgspec.structs.replace(refused, fact=fact)) is None


def test_a_spawn_comes_back_with_the_name_as_it_was_written(broker: Simulated) -> None:
    ended(broker, "bob", "ended_with_broker")
    command = Spawn(program=program("BOB", 2))
    broker.ask(command)
    told = command_of(decode(broker.lines[-1]))
    assert told is not None
    assert told.command == command
    assert checked(broker.lines) == []


def test_a_repeated_send_leads_to_nothing_though_something_is_overdue() -> None:
    broker = Simulated(Policy(failures_max=1))
    spawn(broker, "bob")
    broker.sent(message("bob", key="k"))
    deliver(broker, broker.typed()[0])
    for _ in range(12):
        broker.wait(5_000)
        broker.sent(message("bob", "is given up"))
        broker.ask(report_of(broker.typed()[0], "not_written"))
    broker.policy = Policy(dead_letters_max=1)
    broker.start()
    assert len(broker.world.dead_letters) > 1
    length = len(broker.lines)
    assert broker.sent(message("bob", key="k")).repeated
    assert len(broker.lines) == length
    broker.do(NoteUpkeep(what="snapshot", error="no space"))
    assert len(broker.world.dead_letters) == 1
    assert checked(broker.lines) == []


def test_a_journal_that_kept_less_of_a_send_is_checked_as_far_as_it_goes(broker: Simulated) -> None:
    broker.sent(message("@bob", "one", priority=4, ttl_ms=900))
    broker.sent(message("@bob", "two", key="k"))
    old = [_without_origin(line) for line in broker.lines]
    assert old != broker.lines
    keyed = [e.seq for e in broker.entries if isinstance(e.fact, MessageEnqueued)][1]
    assert checked(old) == [NotTold(keyed)]


def _without_origin(line: bytes) -> bytes:
    head, found, tail = line.partition(b'"by":{"command":"send"')
    return head + found + tail[tail.index(b"}") :] if found else line


def test_a_divergence_shows_both_sides_and_the_world_goes_on_as_recorded(
    broker: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.ask(SetMode(name=AgentName("bob"), mode="manual_flush"))
    for number in range(4):
        broker.sent(message("bob", f"{number}"))
    evictions = [e.seq for e, k in zip(broker.entries, broker.kinds(), strict=True) if "evict" in k]
    assert len(evictions) == 2
    monkeypatch.setattr(standing_rules, "_ALIVE", ())
    monkeypatch.setitem(standing_rules.RULES, "ready", (standing_rules._move_head,))
    found = checked(broker.lines)
    assert [other.seq for other in found] == evictions
    other = found[0]
    assert isinstance(other, Divergence)
    assert other.recorded is not None
    assert other.recorded.seq == evictions[0]
    assert (other.decided, other.sides, other.first) == (None, (), evictions[0] - 1)


def test_what_only_the_rules_say_is_a_divergence_too(
    broker: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setitem(standing_rules.RULES, "ready", ())
        broker.sent(message("bob"))
    seq = broker.world.seq
    broker.ask(SetMode(name=AgentName("bob"), mode="manual_flush"))
    (other,) = checked(broker.lines)
    assert isinstance(other, Divergence)
    assert (other.first, other.seq, other.recorded) == (seq, seq + 1, None)
    assert other.decided is not None
    assert isinstance(other.decided.fact, DeliveryAttempted)


def test_another_cause_of_the_same_fact_is_a_divergence(broker: Simulated) -> None:
    broker.sent(message("bob"))
    lines = list(broker.lines)
    attempted = lines[-1]
    assert b'"cause":[5]' in attempted
    lines[-1] = attempted.replace(b'"cause":[5]', b'"cause":[5,2]')
    (other,) = checked(lines)
    assert isinstance(other, Divergence)
    assert other.sides == ("cause",)


def test_a_decision_that_a_crash_cut_short_is_no_divergence(broker: Simulated) -> None:
    broker.sent(message("bob"))
    deliver(broker, broker.typed()[0])
    first = next(e.seq for e in broker.entries if isinstance(e.fact, DeliveryWritten))
    assert broker.kinds()[first:] == ["delivery.acked"]
    cut = [NotTold(first, "cut")]
    assert checked(broker.lines[:first]) == cut
    opened = b'{"seq":%d,"at":%d,"kind":"journal.opened","data":{}}' % (first + 1, broker.at)
    assert checked([*broker.lines[:first], opened]) == cut


def test_after_a_check_the_world_is_that_of_a_replay(broker: Simulated) -> None:
    broker.sent(message("bob"))
    deliver(broker, broker.typed()[0])
    world = World()
    assert set(check(world, map(decode, broker.lines))) == {None}
    assert dump(world) == dump(broker.replayed())
