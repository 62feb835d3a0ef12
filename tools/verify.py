"""`ackbook verify`: every byte of the journal, and an exit code that says what was found."""

from __future__ import annotations

import click

from journal import JournalError, VerifyReport
from journal import verify as verify_journal
from projections.facts import KINDS

from .history import as_failure
from .options import json_option, place_option
from .output import bad, bold, dim, emit, good, plain, poor, say, tell
from .place import Place


@click.command()
@json_option
@place_option
def verify(as_json: bool, place: Place) -> int:
    """Check the whole journal; nothing is changed, and no broker is needed.

    The exit code is 0 when all is well, 1 when a start would cut an unacknowledged end, 4 when
    something is corrupt, 7 when acknowledged records are missing at the end, and 10 when a newer
    version wrote it.
    """
    directory = place.journal()
    try:
        found = verify_journal(directory, kinds=KINDS)
    except JournalError as problem:
        raise as_failure(problem) from None
    for warning in found.warnings:
        say(f"{poor('note:')} {plain(warning)}")
    if as_json:
        emit(
            {
                "ok": found.ok,
                "first_seq": found.first_seq,
                "last_seq": found.last_seq,
                "records": found.records,
                "segments": found.segments,
                "damage": [
                    {
                        "file": one.file,
                        "line": one.line,
                        "byte": one.byte,
                        "what": f"{one.what} ({one.proof})" if one.proof else one.what,
                        "next": one.next,
                    }
                    for one in found.damage
                ],
            }
        )
    else:
        _show(str(directory), found)
    return found.exit_code


def _show(directory: str, found: VerifyReport) -> None:
    verdict = good("good") if found.ok else bad(found.verdict)
    extent = f"records {found.first_seq} to {found.last_seq}" if found.records else "no records"
    count = f"{found.records} in {found.segments} file{'' if found.segments == 1 else 's'}"
    tell(f"{bold(directory)}: {verdict}, {extent} {dim(f'({count})')}")
    for one in found.damage:
        where = f"{one.file}, line {one.line}, byte {one.byte}" if one.line else one.file
        tell(f"  {bad(plain(where))}: {plain(one.what)}")
        if one.proof:
            tell(f"    proof: {plain(one.proof)}")
        tell(f"    next:  {plain(one.next)}")
