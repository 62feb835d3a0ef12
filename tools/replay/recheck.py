"""`ackbook replay --check`: every recorded decision, put to the rules of this version once more.

The first one that is decided otherwise is shown with both sides and the fields in which they
differ. So a change of a rule is seen as what it would have done to a real history, and a world that
once went wrong by the decision that shows it. The exit code is 0 when all are decided the same and
1 when one is not; what cannot be checked is said and is no divergence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from ackbook.broker.core.replay.recheck import Divergence, NotTold, RecheckFinding
from ackbook.broker.core.replay.recheck import check as decide_again
from ackbook.broker.exit_codes import ExitCode
from ackbook.projections.codec import Entry, encode, kind_of
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.output import (
    bad,
    bold,
    console,
    dim,
    emit,
    field_time,
    full_time,
    good,
    plain,
    poor,
    tell,
)
from ackbook.tools.cli.place import Place
from ackbook.tools.cli.progress import Progress
from ackbook.tools.history.gapless_ranges import Stretches
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.record_filter import command_told
from ackbook.tools.shapes.replay import CheckReport, DivergenceRow, SideRow, UncheckedRow

VALUE_WIDTH_MAX = 200
"""Of one value for people: a body may have half a megabyte. `--json` has all of it."""

SEQS_LISTED_MAX = 10
"""For people."""

ABSENT = "-"
"""For people, a field that is at its default, or a record that is not there."""


def check(place: Place, show_all: bool, as_json: bool) -> int:
    """Decide everything again and say what differs; the exit code. Raises `Failure` where nothing
    could be decided again, which is no proof that all is the same."""
    stretches = Stretches(JournalHistory(place))
    counts: Counter[str] = Counter()
    rows: list[DivergenceRow] = []
    undecidable = place.bundle.undecidable if place.bundle else frozenset()
    redacted: list[int] = []
    for finding in _findings(stretches):
        if finding is not None and _begins(finding) in undecidable:
            redacted.append(_begins(finding))
            continue
        if type(finding) is NotTold:
            counts[finding.why] += 1
            continue
        counts["decisions"] += 1
        if type(finding) is Divergence:
            counts["diverged"] += 1
            if show_all or counts["diverged"] == 1:
                if as_json:
                    rows.append(_row(finding))
                else:
                    _show(finding)
    report = CheckReport(
        ok=not counts["diverged"],
        whole=not stretches.skipped,
        decisions=counts["decisions"],
        through=stretches.reached,
        head=stretches.head,
        diverged=counts["diverged"],
        origin_not_told=counts["origin"],
        cut_short=counts["cut"],
        redacted=redacted,
        divergences=rows,
        not_checked=[UncheckedRow(one.first, one.last, one.why) for one in stretches.skipped],
    )
    if as_json:
        emit(report)
    else:
        _sum_up(report, show_all)
    if not report.decisions:
        raise nothing_decided(bool(report.not_checked))
    return ExitCode.DONE if report.ok else ExitCode.NO


def nothing_decided(lost: bool) -> Failure:
    """What to say where nothing was decided again: that is no proof that all is the same."""
    why = "the world before it is not known" if lost else "there is none"
    return Failure(
        ExitCode.NOT_FOUND,
        f"no decision here can be made again: {why}",
        "ask it of a journal that has its beginning, its archives or a snapshot",
    )


def _findings(stretches: Stretches) -> Iterator[RecheckFinding]:
    progress = Progress("decided again:", stretches.head)
    for world, entries in stretches:
        for finding in decide_again(world, progress.watch(entries)):
            if finding is not None:
                progress.done()
            yield finding
    progress.done()


def _begins(found: Divergence | NotTold) -> int:
    """The first record of the decision."""
    return found.seq if isinstance(found, NotTold) else found.first


# --- for programs


def _row(found: Divergence) -> DivergenceRow:
    recorded, decided = _side(found.recorded), _side(found.decided)
    return DivergenceRow(
        seq=found.seq,
        first_seq=found.first,
        at=found.at,
        command=found.command,
        recorded=recorded,
        decided=decided,
        differs=[name for name, _, _ in _differences(found)],
    )


def _side(entry: Entry | None) -> SideRow | None:
    if entry is None:
        return None
    return SideRow(kind_of(entry), msgspec.Raw(_data(entry)), entry.cause)


def _data(entry: Entry) -> bytes:
    return encode(entry.fact)  # type: ignore[arg-type] # the journal's own records are never decided


# --- for people


def _show(found: Divergence) -> None:
    told = found.recorded or found.decided
    assert told is not None
    tell(f"{bad(f'seq {found.seq}')}  {bold(kind_of(told))}  {dim(full_time(found.at))}")
    command = command_told(msgspec.json.encode(found.command))
    tell(f"  {dim(f'record {found.first} was decided on')} {command}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), header_style="dim")
    for heading in ("", "recorded", "decided again"):
        table.add_column(heading, overflow="fold")
    for name, recorded, decided in _differences(found):
        sides = _time_or(name, recorded), _time_or(name, decided)
        table.add_row(Text(name, "dim"), Text(sides[0], "bold"), Text(sides[1], "yellow"))
    console().print(table)
    tell()


def _differences(found: Divergence) -> list[tuple[str, str, str]]:
    """The fields that are not the same: name, as recorded, as decided again."""
    if found.recorded is None or found.decided is None:
        return [("kind", _kind(found.recorded), _kind(found.decided))]
    recorded, decided = _fields(found.recorded), _fields(found.decided)
    told = [
        (name, recorded.get(name, ABSENT), decided.get(name, ABSENT))
        for name in dict.fromkeys((*recorded, *decided))
        if recorded.get(name) != decided.get(name)
    ]
    if "cause" in found.sides:
        told.append(("cause", _text(found.recorded.cause), _text(found.decided.cause)))
    if "by" in found.sides:
        told.append(("by", bytes(found.recorded.by).decode(), bytes(found.decided.by).decode()))
    return told


def _kind(entry: Entry | None) -> str:
    return "nothing more" if entry is None else kind_of(entry)


def _fields(entry: Entry) -> dict[str, str]:
    return {"kind": kind_of(entry), **dict(_flat("", msgspec.json.decode(_data(entry))))}


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Each field by its dotted name."""
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from _flat(f"{prefix}{name}.", inner)
        else:
            yield f"{prefix}{name}", _text(inner)


def _shown(text: str) -> str:
    return plain(text if len(text) <= VALUE_WIDTH_MAX else f"{text[:VALUE_WIDTH_MAX]}...")


def _time_or(name: str, text: str) -> str:
    """A time as people read one, any other field as it is."""
    return (field_time(name, int(text)) if text.isdecimal() else None) or _shown(text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _sum_up(report: CheckReport, show_all: bool) -> None:
    decisions = f"{report.decisions:,} decisions through record {report.through:,}"
    if report.ok and report.decisions:
        so_far = good("the same") if report.whole else poor("the same, as far as can be checked")
        tell(f"{so_far}  {decisions}: each is made again as it is recorded")
    elif not report.ok:
        more = "" if show_all or report.diverged == 1 else "; --all shows each of them"
        tell(f"{bad('otherwise')}  {report.diverged:,} of {decisions}{more}")
    if report.origin_not_told:
        tell(
            f"{poor('not checked')}  {report.origin_not_told:,} that an older version recorded"
            " without all that was read for them"
        )
    if report.cut_short:
        tell(
            f"{poor('not checked')}  the end of {report.cut_short:,}: a crash kept only their"
            " first records"
        )
    if report.redacted:
        tell(
            f"{poor('not checked')}  {len(report.redacted):,} that cannot be made again without"
            f" what was taken out: {_listed(report.redacted)}"
        )
    for skipped in report.not_checked:
        tell(f"{poor('not checked')}  records {skipped.first:,} to {skipped.last:,}: {skipped.why}")


def _listed(seqs: list[int]) -> str:
    more = len(seqs) - SEQS_LISTED_MAX
    told = ", ".join(map(str, seqs[:SEQS_LISTED_MAX]))
    return f"{told} and {more:,} more, which --json lists" if more > 0 else told
