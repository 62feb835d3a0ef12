"""Codec: from the bytes of a line to a typed entry in one pass, and from a fact to its `data`.

`decode` validates shapes while it reads (about 0.3 µs a record with msgspec); checksums are the
journal's business and were checked before bytes come here. A kind that this version does not know
becomes `Foreign`, a control record of the journal `Control`: both have a position, and no meaning
but that a journal which was put back begins a `lineage`.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any, ClassVar, TypeAlias, cast

import msgspec

from ackbook.journal.format.control import CONTROL_KINDS
from ackbook.journal.format.record import Position
from ackbook.projections.facts import FACTS, Fact, Value


class RecoveredHead(Value, frozen=True):
    """What a start found: its last good line."""

    head: Position = Position()


class Control(Value, frozen=True):
    """A record that the journal wrote about itself. `lineage` is said by a `journal.opened`, when
    the journal's own files showed that it was put back from a copy, which it `found` so."""

    KIND: ClassVar[str] = "journal.*"

    lineage: str = ""
    found: RecoveredHead = msgspec.field(default=RecoveredHead(), name="recovery")

    @property
    def forked_after(self) -> int:
        """With a lineage, the last record that both histories have."""
        return self.found.head.seq


class Foreign(Value, frozen=True):
    """A record of a kind that this version does not know, such as `x.*`."""

    KIND: ClassVar[str] = "x.*"


Content: TypeAlias = Fact | Control | Foreign


class Entry(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, rename={"fact": "data"}, tag_field="kind"
):
    """A fact with its position (`seq`) and time (`at`, microseconds UTC).

    `by` is the encoded command on the first record of a decision, and empty on all others;
    `cause` are the earlier seqs that led here.
    """

    seq: int
    at: int
    by: msgspec.Raw = msgspec.Raw(b"")
    cause: tuple[int, ...] = ()
    fact: Content


def _line_type(name: str, tag: str, content: type[Content]) -> type[Entry]:
    fields = [("fact", content)]
    made = msgspec.defstruct(
        name, fields, bases=(Entry,), tag=tag, frozen=True, kw_only=True, gc=False
    )
    return cast(type[Entry], made)


_LINE_TYPES: dict[str, type[Entry]] = {
    **{fact.KIND: _line_type(f"{fact.__name__}Entry", fact.KIND, fact) for fact in FACTS},
    **{kind: _line_type("ControlEntry", kind, Control) for kind in CONTROL_KINDS},
}


class _ForeignLine(msgspec.Struct, frozen=True):
    seq: int
    at: int
    kind: str
    cause: tuple[int, ...] = ()


def _decoder() -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(reduce(or_, _LINE_TYPES.values()))


_lines = _decoder()
_foreign = msgspec.json.Decoder(_ForeignLine)
_encoder = msgspec.json.Encoder()


def decode(raw: bytes) -> Entry:
    """One line, without its newline, as an entry.

    Raises `msgspec.DecodeError` where the line is no record, and `msgspec.ValidationError` where
    a known kind has another shape.
    """
    try:
        return cast(Entry, _lines.decode(raw))
    except msgspec.ValidationError:
        line = _foreign.decode(raw)
        if line.kind in _LINE_TYPES:
            raise
        return Entry(seq=line.seq, at=line.at, cause=line.cause, fact=Foreign())


def decode_block(block: bytes) -> list[Entry]:
    """A block of whole lines as entries, in order; several times faster than line by line."""
    try:
        return cast(list[Entry], _lines.decode_lines(block))
    except msgspec.ValidationError:
        return [decode(line) for line in block.split(b"\n") if line]


def entry_of(seq: int, at: int, fact: Fact, cause: tuple[int, ...], by: bytes) -> Entry:
    """The entry that decoding the record of this fact would give."""
    return _LINE_TYPES[fact.KIND](seq=seq, at=at, fact=fact, cause=cause, by=msgspec.Raw(by))


def encode(fact: Fact) -> bytes:
    """The `data` of a record: one JSON object on one line, fields at their default left out."""
    return _encoder.encode(fact)


def kind_of(entry: Entry) -> str:
    """The dotted kind of the record of an entry."""
    tag = type(entry).__struct_config__.tag
    return tag if isinstance(tag, str) else entry.fact.KIND
