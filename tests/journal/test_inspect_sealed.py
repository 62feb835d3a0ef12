"""Promises of the look at a sealed segment: as quick as it may be, it takes no sum on trust."""

from hashlib import sha256

import pytest

from ackbook.journal.format.control import Sealed, SegmentStarted, control_draft
from ackbook.journal.format.record import Draft, encode_line, time_part
from ackbook.journal.reading.scanner import BLOCK_BYTES
from ackbook.journal.recovery.decision_table import Finding
from ackbook.journal.recovery.inspect_sealed import (
    SealedContent,
    in_memory,
    look_at_sealed,
    skim_sealed,
)

TIMES = time_part(1_763_800_000_000_000, 0)
BODY = Draft("thing.happened", b'{"text":"%b"}' % (b"x" * 1_000))
LAST = 3 * BLOCK_BYTES // 1_000


def sealed(*, without: int = 0, digest: str = "") -> bytes:
    """A segment of several pieces, without the line of one seq; its checksums are right."""
    started = control_draft(SegmentStarted("a" * 32, 1, 1, 1))
    data, running = encode_line(started, 1, TIMES, 0)
    for seq in range(2, LAST):
        if seq != without:
            line, running = encode_line(BODY, seq, TIMES, running)
            data += line
    seal = Sealed(LAST - 1, len(data), digest or sha256(data).hexdigest(), (BODY.kind,))
    line, _ = encode_line(control_draft(seal), LAST, TIMES, running)
    return data + line


def findings(data: bytes, *, full: bool = True) -> set[Finding]:
    return {flaw.finding for flaw in look_at_sealed(in_memory(data), 1, None, full=full).flaws}


def test_a_whole_one_has_all_its_sums_and_is_read_once() -> None:
    data = sealed()
    read: list[int] = []

    def reading(offset: int, size: int) -> bytes:
        part = data[offset : offset + size]
        read.append(len(part))
        return part

    look = look_at_sealed(SealedContent(len(data), reading), 1, None, full=True)
    assert (look.flaws, look.count, look.end) == ((), LAST, len(data))
    assert look.sha256 == sha256(data).hexdigest()
    assert sum(read) < len(data) + BLOCK_BYTES, "the ends are read twice, and nothing else"


@pytest.mark.parametrize("place", [5, 100_000, -400])
def test_a_changed_byte_is_found_wherever_it_is(place: int) -> None:
    data = bytearray(sealed())
    data[place] ^= 1
    assert findings(bytes(data), full=False) == {Finding.BROKEN}


def test_a_line_too_few_is_found_though_every_sum_fits() -> None:
    assert findings(sealed(without=50), full=False) == {Finding.BROKEN}


def test_another_sha256_is_found_by_the_full_look() -> None:
    wrong = sealed(digest="0" * 64)
    assert findings(wrong, full=False) == set()
    assert findings(wrong) == {Finding.BROKEN}


def test_a_skim_reads_the_ends_alone() -> None:
    data = bytearray(sealed())
    data[100_000] ^= 1
    assert skim_sealed(in_memory(bytes(data)), 1, None) is not None
    data[data.rindex(b'"sha256":"') + 20] ^= 1
    assert skim_sealed(in_memory(bytes(data)), 1, None) is None
