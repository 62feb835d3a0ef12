"""A redacted slice, put to the rules: it should be decided as the records that it was made of.

Rules read little of a text: how long it is, whether an idempotency key was there before, whether it
came with the same message. Redaction keeps the first two, and for the third the digest over a
message is taken again, over what stands there now. Where a decision still is not made again as
the plain records have it, since a rule cut or quoted a text in a way of its own, the slice says so
by name: no reader takes for a fault of the rules what redaction did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ackbook.broker.core.commands import Send
from ackbook.broker.core.recorded_command import command_of
from ackbook.broker.core.replay.recheck import Divergence, check
from ackbook.broker.core.sending import content_of
from ackbook.journal import Line
from ackbook.projections.codec import Entry, entry_of
from ackbook.projections.facts import MessageEnqueued
from ackbook.projections.redaction import Redactor
from ackbook.projections.world.fold import World


def redact_line(redactor: Redactor, line: Line) -> tuple[Line, bytes, bytes | None]:
    """The line, with the data and the command that it shall have."""
    by = None if line.by is None else redactor.json(line.by)
    data = redactor.json(line.data)
    if line.kind == MessageEnqueued.KIND and by is not None:
        data = _with_own_content(line, data, by)
    return line, data, by


def undecidable(
    plain: tuple[World, Iterable[Entry]], redacted: tuple[World, Iterable[Entry]]
) -> Iterator[int]:
    """The first record of each decision that only redaction keeps from being made again. Both
    worlds are the ones before the entries, and move along."""
    for before, after in zip(check(*plain), check(*redacted), strict=True):
        if after is not None and type(after) is not type(before):
            yield after.first if isinstance(after, Divergence) else after.seq


def _with_own_content(line: Line, data: bytes, by: bytes) -> bytes:
    """The digest of a message that came with a key, taken over the redacted one."""
    fact = msgspec.json.decode(data, type=MessageEnqueued)
    told = command_of(entry_of(line.seq, line.at, fact, line.cause, by))
    if fact.key is None or told is None or not told.whole:
        return data
    assert isinstance(told.command, Send)
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    content = msgspec.Raw(msgspec.json.encode(content_of(told.command)))
    return msgspec.json.encode(fields | {"content": content})
