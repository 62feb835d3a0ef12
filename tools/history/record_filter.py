"""A record as it is read by who looks for something: whom it names, what it says, who decided it.

A record belongs to an agent when it names it, and to a message or a delivery when the id stands
anywhere in its data; so an id finds the whole story, also where it is one of many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

import msgspec

from ackbook.journal import Line
from ackbook.projections.names import match_key
from ackbook.tools.cli.output import evidence_text, field_time, plain

AGENT_KEYS = ("agent", "name", "worker_name")
TEXT_SHOWN_MAX = 200
"""Characters of one field that people get to see; `ackbook cat` prints all of them."""

_decode = msgspec.json.Decoder().decode


class RecordFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a record has to be: of one of these kinds (with * as in `delivery.*`), of this agent,
    of this message or delivery. What is empty is not asked about."""

    kinds: tuple[str, ...] = ()
    agent: str | None = None
    identity: str | None = None

    def __call__(self, line: Line) -> bool:
        if self.kinds and not any(fnmatchcase(line.kind, kind) for kind in self.kinds):
            return False
        if self.agent is None and self.identity is None:
            return True
        # Most records do not hold the word at all, and are not taken apart to see it.
        if self.identity is not None and self.identity.encode() not in line.raw:
            return False
        data = _decode(line.data)
        if self.agent is not None and not _names(data, match_key(self.agent)):
            return False
        return self.identity is None or self.identity in _texts(data)


def decision_of(line: Line, look_up: Callable[[int], Line | None]) -> Line | None:
    """The first record of the decision that this record is of: it says which command was decided.
    None where there was no decision (the journal wrote it), or its first record is gone."""
    if line.by is not None:
        return line
    if not line.cause:
        return None
    first = look_up(line.cause[0])
    return first if first is not None and first.by is not None else None


def subject_of(line: Line) -> str | None:
    """The delivery or message that `ackbook why` can tell more of."""
    data = _decode(line.data)
    for key in ("delivery_id", "event_id"):
        if isinstance(data, dict) and isinstance(data.get(key), str):
            return str(data[key])
    return None


def fields_of(data: bytes) -> list[tuple[str, str]]:
    """What a record says, field by field, each in a line of harmless text. A null says nothing."""
    decoded = _decode(data)
    if not isinstance(decoded, dict):
        return [("", _told("", decoded))]
    said = [(key, value) for key, value in decoded.items() if value is not None]
    return [(plain(key), _told(key, value)) for key, value in said]


def command_told(by: bytes) -> str:
    """The command of a decision and what it was about: `spawn, name bob, generation 1`."""
    return ", ".join(
        told if field == "command" else f"{field} {told}" for field, told in fields_of(by)
    )


def _told(key: str, value: object) -> str:
    if key == "evidence" and isinstance(value, dict):
        return plain(evidence_text(value))
    if (time := field_time(key, value)) is not None:
        return time
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = plain(" ".join(text.split()))
    return text if len(text) <= TEXT_SHOWN_MAX else f"{text[:TEXT_SHOWN_MAX]}..."


def _names(data: object, agent: str) -> bool:
    """Whether an agent is named by this value or by one inside it."""
    if isinstance(data, dict):
        named = (data.get(key) for key in AGENT_KEYS)
        if any(isinstance(name, str) and match_key(name) == agent for name in named):
            return True
        return any(_names(value, agent) for value in data.values())
    return isinstance(data, list) and any(_names(value, agent) for value in data)


def _texts(data: object) -> Iterator[str]:
    """Every text in a value, however deep; a body is one of them and is no id."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, value in data.items():
            if key != "body":
                yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)
