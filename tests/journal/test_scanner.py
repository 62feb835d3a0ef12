"""Promises of the walk: to pass over dull blocks changes nothing of what is found."""

from zlib import crc32

from hypothesis import example, given
from hypothesis import strategies as st

from ackbook.journal.format.control import Closed, Repaired, control_draft
from ackbook.journal.format.record import Draft, encode_line, time_part
from ackbook.journal.reading.scanner import BLOCK_BYTES, Walker
from ackbook.journal.recovery.decision_table import Finding
from ackbook.journal.recovery.inspect_tail import look_at_tail

AT = 1_763_800_000_000_000
LINES = 600
DULL = Draft("thing.happened", b'{"text":"%b"}' % (b"x" * 300))
ANOTHER = Draft("thing.vanished", b'{"data":{"kind":"thing.happened"}}')
LONG = Draft("thing.happened", b'{"text":"%b"}' % (b"x" * BLOCK_BYTES))
DECOY = Draft("thing.happened", rb'{"text":"}\n{\"seq\":9,\"at\":0,\"d\":0,\"kind\":\"x.y\","}')
CLOSED = control_draft(Closed(epoch=1))
LOSS = control_draft(Repaired(last=700))

Edit = tuple[str, int]


def segment(odd: dict[int, Draft], claims: dict[int, int]) -> bytes:
    """Several blocks of lines in batches of five; at some seqs another draft or another `d`."""
    data, running, seq = b"", 0, 1
    for number in range(1, LINES + 1):
        draft = odd.get(number, DULL)
        d = claims.get(number, seq - 1 - (seq - 1) % 5)
        line, running = encode_line(draft, seq, time_part(AT, d), running)
        data += line
        seq = max(seq, 700) + 1 if draft is LOSS else seq + 1
    return data


def damaged(data: bytes, edit: Edit) -> bytes:
    what, place = edit[0], edit[1] % len(data)
    match what:
        case "cut":
            return data[:place]
        case "flip":
            return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        case "blank":
            place = data.rfind(b"\n", 0, place) + 1
            return data[:place] + b"\n" + data[place:]
        case "twice":
            start = data.rfind(b"\n", 0, place) + 1
            end = data.find(b"\n", place) + 1
            return data[:end] + data[start:end] + data[end:]
        case _:
            return data + b"\n" * place


def state(walker: Walker) -> tuple[object, ...]:
    return (
        *(walker.end, walker.count, walker.running, walker.last, walker.expected, walker.wrong),
        *(walker.unfinished, walker.rest),
    )


PLACES = st.integers(0, LINES * 400)
ODD = st.sampled_from([ANOTHER, LONG, DECOY, CLOSED, LOSS])
EDITS = st.tuples(st.sampled_from(["cut", "flip", "blank", "twice", "room"]), PLACES)


@given(
    st.dictionaries(st.integers(1, LINES), ODD, max_size=4),
    st.dictionaries(st.integers(1, LINES), st.integers(0, LINES), max_size=1),
    EDITS,
)
@example({300: CLOSED}, {}, ("room", 70_000))
@example({}, {450: 450}, ("room", 0))
@example({}, {}, ("cut", -1))
@example({300: LOSS}, {}, ("flip", 120_000))
def test_what_is_passed_over_was_good_and_dull(
    odd: dict[int, Draft], claims: dict[int, int], edit: Edit
) -> None:
    data = damaged(segment(odd, claims), edit)
    each = Walker(data, 1)
    lines = list(each)
    asked: list[range] = []

    def is_dull(first: int, last: int, kinds: set[str]) -> bool:
        asked.append(range(first, last + 1))
        assert kinds == {line.kind for line in lines if first <= line.seq <= last}
        return kinds == {DULL.kind}

    quick = Walker(data, 1, is_dull=is_dull)
    given_lines = list(quick)
    assert state(quick) == state(each)
    passed_over = {line.seq for line in lines} - {line.seq for line in given_lines}
    assert passed_over <= {seq for block in asked for seq in block}
    assert [line for line in lines if line.seq not in passed_over] == given_lines
    assert all(line.kind == DULL.kind for line in lines if line.seq in passed_over)


def test_most_of_a_long_tail_is_passed_over() -> None:
    data = segment({}, {})
    quick = Walker(data, 1, is_dull=lambda first, last, kinds: kinds == {DULL.kind})
    assert 0 < len(list(quick)) <= 2 * BLOCK_BYTES // 400
    assert (quick.count, quick.running) == (LINES, crc32(data))


def test_in_the_middle_of_a_long_tail_what_matters_is_seen() -> None:
    data = segment({550: ANOTHER}, {})
    other, newer = Finding.BROKEN, Finding.NEWER
    found = look_at_tail(data, 1, frozenset({DULL.kind}), {250: "00000000"}).flaws
    assert {(flaw.finding, flaw.line) for flaw in found} >= {(other, 250), (newer, 550)}
    right = list(Walker(data, 1))[249].crc
    assert other not in {flaw.finding for flaw in look_at_tail(data, 1, None, {250: right}).flaws}
