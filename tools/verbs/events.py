"""`ackbook events`: the feed of everything that happened, from any cursor, and on as it happens.

What happened is derived from the journal's files, with or without a broker; only `--follow` needs
one that runs. A cursor is the `seq` of an event: what comes after it is given in order, exactly
once, so a reader that was interrupted goes on from the last one that it saw.
"""

from __future__ import annotations

from collections.abc import Iterator

import click
import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.projections.events.derive import cursor_of, derive, record_of, to_json
from ackbook.tools.cli.client import Client
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.options import json_option, place_option
from ackbook.tools.cli.output import bold, dim, evidence_text, plain, say, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.history.journal import JournalHistory

NOW = "now"
UNNAMED = ("name", "delivery_id", "event_id")
"""Fields that say what they are by themselves."""

LEFT_OUT = frozenset(
    ("kind", "seq", "record", "timestamp", "delivery_ids", "event_ids", "sessionId", *UNNAMED)
)
BODY_SHOWN_MAX = 60
"""Characters of a body in the feed for people; `why` and `cat` show where the rest is."""


class Numbered(msgspec.Struct):
    """An event, where only its cursor is of interest; a passing one has none."""

    seq: int = 0


_seq = msgspec.json.Decoder(Numbered)
_decode = msgspec.json.Decoder(dict[str, object]).decode


@click.command()
@click.option(
    "--since", default="0", metavar="CURSOR", help="Only what came after it; 'now' is a cursor."
)
@click.option("--follow", is_flag=True, help="Go on with what happens; needs a running broker.")
@json_option
@place_option
def events(since: str, follow: bool, as_json: bool, place: Place) -> ExitCode:
    """The feed of everything that happened. Without --follow it needs no broker."""
    history = JournalHistory(place)
    cursor = _cursor(since, history.head())
    if not follow:
        for event in _past(history, cursor):
            _show(event, as_json)
        return ExitCode.DONE
    for event in _feed(Client(place), cursor):
        _show(event, as_json)
        cursor = _seq.decode(event).seq or cursor
    say(f"the broker ended; go on with: ackbook events --follow --since {cursor} {place.flag()}")
    return ExitCode.DONE


def _cursor(since: str, head: int) -> int:
    """The cursor that is meant. One ahead of the journal is an error, never answered by silence."""
    last = cursor_of(head)
    if since == NOW:
        return last
    if not since.isascii() or not since.isdecimal():
        raise click.BadParameter(f"{since!r} is no cursor", param_hint="--since")
    if int(since) > last:
        raise Failure(
            ExitCode.USAGE,
            f"cursor {since} is ahead of the journal, which ends at {last}",
            "it belongs to another journal, or to one that was since restored from a copy",
        )
    return int(since)


def _past(history: JournalHistory, cursor: int) -> Iterator[bytes]:
    """The events after a cursor, up to the last durable record."""
    for entry in history.entries(after=max(0, record_of(cursor) - 1)):
        for event in derive(entry):
            if event.seq > cursor:
                yield to_json(event)


def _feed(client: Client, cursor: int) -> Iterator[bytes]:
    """The events after a cursor, and on, until the broker ends."""
    data: list[bytes] = []
    for line in client.stream(f"/api/events?sinceSeq={cursor}", {}):
        field, _, value = line.rstrip(b"\r\n").partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif not field and not value and data:
            yield b"\n".join(data)
            data.clear()


def _show(event: bytes, as_json: bool) -> None:
    if as_json:
        tell(event.decode())
        return
    fields = _decode(event)
    told = [plain(str(fields[key])) for key in UNNAMED if fields.get(key)]
    told += [
        f"{dim(key)} {plain(_value(key, value))}"
        for key, value in fields.items()
        if key not in LEFT_OUT and value is not None
    ]
    cursor = dim(f"{fields.get('seq', ''):>10}")
    tell(f"{cursor}  {bold(str(fields.get('kind')))}  {'  '.join(told)}")


def _value(key: str, value: object) -> str:
    if key == "evidence" and isinstance(value, dict):
        return evidence_text(value)
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if key == "body":
        text = " ".join(text.split())
        return text if len(text) <= BODY_SHOWN_MAX else f"{text[:BODY_SHOWN_MAX]}..."
    return text
