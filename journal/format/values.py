"""What a program says and hears when it uses a journal by itself: its own values, not lines.

A record goes in as a kind and anything that becomes a JSON object, and comes back as `Record`. What
JSON cannot hold is refused on the way in, also where an encoder would quietly write something else
(a float that is not finite becomes `null`). So the journal below may take what comes from here at
its word; only a `msgspec.Raw` inside of a value is as good as whoever made it.

This module knows nothing of where records lie.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import Field
from typing import ClassVar, Protocol, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Struct

from ackbook.journal.errors import RecordRefused
from ackbook.journal.format.record import Draft
from ackbook.journal.format.validation import admit_data

_Shape = TypeVar("_Shape")


class Dataclass(Protocol):
    """Any instance of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[object]]]


Data: TypeAlias = Mapping[str, object] | Dataclass | Struct | bytes
"""What a record may hold; `bytes` are a JSON object that is encoded already."""


class Record(Struct, frozen=True, gc=False):
    """What was appended, and the place and time that the journal gave it."""

    seq: int
    """Its position, and the cursor to read on from. Positions only grow, now and then by more than
    one: the journal keeps some for records of its own."""
    at: int
    """Microseconds since 1970, UTC; never smaller than that of the record before."""
    kind: str
    data: bytes
    """The JSON object as it stands in the file."""

    @property
    def value(self) -> dict[str, object]:
        """The object decoded, with its numbers, texts, lists and objects."""
        return cast("dict[str, object]", msgspec.json.decode(self.data))

    def load(self, shape: type[_Shape]) -> _Shape:
        """The object as a dataclass, a `TypedDict`, a `msgspec.Struct`, ... Raises
        `msgspec.ValidationError` when it has another shape."""
        return msgspec.json.decode(self.data, type=shape)


class State(Struct, frozen=True, gc=False):
    """What all records up to `seq` came to, as it was given to `snapshot`. Where there is no
    snapshot that can be used, it is the state before the first record: `seq` 0, value None."""

    seq: int = 0
    data: bytes = b"null"

    @property
    def value(self) -> object:
        """The state decoded."""
        return cast("object", msgspec.json.decode(self.data))

    def load(self, shape: type[_Shape]) -> _Shape | None:
        """The state as a value of this type; None before the first record. Raises
        `msgspec.ValidationError` when it has another shape."""
        return msgspec.json.decode(self.data, type=shape) if self.seq else None


def drafts_of(records: Iterable[tuple[str, Data]]) -> list[Draft]:
    """The records to be written. Raises `RecordRefused` for the first that is no JSON object
    of a journal."""
    return [draft_of(kind, data) for kind, data in records]


def draft_of(kind: str, data: Data) -> Draft:
    """One of them. Raises `RecordRefused` when it is no JSON object of a journal."""
    encoded = data if isinstance(data, bytes) else encode(data)
    admit_data(encoded, sound=encoded is not data)
    return Draft(kind, encoded)


def encode(value: object) -> bytes:
    """Any value as JSON on one line (bytes as base64). Raises `RecordRefused`."""
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordRefused("bad_json", f"JSON cannot hold this: {error}") from error
    if b"null" in encoded:
        _check_finite(msgspec.to_builtins(value))
    return encoded


def _check_finite(value: object) -> None:
    pending = [value]
    while pending:
        match pending.pop():
            case float() as number if not math.isfinite(number):
                raise RecordRefused("bad_json", f"JSON cannot hold {number}")
            case list() | tuple() as items:
                pending.extend(cast("Iterable[object]", items))
            case dict() as fields:
                pending.extend(cast("Iterable[object]", fields.values()))
            case _:
                pass
