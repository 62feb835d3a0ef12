"""`ackbook replay --set KEY=VALUE --diff`: what another policy would have made of each delivery.

Every recorded command is put to the rules once more, at its time, under the changed numbers, in a
world of its own. Deliveries that fare otherwise there are shown in a table beside what is recorded.
How programs would have reacted nobody can know: what is assumed instead stands under every answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

import msgspec
from rich.table import Table
from rich.text import Text

from ackbook.broker.core.replay.recheck import decisions
from ackbook.broker.core.replay.recorded_replies import Reactions
from ackbook.broker.core.replay.what_if import Elsewhere
from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.wire import policy_text
from ackbook.projections.analysis.outcome_diff import (
    ComparedDelivery,
    ComparedOutcome,
    Difference,
)
from ackbook.projections.codec import Entry
from ackbook.projections.facts import Policy
from ackbook.projections.world.fold import World
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.output import (
    bold,
    console,
    dim,
    duration,
    emit,
    good,
    hanging,
    plain,
    poor,
    tell,
)
from ackbook.tools.cli.place import Place
from ackbook.tools.cli.progress import Progress
from ackbook.tools.history.gapless_ranges import Stretches
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.replay.recheck import nothing_decided
from ackbook.tools.shapes.replay import ChangedRow, OutcomeRow, UncheckedRow, WhatIfReport

MOVED_US_MIN = 100_000
"""A settling that moves by less is called the same: a broker that wakes for a deadline is late by
milliseconds, and the other world is never late."""

ROWS_SHOWN = 20
"""For people, without `--all`."""

ASSUMES = (
    "an attempt that the recording knows is answered as it was, after the same delay, unless"
    " something was in its way at that time",
    "any other attempt is answered as that agent usually answered: seen, after its median delay",
    "senders, operators and programs do what they did, at the time they did it",
    "a wish that left no record (a repeated key, a refused command) is not known and not made",
)

SETTLE = "settle_ms is obeyed at the terminal; what it would have done there is not known"

PEOPLES_WORDS: dict[str, str] = {
    "verified": "verified by echo",
    "unverified": "settled, not seen",
    "dead_letter": "given up",
    "open": "still waiting",
    "absent": "never there",
}
"""The outcomes that have another word among people."""


def what_if(place: Place, settings: Sequence[str], show_all: bool, as_json: bool) -> int:
    """Tell the difference; the exit code. Raises `Failure` for settings that no policy has, and
    where nothing could be decided again."""
    changes = read_settings(settings)
    made, stretches = _elsewhere(JournalHistory(place), changes)
    report = _report(made, changes, stretches)
    if not report.decisions:
        raise nothing_decided(bool(report.not_looked_at))
    if as_json:
        emit(report)
    else:
        _show(report, made.here.policy, show_all)
    return ExitCode.DONE


def read_settings(settings: Sequence[str]) -> dict[str, object]:
    """`KEY=VALUE` of a policy, checked. Raises `Failure` where it is none, and says which are."""
    try:
        return policy_text.read_settings(settings)
    except policy_text.NoPolicy as wrong:
        raise Failure(ExitCode.USAGE, f"--set {plain(str(wrong))}") from None


def _elsewhere(history: JournalHistory, changes: dict[str, object]) -> tuple[Elsewhere, Stretches]:
    """Both worlds at the end of the first stretch, and what is in no such one."""
    stretches = Stretches(history)
    (_, told), (there, _) = (_first(Stretches(history)) for _ in range(2))
    here, entries = _first(stretches)
    head = stretches.head
    reactions = Reactions()
    looking = Progress("looking:", head)
    for entry in looking.watch(told):
        reactions.note(entry)
    looking.done()

    def change(policy: Policy) -> Policy:
        return msgspec.structs.replace(policy, **changes)

    made = Elsewhere(here, there, change, reactions, MOVED_US_MIN)
    deciding = Progress("what if:", head)
    for group in decisions(deciding.watch(entries)):
        made.take(group)
    deciding.done()
    made.fates.finish()
    return made, stretches


def _first(stretches: Stretches) -> tuple[World, Iterator[Entry]]:
    for stretch in stretches:
        return stretch
    raise nothing_decided(bool(stretches.skipped))


# --- for programs


def _report(made: Elsewhere, changes: dict[str, object], stretches: Stretches) -> WhatIfReport:
    fates, through, head = made.fates, made.here.seq, stretches.head
    skipped = [UncheckedRow(one.first, one.last, one.why) for one in stretches.skipped]
    if through < head:
        skipped.append(UncheckedRow(through + 1, head, f"record {through + 1} cannot be read"))
    return WhatIfReport(
        changes=changes,
        decisions=made.decisions,
        through=through,
        head=head,
        not_looked_at=skipped,
        recorded=dict(fates.recorded.counts),
        what_if=dict(fates.other.counts),
        differences=[_row(found) for found in fates.differences],
        assumed=made.assumed,
        assumes=[*ASSUMES, *([SETTLE] if "settle_ms" in changes else [])],
    )


def _row(found: Difference) -> ChangedRow:
    seq, _, original = found.recorded.key
    moved_us = found.moved_us
    return ChangedRow(
        event_seq=seq,
        delivery_id=found.recorded.delivery_id,
        agent=found.recorded.agent,
        redelivery_of=original or None,
        recorded=_fate(found.recorded),
        what_if=_fate(found.other),
        moved_ms=None if moved_us is None else round(moved_us / 1_000),
    )


def _fate(fate: ComparedDelivery) -> OutcomeRow:
    ended = fate.outcome not in ("open", "absent")
    return OutcomeRow(fate.outcome, fate.reason or None, fate.at if ended else None, fate.attempts)


# --- for people


def _show(report: WhatIfReport, policy: Policy, show_all: bool) -> None:
    told = [
        f"{key} {bold(str(value))} {dim(f'(recorded, at the end: {getattr(policy, key)})')}"
        for key, value in report.changes.items()
    ]
    tell(f"what if  {', '.join(told) or dim('nothing were changed')}")
    tell(dim(f"{report.decisions:,} decisions through record {report.through:,}"))
    tell()
    _show_counts(report)
    tell()
    if not report.differences:
        of_them = " of what was looked at" if report.not_looked_at else ""
        tell(good(f"no delivery{of_them} would have fared otherwise"))
    else:
        _show_changes(report.differences)
        tell()
        _show_rows(report, show_all)
    tell()
    for each in report.not_looked_at:
        tell(f"{poor('not looked at')}  records {each.first:,} to {each.last:,}: {each.why}")
    were = "was" if report.assumed == 1 else "were"
    answered = f"{report.assumed:,} of its attempts {were} answered as the agent usually answers"
    for text in (*report.assumes, answered):
        tell(hanging(dim("assumes  "), text))


def _show_counts(report: WhatIfReport) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("deliveries")
    for heading in ("recorded", "what if", "more or less"):
        table.add_column(heading, justify="right")
    for outcome in get_args(ComparedOutcome):
        recorded, other = report.recorded.get(outcome, 0), report.what_if.get(outcome, 0)
        if recorded or other:
            more = Text(f"{other - recorded:+,}" if other != recorded else "", "yellow")
            table.add_row(_words(outcome), f"{recorded:,}", f"{other:,}", more)
    console().print(table)


def _show_changes(rows: Sequence[ChangedRow]) -> None:
    """How many of each kind: other outcomes by what they were and would be, other times by way."""
    others = Counter(
        f"{_words(row.recorded.outcome)} -> {_words(row.what_if.outcome)}"
        for row in rows
        if row.moved_ms is None
    )
    for words, count in others.most_common():
        tell(f"{bold(f'{count:>9,}')}  {words}")
    for way, sign in (("later", 1), ("earlier", -1)):
        moved = sorted(ms for row in rows if (ms := sign * (row.moved_ms or 0)) > 0)
        if moved:
            middle, most = (duration(ms * 1_000) for ms in (moved[len(moved) // 2], moved[-1]))
            told = f"settled {way}: by {middle} in the middle, {most} at most"
            tell(f"{bold(f'{len(moved):>9,}')}  {told}")


def _show_rows(report: WhatIfReport, show_all: bool) -> None:
    """Other outcomes before other times, each in the order of the messages."""
    rows = sorted(report.differences, key=lambda row: row.moved_ms is not None)
    shown = rows if show_all else rows[:ROWS_SHOWN]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("seq", "delivery", "agent", "recorded", "what if", "settled"):
        table.add_column(heading, no_wrap=heading in ("seq", "delivery"), overflow="fold")
    for row in shown:
        table.add_row(
            Text(str(row.event_seq), "dim"),
            Text(row.delivery_id or "-", "bold"),
            Text(plain(row.agent)),
            Text(_told(row.recorded)),
            Text(_told(row.what_if), "yellow" if row.moved_ms is None else ""),
            Text(_moved(row.moved_ms), "yellow"),
        )
    console().print(table)
    if len(shown) < len(rows):
        tell(dim(f"and {len(rows) - len(shown):,} more; --all shows each of them"))


def _told(fate: OutcomeRow) -> str:
    words = _words(fate.outcome)
    return f"{words}: {fate.reason}" if fate.outcome in ("dead_letter", "refused") else words


def _words(outcome: str) -> str:
    return PEOPLES_WORDS.get(outcome, outcome)


def _moved(moved_ms: int | None) -> str:
    if moved_ms is None:
        return ""
    return f"{duration(abs(moved_ms) * 1_000)} {'later' if moved_ms > 0 else 'earlier'}"
