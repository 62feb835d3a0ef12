"""The policy is the journal's: a start changes the keys that somebody named, and no other."""

from __future__ import annotations

import pytest

from ackbook.broker.core.commands import StartBroker
from ackbook.broker.core.recorded_command import command_of
from ackbook.broker.core.replay.recheck import check
from ackbook.broker.wire.policy_text import NoPolicy, policy_of, read_file, read_settings
from ackbook.projections.codec import decode
from ackbook.projections.facts import Policy, PolicyChanged
from ackbook.projections.world.fold import World
from tests.support.simulated import Simulated


def start(broker: Simulated, named: tuple[str, ...] | None, **numbers: int) -> int:
    """How many changes of the policy the start of a broker recorded."""
    before = len(broker.entries)
    policy = Policy(**numbers)  # type: ignore[arg-type]  # all of them are numbers here
    broker.ask(StartBroker(epoch=9, pid=1, version="0", instance="i", policy=policy, named=named))
    return sum(isinstance(entry.fact, PolicyChanged) for entry in broker.entries[before:])


def test_a_start_that_names_nothing_changes_nothing() -> None:
    broker = Simulated(Policy(queue_length_max=7, window_ms=99))
    assert start(broker, ()) == 0
    assert start(broker, (), queue_length_max=5) == 0
    assert broker.world.policy == Policy(queue_length_max=7, window_ms=99)


def test_a_start_changes_the_keys_that_are_named_also_back_to_their_defaults() -> None:
    broker = Simulated(Policy(queue_length_max=7, window_ms=99))
    assert start(broker, ("hold_ms",), hold_ms=5) == 1
    assert broker.world.policy == Policy(queue_length_max=7, window_ms=99, hold_ms=5)
    assert start(broker, ("window_ms",)) == 1
    assert broker.world.policy == Policy(queue_length_max=7, hold_ms=5)
    assert start(broker, ("window_ms", "hold_ms"), hold_ms=5) == 0


def test_a_start_of_an_earlier_version_set_all_of_them() -> None:
    broker = Simulated(Policy(queue_length_max=7))
    assert start(broker, None, hold_ms=5) == 1
    assert broker.world.policy == Policy(hold_ms=5)


def test_a_key_of_a_later_version_says_nothing_to_this_one() -> None:
    broker = Simulated(Policy(queue_length_max=7))
    assert start(broker, ("of_tomorrow", "hold_ms"), hold_ms=5) == 1
    assert broker.world.policy == Policy(queue_length_max=7, hold_ms=5)


def test_what_a_start_named_is_recorded_and_decided_again() -> None:
    broker = Simulated(Policy(queue_length_max=7))
    start(broker, ("hold_ms",), hold_ms=5)
    start(broker, ())
    entries = [decode(line) for line in broker.lines]
    assert list(check(World(), entries)) == [None] * 3
    told = command_of(next(e for e in reversed(entries) if bytes(e.by)))
    assert told is not None
    assert isinstance(told.command, StartBroker)
    assert told.command.named == ()


def test_words_of_a_policy_are_read_as_its_values() -> None:
    assert read_settings(["hold_ms=5", "queue_policy=reject_newest"]) == {
        "hold_ms": 5,
        "queue_policy": "reject_newest",
    }
    assert read_file(b'{"hold_ms": 5, "queue_policy": "reject_newest"}') == {
        "hold_ms": 5,
        "queue_policy": "reject_newest",
    }
    assert policy_of({"hold_ms": 5}) == Policy(hold_ms=5)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["hold_ms"], "write KEY=VALUE"),
        (["hold_sm=5"], "did you mean hold_ms"),
        (["hold_ms=soon"], "hold_ms=soon: "),
        (["hold_ms=-1"], "must not be negative"),
        (["hold_ms=1", "hold_ms=2"], "is there twice"),
        (["body_bytes_max=524289"], "at most 524288"),
        (["recipients_max=1001"], "at most 1000"),
    ],
)
def test_words_that_set_nothing_are_refused_with_what_could_be_meant(
    words: list[str], why: str
) -> None:
    with pytest.raises(NoPolicy, match=why):
        policy_of(read_settings(words))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "one JSON object"),
        (b"[]", "one JSON object"),
        (b"\xff", "one JSON object"),
        (b'{"hold_sm": 5}', "did you mean hold_ms"),
        (b'{"hold_ms": -5}', "must not be negative"),
        (b'{"hold_ms": [5]}', "hold_ms: "),
        (b'{"hold_ms": null}', "hold_ms: "),
    ],
)
def test_a_file_that_sets_nothing_is_refused_with_what_could_be_meant(
    content: bytes, why: str
) -> None:
    with pytest.raises(NoPolicy, match=why):
        policy_of(read_file(content))
