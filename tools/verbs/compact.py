"""`ackbook compact`: lets sealed history go into compressed archives, offline or through a broker.

Where a broker runs, it does the work and is asked how far it is; else the journal is opened here.
Both come to the same report. Nothing is forgotten by that, unless `--keep-audit` says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import click
import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.history.world_loading import LOADABLE
from ackbook.broker.runtime.maintenance.compaction_schedule import (
    SNAPSHOTS,
    foretell,
    is_held_back,
    is_worth_sealing,
)
from ackbook.broker.runtime.maintenance.snapshot_worker import make_snapshot
from ackbook.broker.wire.bodies import CompactionBody
from ackbook.broker.wire.retention import SPELLINGS, parse_retention
from ackbook.journal import (
    CompactionPlan,
    CompactionProgress,
    CompactionReport,
    Files,
    JournalError,
    Locked,
    Log,
    OsClock,
    OsFiles,
    Reader,
    Retention,
    open_log,
    plan_compaction,
)
from ackbook.journal import compact as compact_log
from ackbook.projections.facts import KINDS
from ackbook.tools.cli.client import Client
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.options import json_option, place_option
from ackbook.tools.cli.output import bold, dim, emit, say, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.history.journal import as_failure


def _check_retention(_: click.Context, __: click.Parameter, text: str) -> str:
    if parse_retention(text) is None:
        raise click.BadParameter(f"it must be {SPELLINGS}")
    return text


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option(
    "--keep-audit",
    default="forever",
    show_default=True,
    metavar="HOW",
    callback=_check_retention,
    help=f"How much of the archives is kept: {SPELLINGS}.",
)
@json_option
@place_option
def compact(dry_run: bool, keep_audit: str, as_json: bool, place: Place) -> None:
    """Move what is settled and sealed from the journal into compressed archives.

    `why`, `replay`, `events`, `cat` and `verify` read the archives as if nothing had happened.
    Works while the broker runs and while it does not. The exit code is 8 when it could not be
    finished, and 4, 7 or 10 when the journal is damaged or newer.
    """
    directory = place.journal()
    if not dry_run:
        place.check_private()
    keep = parse_retention(keep_audit)
    assert keep is not None, "it was checked"
    with _failing():
        if dry_run:
            report = foretell(Reader(directory), _plan(directory, keep, OsFiles()))
        else:
            try:
                report = compact_here(directory, keep)
            except Locked:
                report = _ask_broker(place, keep_audit)
    if as_json:
        emit(msgspec.to_builtins(report) | {"dry_run": dry_run})
    else:
        _show(directory, report, dry_run)


def compact_here(directory: Path, keep: Retention) -> CompactionReport:
    """Compact a journal that nobody has open. Raises `JournalError`: `Locked` where somebody has,
    what `open_log` raises for a journal that is damaged, and what `compact` of the journal raises;
    what was removed before stays removed."""
    log = open_log(directory, kinds=KINDS, fold_version=LOADABLE)
    with closing(log):
        plan = _plan(directory, keep, log.files)
        if is_worth_sealing(Reader(directory, files=log.files), plan):
            log.seal()
            plan = _plan(directory, keep, log.files)
        for _ in range(SNAPSHOTS):
            if not is_held_back(plan):
                break
            _make_snapshot(log)
            plan = _plan(directory, keep, log.files)
        return compact_log(log, fold_version=LOADABLE, keep_audit=keep, progress=_say_progress)


def _make_snapshot(log: Log) -> None:
    say(dim(f"making a snapshot at {log.head.seq}"))
    log.note_snapshot(make_snapshot(log.directory, files=log.files))


def _plan(directory: Path, keep: Retention, files: Files) -> CompactionPlan:
    return plan_compaction(
        directory,
        fold_version=LOADABLE,
        keep_audit=keep,
        now=OsClock().wall(),
        files=files,
    )


def _say_progress(progress: CompactionProgress) -> None:
    say(dim(f"archived {progress.piece.name} ({progress.done} of {progress.total})"))


def _ask_broker(place: Place, keep_audit: str) -> CompactionReport:
    client = Client(place)
    row = client.ask("POST", "/api/compact", CompactionBody, {"keep_audit": keep_audit})
    said = 0
    while not row.over:
        row = client.ask("GET", f"/api/compact?{urlencode({'run': row.run})}", CompactionBody)
        if row.done != said:
            said = row.done
            say(dim(f"{row.done} of {row.total} segments are gone"))
    if row.report is None:
        why = row.failed or "the broker did not say why"
        failure = Failure(ExitCode.REFUSED, f"the compaction did not come to its end: {why}")
        raise client.explained(failure)
    return row.report


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except JournalError as problem:
        raise as_failure(problem) from None


def _show(directory: Path, report: CompactionReport, dry_run: bool) -> None:
    verb = "would remove" if dry_run else "removed"
    count = f"{len(report.removed)} segment{'' if len(report.removed) == 1 else 's'}"
    tell(f"{bold(str(directory))}: {verb} {count}, {report.removed_bytes} bytes")
    if report.archived:
        many = f"{len(report.archived)} archive{'' if len(report.archived) == 1 else 's'}"
        tell(f"  archived through record {report.through}: {report.archived_bytes} bytes in {many}")
    if report.forgotten:
        verb = "would forget" if dry_run else "forgot"
        tell(f"  {verb} {len(report.forgotten)} of the oldest archives")
    for each in report.pinned:
        tell(f"  {each.name} stays ({each.bytes} bytes): {each.why}")
