"""Screens as they stood when evidence was taken, and how they are kept: one JSON a line.

A record of evidence says where a text stood and never what; a still shows it to whoever owns the
machine. It is no history: the newest of each holder are kept, beside the journal and never in it.
This module knows the shape; it knows neither screens nor files.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ackbook.projections.facts import DeliveryId

CaptureMoment = Literal["seen", "submitted", "not_seen"]
"""What was learnt then: the text was found, it had left the input line, or its window was over and
it had not been found."""


class Still(msgspec.Struct, frozen=True, kw_only=True):
    """A screen. `at` is the wall clock in microseconds UTC, `cursor` (row, column) from 1, `offset`
    the length of the output stream then, by which evidence names its place."""

    delivery_id: DeliveryId
    attempt: int
    moment: CaptureMoment
    at: int
    offset: int
    cols: int
    cursor: tuple[int, int]
    rows: tuple[str, ...]


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Still)


def encode_still(still: Still) -> bytes:
    """One line, with its newline. Rows at the end that show nothing are left out."""
    last = max((number for number, row in enumerate(still.rows, 1) if row), default=0)
    return _encode(msgspec.structs.replace(still, rows=still.rows[:last])) + b"\n"


def decode_still(line: bytes) -> Still | None:
    """The still of a line; None for one that was not written to its end."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
