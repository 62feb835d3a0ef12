"""What may become a record: every check that a draft passes before a byte of it is staged.

A record that got in is there for ever and every reader has to take it, so what some reader could
not take (NaN, integers beyond 53 bits, lone surrogates, a newline) is refused here. A caller whose
encoder cannot produce such bytes says so (`trusted`) and pays for two checks only: newline and
size. This module knows nothing of what a record means.
"""

import re
from collections.abc import Sequence
from typing import cast

import orjson

from ackbook.journal.errors import RecordRefused
from ackbook.journal.format.control import CONTROL_PREFIX
from ackbook.journal.format.record import CAUSE_BYTES, LINE_OVERHEAD_BYTES, Draft, measure_draft
from ackbook.journal.limits import CAUSES_MAX, INTEGER_MAX, KIND_BYTES_MAX, Limits

_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
_LONG_NUMBER = re.compile(rb"[1-9][0-9]{15}")
"""With its first digit apart the search leaps from digit to digit, three times as fast."""

_OPEN_PREFIX = "x."
_NEWLINE = ord("\n")  # to look for a number is eight times as fast as to look for bytes


class Door:
    """Admits drafts or says why not. Kinds that passed once are remembered."""

    __slots__ = ("_admitted", "_kinds", "_line_bytes_max", "_surely_fits", "_trusted")

    def __init__(self, kinds: frozenset[str] | None, trusted: bool, limits: Limits) -> None:
        self._kinds = kinds
        self._trusted = trusted
        self._line_bytes_max = limits.line_bytes_max
        self._surely_fits = limits.line_bytes_max - LINE_OVERHEAD_BYTES
        self._admitted: set[str] = set()

    def admit(self, drafts: Sequence[Draft], seq: int) -> int:
        """What `measure_drafts` says of them, found on the way. Raises `RecordRefused` when one of
        these cannot be the records from `seq` on."""
        admitted, surely_fits, trusted = self._admitted, self._surely_fits, self._trusted
        total = 0
        for number, draft in enumerate(drafts, start=seq):
            data = draft.data
            if draft.kind not in admitted:
                self._admit_kind(draft.kind)
            if not trusted or _NEWLINE in data:
                _admit_json(data)
            size = len(draft.kind) + len(data)
            if (by := draft.by) is not None:
                size += len(by)
                if not trusted or _NEWLINE in by:
                    _admit_json(by)
            if draft.cause or size > surely_fits:
                self._admit_rest(draft, number)
                size += CAUSE_BYTES * len(draft.cause)
            total += size
        return total + len(drafts) * LINE_OVERHEAD_BYTES

    def _admit_rest(self, draft: Draft, seq: int) -> None:
        size = measure_draft(draft)
        if size > self._line_bytes_max:
            raise RecordRefused("too_large", f"{size} bytes; a line holds {self._line_bytes_max}")
        _admit_cause(draft.cause, seq)

    def _admit_kind(self, kind: str) -> None:
        if len(kind) > KIND_BYTES_MAX or not _KIND.fullmatch(kind):
            raise RecordRefused("unknown_kind", f"{kind[:80]!r} is not a dotted lower-case name")
        if not knows(self._kinds, kind) or kind.startswith(CONTROL_PREFIX):
            raise RecordRefused("unknown_kind", f"{kind!r} is not a kind of this journal")
        self._admitted.add(kind)


def knows(kinds: frozenset[str] | None, kind: str) -> bool:
    """Whether a writer with this list of kinds understands a record of this kind. Control kinds
    are closed; without a list everything else is open."""
    if kind.startswith(CONTROL_PREFIX):
        return False
    return kinds is None or kind in kinds or kind.startswith(_OPEN_PREFIX)


def admit_data(data: bytes, *, sound: bool) -> None:
    """Raises `RecordRefused` for what is no data of a record. `sound` says that an encoder made it:
    then only what a sound encoder, too, might give is looked for, which is a value other than an
    object and integers that are too long."""
    if not sound or not data.startswith(b"{") or _LONG_NUMBER.search(data):
        _admit_json(data)


def _admit_cause(cause: tuple[int, ...], seq: int) -> None:
    if len(cause) > CAUSES_MAX:
        raise RecordRefused("bad_cause", f"{len(cause)} causes; at most {CAUSES_MAX}")
    for each in cause:
        if not 0 < each < seq:
            raise RecordRefused("bad_cause", f"cause {each} of record {seq} is not before it")


def _admit_json(data: bytes) -> None:
    if _NEWLINE in data:
        raise RecordRefused("bad_json", "a newline inside a record")
    # The library refuses NaN, lone surrogates and what is not UTF-8. It reads long integers, so
    # only those are looked for, and only where sixteen digits stand in a row.
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RecordRefused("bad_json", f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise RecordRefused("bad_json", "not a JSON object")
    if _LONG_NUMBER.search(data):
        _check_integers(cast("object", value))


def _check_integers(value: object) -> None:
    pending = [value]
    while pending:
        match pending.pop():
            case bool():
                pass
            case int() as number if abs(number) > INTEGER_MAX:
                raise RecordRefused("bad_json", f"the integer {number} is beyond 53 bits")
            case list() as items:
                pending.extend(items)
            case dict() as fields:
                pending.extend(fields.values())
            case _:
                pass
