"""What a bundle holds of simulated records when it is redacted: the state before them, and they."""

from __future__ import annotations

import msgspec

from ackbook.broker.core.replay.recheck import RecheckFinding, check
from ackbook.journal import Line
from ackbook.projections.codec import decode
from ackbook.projections.redaction import Redactor
from ackbook.projections.world import serialization
from ackbook.projections.world.fold import World, fold
from ackbook.tools.history.redaction_check import redact_line
from tests.support.simulated import Simulated

SALT = b"salt" * 8


class _Head(msgspec.Struct):
    seq: int
    at: int
    kind: str


def redacted(broker: Simulated, after: int, redactor: Redactor) -> tuple[World, list[bytes]]:
    """The world at this record and every line behind it, without what a redactor takes out."""
    before = World()
    for line in broker.lines[:after]:
        fold(before, decode(line))
    told = [redactor.json(entity) + b"\n" for entity in serialization.dump(before)]
    return serialization.load(told), [_redacted(line, redactor) for line in broker.lines[after:]]


def checked_redacted(broker: Simulated, after: int = 0) -> list[RecheckFinding]:
    """What comes of deciding a redacted slice again, where it is not the same."""
    world, lines = redacted(broker, after, Redactor(SALT))
    return [found for found in check(world, map(decode, lines)) if found is not None]


def _redacted(raw: bytes, redactor: Redactor) -> bytes:
    head = msgspec.json.decode(raw, type=_Head)
    line = Line(head.seq, head.at, 0, head.kind, raw)
    _, data, by = redact_line(redactor, line)
    record: dict[str, object] = {"seq": head.seq, "at": head.at, "kind": head.kind}
    if by is not None:
        record["by"] = msgspec.Raw(by)
    if line.cause:
        record["cause"] = line.cause
    return msgspec.json.encode(record | {"data": msgspec.Raw(data)})
