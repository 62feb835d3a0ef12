"""`ackbook why`: the story of one message or delivery, and one sentence that says where it is.

The story is told from the journal's files alone, so it is the same with and without a broker. For
people each record is one line, with the time, the position, what happened and which earlier
records led to it; hashes, paces and what every line would repeat are left to `ackbook cat`.
"""

from __future__ import annotations

import click
import msgspec

from broker.runtime.rebuilding import begin_audit
from projections.timeline import Story
from projections.timeline import why as tell_story

from .failures import Exit, Failure
from .history import History
from .options import json_option, past_option
from .output import (
    bad,
    bold,
    clock_time,
    dim,
    emit,
    evidence_text,
    full_time,
    good,
    hanging,
    plain,
    poor,
    say,
    tell,
)
from .place import Place
from .screens import kept_stills, show_still

LEFT_OUT = frozenset(
    "seq at kind cause event_id agent from target content salt salted_body salted_typed throttle "
    "deliveries generation window_ms settle_ms window_until body_bytes offset hint queued_at "
    "hold_ms hold_until occupied previous_mode enter until key_until".split()
)
"""What every line would repeat, and what only rules and programs read."""

PHRASES = {
    "attempt": "attempt {}",
    "bytes_written": "{} bytes",
    "form": "as {}",
    "by": "by {}",
    "code": "exit code {}",
    **dict.fromkeys(("delivery_id", "name", "level", "reason", "error", "mode", "how"), "{}"),
}
"""How a field is said; any other one by its name and value."""

KIND_WIDTH = 22


class Row(msgspec.Struct, frozen=True):
    """What every line of the story has."""

    seq: int
    at: int
    kind: str
    cause: list[int] = []


class Attempted(msgspec.Struct, frozen=True):
    """Which attempt a line is about; 0 where it is about none."""

    delivery_id: str = ""
    attempt: int = 0


@click.command()
@click.argument("id")
@click.option(
    "--screen", is_flag=True, help="Also what stood on the screen when evidence was taken."
)
@json_option
@past_option
def why(id: str, screen: bool, as_json: bool, place: Place) -> None:  # noqa: A002 - as the argument is called
    """Why the message or delivery ID is where it is. Needs no broker."""
    history = History(place)
    world = begin_audit(history.directory, history.oldest(), lambda _: False)
    story = tell_story(history.entries(), id, world)
    if story is None:
        raise Failure(
            Exit.NOT_FOUND,
            f"no record names {id}",
            "ids are shown by: ackbook send, ackbook pending, ackbook events",
        )
    stills = kept_stills(place, _attempts(story)) if screen else []
    if as_json:
        told = story.to_dict()
        emit(told | {"screens": stills} if screen else told)
        return
    _show(story)
    for still in stills:
        tell()
        show_still(still)
    if screen and not stills:
        say(f"{poor('note:')} no screen of it is kept")


def _attempts(story: Story) -> list[tuple[str, int]]:
    """The attempts that the story tells of: delivery and number."""
    rows = (msgspec.convert(row, Attempted) for row in story.timeline)
    return [(row.delivery_id, row.attempt) for row in rows]


def _show(story: Story) -> None:
    rows = [msgspec.convert(row, Row) for row in story.timeline]
    since = dim(full_time(rows[0].at)) if rows else ""
    tell(f"{bold(plain(story.id))}  {_state(story.state, story.reason)}  {since}")
    width = max((len(str(row.seq)) for row in rows), default=0)
    alone = len(story.deliveries) <= 1
    for row, fields in zip(rows, story.timeline, strict=True):
        head = f"  {dim(clock_time(row.at))}  {row.seq:>{width}}  {row.kind:<{KIND_WIDTH}}  "
        tell(hanging(head, _details(row, fields, alone)))
    if not alone:
        tell()
        for fate in story.deliveries:
            tell(f"  {bold(plain(fate.agent))}  {_state(fate.state, fate.reason)}")
            tell(hanging("    ", plain(fate.sentence)))
    tell()
    tell(hanging("", plain(story.sentence)))


def _state(state: str, reason: str | None) -> str:
    told = state if reason is None else f"{state}: {reason}"
    if state == "acked":
        return good(told) if reason is None else poor(told)
    settled_badly = ("dead_letter", "dropped", "evicted", "expired", "released", "refused")
    return bad(told) if state in settled_badly else poor(told)


def _details(row: Row, fields: dict[str, object], alone: bool) -> str:
    """What this line has to say that the others do not."""
    told: list[str] = []
    if row.kind == "message.enqueued":
        told.append(f"from {fields['from']} to {fields['target']}, {fields['body_bytes']} bytes")
    for key, value in fields.items():
        if key in LEFT_OUT or value is None or (alone and key == "delivery_id"):
            continue
        if key == "attempt" and row.kind != "delivery.attempted":
            continue
        if key == "verification" and value == "echo":
            continue
        if key == "evidence":
            told.append(evidence_text(value))
        else:
            said = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            told.append(PHRASES.get(key, f"{key.replace('_', ' ')} {{}}").format(said))
    if row.cause:
        told.append(f"because of {' and '.join(map(str, row.cause))}")
    return plain(", ".join(told))
