"""The shapes of facts and events are for ever: golden files, one line a kind.

A golden file of a released format is never changed. Where a fact gets a new field, the old line
must still decode, and encode again to the same bytes.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import orjson
import pytest

from ackbook.journal.format.control import CONTROL_KINDS
from ackbook.projections import facts
from ackbook.projections.codec import Foreign, decode, decode_block, encode, kind_of
from ackbook.projections.events.derive import EVENTS_PER_RECORD, derive, to_json
from ackbook.projections.facts import KINDS, MessageEnqueued, Value
from tests.projections.examples import EXAMPLES

GOLDEN = Path(__file__).parent / "golden"
FACTS = (GOLDEN / "facts-v1.jsonl").read_bytes().splitlines()
EVENTS = (GOLDEN / "events-v1.jsonl").read_bytes().splitlines()


def test_the_golden_file_has_every_kind() -> None:
    assert {orjson.loads(line)["kind"] for line in FACTS} == KINDS


@pytest.mark.parametrize("line", FACTS, ids=lambda line: orjson.loads(line)["kind"])
def test_a_golden_fact_decodes_and_encodes_to_the_same_bytes(line: bytes) -> None:
    entry = decode(line)
    data = line[line.index(b'"data":') + len(b'"data":') : -1]
    assert encode(entry.fact) == data  # type: ignore[arg-type]
    assert kind_of(entry) == orjson.loads(line)["kind"]
    assert (entry.seq, entry.at) == (orjson.loads(line)["seq"], orjson.loads(line)["at"])


def test_the_golden_facts_are_the_examples() -> None:
    for line, example in zip(FACTS, EXAMPLES, strict=True):
        assert encode(decode(line).fact) == encode(example)  # type: ignore[arg-type]


def test_golden_facts_derive_the_golden_events() -> None:
    derived = [to_json(event) for line in FACTS for event in derive(decode(line))]
    assert derived == EVENTS


def test_cursors_rise_and_name_their_record() -> None:
    cursors = [event.seq for line in FACTS for event in derive(decode(line))]
    assert cursors == sorted(set(cursors))
    for line in FACTS:
        entry = decode(line)
        for number, event in enumerate(derive(entry)):
            assert event.seq == entry.seq * EVENTS_PER_RECORD + number
            assert event.record == entry.seq


def test_a_body_stands_in_its_own_fact_and_nowhere_else() -> None:
    for line in FACTS:
        if not isinstance(decode(line).fact, MessageEnqueued):
            assert b"one\\ntwo" not in line
    quoting = [orjson.loads(event)["kind"] for event in EVENTS if b"one\\ntwo" in event]
    assert quoting == ["relay_inbound"]


def test_unknown_and_control_kinds_have_a_position_and_no_meaning() -> None:
    foreign = b'{"seq":7,"at":8,"d":6,"kind":"x.mine","data":{"a":1},"crc":"00000000"}'
    assert isinstance(decode(foreign).fact, Foreign)
    for kind in CONTROL_KINDS:
        entry = decode(b'{"seq":7,"at":8,"d":6,"kind":"%s","data":{}}' % kind.encode())
        assert derive(entry) == ()
        assert kind_of(entry) == kind
    block = b"\n".join([*FACTS[:3], foreign, *FACTS[3:]]) + b"\n"
    assert [entry.seq for entry in decode_block(block)] == [1, 2, 3, 7, *range(4, len(FACTS) + 1)]


def defaults() -> dict[str, object]:
    """What each field of each value of the facts is where a line leaves it out."""
    found: dict[str, object] = {}
    for shape in (each for each in vars(facts).values() if _is_value(each)):
        for field in msgspec.structs.fields(shape):
            if field.default is not msgspec.NODEFAULT:
                found[f"{shape.__name__}.{field.name}"] = orjson.loads(
                    msgspec.json.encode(field.default)
                )
    return found


def _is_value(each: object) -> bool:
    return isinstance(each, type) and issubclass(each, Value)


def test_a_default_that_was_released_never_changes() -> None:
    """Old records leave it out: another one would make their history another history."""
    released = orjson.loads((GOLDEN / "defaults-v1.json").read_bytes())
    now = defaults()
    assert {name: now.get(name, "gone") for name in released} == released
