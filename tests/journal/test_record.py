"""The bytes of a line, the checks at the door, the slots of HEAD: the format itself."""

import json
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ackbook.journal import Draft, Limits, RecordRefused
from ackbook.journal.format.head import SLOT_BYTES, Head, Mark, encode_mark, read_head
from ackbook.journal.format.record import (
    claims_durable,
    encode_line,
    measure_draft,
    parse_line,
    running_after,
    time_part,
)
from ackbook.journal.format.validation import Door, knows
from ackbook.journal.reading.scanner import Walker, good_block
from ackbook.journal.storage.files import OsFiles

AT = 1_763_800_000_123_456
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
DRAFTS = st.builds(
    lambda data, by, cause: Draft(
        "thing.happened",
        json.dumps(data, ensure_ascii=False).encode(errors="replace"),
        None if by is None else json.dumps(by).encode(),
        tuple(cause),
    ),
    st.dictionaries(st.text(max_size=5), JSON, max_size=4),
    st.none() | st.dictionaries(st.text("abc", max_size=5), JSON, max_size=2),
    st.lists(st.integers(1, 40), max_size=3),
)


def test_a_line_is_exactly_these_bytes() -> None:
    draft = Draft("message.enqueued", b'{"a":1}', by=b'{"c":2}', cause=(40, 41))
    line, _ = encode_line(draft, 42, time_part(AT, 40), running=7)
    body = (
        b'{"seq":42,"at":1763800000123456,"d":40,"kind":"message.enqueued","by":{"c":2},'
        b'"cause":[40,41],"data":{"a":1}'
    )
    assert line == body + b',"crc":"%08x"}\n' % crc32(body, 7)


def test_optional_keys_are_left_out() -> None:
    line, _ = encode_line(Draft("a.b", b"{}"), 1, time_part(5, 0), 0)
    assert line.startswith(b'{"seq":1,"at":5,"d":0,"kind":"a.b","data":{},"crc":"')


@given(st.lists(DRAFTS, min_size=1, max_size=8))
def test_what_was_encoded_is_read_back_and_any_line_alone_can_be_checked(
    drafts: list[Draft],
) -> None:
    data, running = b"", 0
    for seq, draft in enumerate(drafts, start=1):
        before = data
        line, running = encode_line(draft, seq, time_part(AT, 0), running)
        data += line
        assert len(line) <= measure_draft(draft)
        assert running == crc32(data)
        parsed = parse_line(line[:-1])
        assert parsed is not None
        covered = before + line[: line.rindex(b',"crc"')]
        assert parsed.crc == f"{crc32(covered):08x}"
        assert running_after(parsed.crc) == running
        assert (parsed.seq, parsed.at, parsed.d, parsed.kind) == (seq, AT, 0, draft.kind)
        assert json.loads(parsed.data) == json.loads(draft.data)
        assert (parsed.by, parsed.cause) == (draft.by, draft.cause)
    walker = Walker(data, 1)
    assert [line.seq for line in walker] == list(range(1, len(drafts) + 1))
    block = good_block(data, 1, 0)
    assert block is not None
    assert (block.running, block.last.seq) == (walker.running, len(drafts))


@given(st.lists(DRAFTS, min_size=2, max_size=4), st.data())
def test_a_changed_byte_never_verifies(drafts: list[Draft], choice: st.DataObject) -> None:
    data, running = b"", 0
    for seq, draft in enumerate(drafts, start=1):
        line, running = encode_line(draft, seq, time_part(AT, 0), running)
        data += line
    place = choice.draw(st.integers(0, len(data) - 2))
    bit = 1 << choice.draw(st.integers(0, 7))
    changed = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
    walker = Walker(changed, 1)
    assert len(list(walker)) < len(drafts)
    assert walker.wrong is not None
    assert walker.end <= place
    assert good_block(changed, 1, 0) is None


def test_u2028_is_data_and_no_line_end() -> None:
    draft = Draft("a.b", '{"text":"one\u2028two\x85three"}'.encode())
    Door(None, trusted=False, limits=Limits()).admit([draft], 1)
    line, _ = encode_line(draft, 1, time_part(AT, 0), 0)
    assert len(list(Walker(line, 1))) == 1


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":9007199254740992}',
        b'{"a":[{"b":-9007199254740992}]}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"a":\n1}',
        b'{"a":1',
        b"[1]",
        b"7",
        b'{"a":1}{}',
        b"",
    ],
)
def test_what_a_reader_could_not_take_is_refused(data: bytes) -> None:
    door = Door(None, trusted=False, limits=Limits())
    with pytest.raises(RecordRefused) as caught:
        door.admit([Draft("a.b", data)], 1)
    assert caught.value.reason == "bad_json"
    with pytest.raises(RecordRefused):
        door.admit([Draft("a.b", b"{}", by=data)], 1)


@pytest.mark.parametrize(
    "data", [b'{"a":9007199254740991}', b'{"a":"12345678901234567890"}', b'{"a":1.5e300}', b"{}"]
)
def test_what_every_reader_takes_is_admitted(data: bytes) -> None:
    Door(None, trusted=False, limits=Limits()).admit([Draft("a.b", data)], 1)


def test_a_trusted_caller_is_still_held_to_lines_and_sizes() -> None:
    door = Door(None, trusted=True, limits=Limits(line_bytes_max=200))
    with pytest.raises(RecordRefused, match="newline"):
        door.admit([Draft("a.b", b'{"a":\n1}')], 1)
    with pytest.raises(RecordRefused) as caught:
        door.admit([Draft("a.b", b"{" + b" " * 200 + b"}")], 1)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    "kind", ["journal.opened", "nodot", "A.b", "a.b\n", "a..b", "a." + "b" * 70]
)
def test_a_kind_is_a_dotted_name_and_control_kinds_are_closed(kind: str) -> None:
    with pytest.raises(RecordRefused) as caught:
        Door(None, trusted=True, limits=Limits()).admit([Draft(kind, b"{}")], 1)
    assert caught.value.reason == "unknown_kind"


def test_a_list_of_kinds_closes_all_but_x() -> None:
    door = Door(frozenset({"a.b"}), trusted=True, limits=Limits())
    door.admit([Draft("a.b", b"{}")], 1)
    door.admit([Draft("x.anything", b"{}")], 1)
    with pytest.raises(RecordRefused):
        door.admit([Draft("a.c", b"{}")], 1)
    assert not knows(frozenset({"a.b"}), "a.c")


@pytest.mark.parametrize("cause", [(5,), (6,), (0,), (-1,), tuple([1] * 2000)])
def test_a_cause_is_an_earlier_record(cause: tuple[int, ...]) -> None:
    with pytest.raises(RecordRefused) as caught:
        Door(None, trusted=True, limits=Limits()).admit([Draft("a.b", b"{}", cause=cause)], 5)
    assert caught.value.reason == "bad_cause"


def test_a_line_inside_the_data_of_a_torn_line_is_no_proof() -> None:
    inner, _ = encode_line(Draft("a.b", b"{}"), 9, time_part(AT, 8), 0)
    outer, _ = encode_line(Draft("a.b", b'{"copy":' + inner[:-1] + b"}"), 3, time_part(AT, 2), 0)
    assert claims_durable(outer[:-1], 3) is None
    assert claims_durable(inner[:-1], 3) is not None
    assert claims_durable(inner[:-1].replace(b"{}", b"{!"), 3) is None


def test_a_line_with_every_key_is_a_proof() -> None:
    draft = Draft("a.b", b"{}", by=b'{"command":"x"}', cause=(1, 2))
    line, _ = encode_line(draft, 9, time_part(AT, 8), 0)
    assert claims_durable(line[:-1], 3) is not None
    assert claims_durable(line[:-1], 9) is None


@pytest.mark.parametrize("d", [1, 2, 99])
def test_no_line_is_durable_before_it_is_written(d: int) -> None:
    line, _ = encode_line(Draft("a.b", b"{}"), 1, time_part(AT, d), 0)
    walker = Walker(line, 1)
    assert list(walker) == []
    assert "was durable before it" in (walker.wrong or "")


def test_head_is_two_slots_and_the_larger_valid_one_counts(tmp_path: Path) -> None:
    head = Head.open(OsFiles(), tmp_path, "5eed", 1, "00000001")
    assert read_head(OsFiles(), tmp_path).seq == 1
    head.write(2, "00000002")
    head.write(3, "00000003", closed=True)
    head.sync()
    head.close()
    content = (tmp_path / "HEAD").read_bytes()
    assert len(content) == 2 * SLOT_BYTES
    reading = read_head(OsFiles(), tmp_path)
    assert reading.marks[0] == Mark("5eed", 3, "00000003", closed=True)
    assert [mark.seq for mark in reading.marks] == [3, 2]
    for place in range(SLOT_BYTES - 1):
        spoilt = content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]
        (tmp_path / "HEAD").write_bytes(spoilt)
        reading = read_head(OsFiles(), tmp_path)
        assert (reading.seq, reading.unreadable) == (2, 1), place


def test_a_slot_is_these_bytes() -> None:
    text = b'{"journal":"5eed","seq":41,"crc":"9f3a0b12","closed":false,"sum":"'
    expected = (text + b'%08x"}' % crc32(text)).ljust(127) + b"\n"
    assert encode_mark(Mark("5eed", 41, "9f3a0b12", closed=False)) == expected
