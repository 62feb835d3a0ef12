"""`ackbook why`: the story of one message or delivery, and one sentence that says where it is.

The story is told from the journal's files alone, so it is the same with and without a broker. For
people each record is one line, with the time, the position, what happened and which earlier
records led to it; hashes, paces and what every line would repeat are left to `ackbook cat`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.history.story_query import StoryQuery, caches_of
from ackbook.broker.history.why_question import LAST_MAX, Misasked, NothingKnown, WhyQuestion
from ackbook.broker.wire.screen_captures import Still
from ackbook.journal import Reader
from ackbook.projections.commander import commander_told
from ackbook.projections.facts import DeliveryAttempted, MessageEnqueued
from ackbook.projections.ids import position_of
from ackbook.projections.ways_out import is_loss
from ackbook.projections.why.story import Story
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.options import json_option
from ackbook.tools.cli.output import (
    bad,
    bold,
    clock_time,
    dim,
    emit,
    evidence_text,
    field_time,
    full_time,
    good,
    hanging,
    plain,
    poor,
    say,
    say_meanwhile,
    tell,
)
from ackbook.tools.cli.place import Place
from ackbook.tools.history.captures import kept_stills, show_still
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.options import past_option
from ackbook.tools.shapes.why import DeliveryStory, MessageStory

LEFT_OUT = frozenset(
    "seq at kind cause event_id agent from target content salt salted_body salted_typed throttle "
    "deliveries generation window_ms settle_ms window_until body_bytes offset hint queued_at "
    "hold_ms hold_until occupied previous_mode enter until key_until holder token_sha256".split()
)
"""What every line would repeat, and what only rules and programs read."""

NOTHING: tuple[object, ...] = (None, [], {})
"""Values that say nothing."""

PHRASES = {
    "attempt": "attempt {}",
    "bytes_written": "{} bytes",
    "form": "as {}",
    "by": "by {}",
    "commander": "commanded by {}",
    "code": "exit code {}",
    "undone": "not begun",
    **dict.fromkeys(("delivery_id", "name", "level", "reason", "error", "mode", "how"), "{}"),
}
"""How a field is said; any other one by its name and value."""

KIND_WIDTH = 22
"""Columns that the kind of a record gets."""


class StoryRow(msgspec.Struct, frozen=True):
    """What every line of the story has, and which attempt it is about; 0 where it is about none."""

    seq: int
    at: int
    kind: str
    cause: list[int] = []
    delivery_id: str = ""
    attempt: int = 0


@click.command()
@click.argument("id", required=False)
@click.option("--key", metavar="KEY", help="The message that was sent with this idempotency key.")
@click.option("--from", "sender", metavar="NAME", help="With --key: whose key it is.")
@click.option("--agent", metavar="NAME", help="With --last: what was sent to this agent.")
@click.option(
    "--last",
    type=click.IntRange(1, LAST_MAX),
    is_flag=False,
    flag_value=1,
    metavar="[N]",
    help="The last delivery to the agent, or the last N.",
)
@click.option(
    "--screen", is_flag=True, help="Also what stood on the screen when evidence was taken."
)
@json_option
@past_option
def why(
    id: str | None,  # noqa: A002 - as the argument is called
    key: str | None,
    sender: str | None,
    agent: str | None,
    last: int | None,
    screen: bool,
    as_json: bool,
    place: Place,
) -> None:
    """Why a message or delivery is where it is. Needs no broker.

    ID is that of a message or a delivery, or an idempotency key. The first answer about a long
    journal reads all of it; what that finds out is kept in the user's cache for the next ones. The
    exit code is 3 when no record that can be read is about it.
    """
    asked = WhyQuestion(id=id, key=key, sender=sender, agent=agent, last=last)
    with _misasking():
        asked.check()
    history = JournalHistory(place)
    with _misasking(), history.reading() as reader:
        head = reader.head()
        telling = StoryQuery(
            reader,
            place.journal(),
            caches=caches_of(reader),
            head=head,
            first=1 if place.bundle is None else place.bundle.first,
            progress=_progress(head),
        )
        say_meanwhile("")
        wanted, note = asked.resolve(telling)
        if note:
            say(plain(note))
        stories = [story for each in wanted if (story := telling.story(each)) is not None]
        if not stories:
            _check_readable(wanted[0], reader)
        oldest = reader.first_seq
    if not stories:
        raise _unknown(wanted[0], oldest, place)
    for number, story in enumerate(stories):
        history.lean_on(_causes(story))
        stills = kept_stills(place, _attempts(story)) if screen else None
        if as_json:
            _emit(story, stills)
        else:
            if number:
                tell()
            _show(story)
            _show_stills(stills)


@contextmanager
def _misasking() -> Iterator[None]:
    """A question that cannot be answered, as the end of the command."""
    try:
        yield
    except Misasked as problem:
        code = ExitCode.NOT_FOUND if isinstance(problem, NothingKnown) else ExitCode.USAGE
        raise Failure(code, plain(problem.what), plain(problem.next_step)) from None


def _rows(story: Story) -> list[StoryRow]:
    return msgspec.convert(story.timeline, list[StoryRow])


def _causes(story: Story) -> list[int]:
    """The records that others of the story name."""
    return [seq for row in _rows(story) for seq in row.cause]


def _attempts(story: Story) -> list[tuple[str, int]]:
    """The attempts that the story tells of: delivery and number."""
    return [(row.delivery_id, row.attempt) for row in _rows(story)]


def _emit(story: Story, stills: list[Still] | None) -> None:
    """For programs; the screens only where they were asked for."""
    shape = MessageStory if story.is_message else DeliveryStory
    told = msgspec.convert(story.to_dict(), shape)
    emit(msgspec.structs.replace(told, screens=msgspec.UNSET if stills is None else stills))


def _show_stills(stills: list[Still] | None) -> None:
    for still in stills or ():
        tell()
        show_still(still)
    if stills == []:
        say(f"{poor('note:')} no screen of it is kept")


def _show(story: Story) -> None:
    rows = _rows(story)
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
            state = _state(fate.state, fate.reason)
            tell(f"  {bold(plain(fate.agent))}  {fate.delivery_id}  {state}")
            tell(hanging("    ", plain(fate.sentence)))
    tell()
    tell(hanging("", plain(story.sentence)))


def _check_readable(wanted: str, reader: Reader) -> None:
    """Raise `Failure` where the record with which an id begins is there, and cannot be read."""
    position = position_of(wanted) or 0
    for gap in reader.gaps:
        if 1 < gap.first <= position <= gap.last:
            raise Failure(
                ExitCode.NOT_FOUND,
                f"{wanted} would begin at record {position}, and records {gap.first} to {gap.last}"
                " cannot be read; no later one names it",
                "ackbook verify says what is wrong with the journal",
            )


def _unknown(wanted: str, oldest: int, place: Place) -> Failure:
    """Nothing can be told of this id."""
    position = position_of(wanted)
    if position is not None and place.bundle is not None:
        return Failure(
            ExitCode.NOT_FOUND,
            f"nothing here names {wanted}: {place.bundle}",
            "ask the journal that it was made from",
        )
    if position is not None and position < oldest:
        return Failure(
            ExitCode.NOT_FOUND,
            f"{wanted} begins at record {position}, and what is left of the journal at {oldest}",
            "look into a backup, or bring back its archives",
        )
    return Failure(
        ExitCode.NOT_FOUND,
        f"no record names {wanted}",
        "ids are shown by: ackbook send, ackbook pending, ackbook events;"
        " an idempotency key that looks like one is asked for with --key",
    )


def _progress(head: int) -> Callable[[int], None]:
    """Says how far a long journal was read, to whoever watches."""

    def show(seq: int) -> None:
        say_meanwhile(f"reading the journal for the first time: {100 * seq // head} %")

    return show


def _state(state: str, reason: str | None) -> str:
    told = state if reason in (None, state) else f"{state}: {reason}"
    if state == "acked":
        return good(told) if reason is None else poor(told)
    return bad(told) if is_loss(state) else poor(told)


def _details(row: StoryRow, fields: dict[str, object], alone: bool) -> str:
    """What this line has to say that the others do not."""
    told: list[str] = []
    if row.kind == MessageEnqueued.KIND:
        told.append(f"from {fields['from']} to {fields['target']}, {fields['body_bytes']} bytes")
    for key, value in fields.items():
        if key in LEFT_OUT or value in NOTHING or (alone and key == "delivery_id"):
            continue
        if key == "attempt" and row.kind != DeliveryAttempted.KIND:
            continue
        if key == "verification" and value == "echo":
            continue
        if key == "evidence":
            told.append(evidence_text(value))
        else:
            phrase = PHRASES.get(key, f"{key.replace('_', ' ')} {{}}")
            told.append(phrase.format(_said(key, value)))
    if row.cause:
        told.append(f"because of {' and '.join(map(str, row.cause))}")
    return plain(", ".join(told))


def _said(key: str, value: object) -> str:
    if key == "dropped" and isinstance(value, list):
        return f"{len(value)} deliveries" if len(value) != 1 else "one delivery"
    if key == "commander" and isinstance(value, str):
        return commander_told(value)
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return field_time(key, value) or text
