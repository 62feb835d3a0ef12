"""`ackbook head`: a token of the last record, to be kept elsewhere, that fixes all history."""

from __future__ import annotations

import click

from ackbook.broker.exit_codes import ExitCode
from ackbook.journal import JournalError, head_token
from ackbook.projections.facts import KINDS
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.options import json_option, place_option
from ackbook.tools.cli.output import emit, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.history.journal import as_failure


@click.command()
@json_option
@place_option
def head(as_json: bool, place: Place) -> None:
    """Print a token of the last durable record: journal id, position, sha256.

    Keep it where whoever can write the journal cannot. `ackbook verify --head TOKEN` shows later
    that the journal was neither rolled back behind it nor rewritten before it.

    A token vouches for all history, so all of it is checked first, archives included: where
    something is damaged or missing there is no token, and the exit code is 4, 7 or 10. It is 3
    where there is no record yet.
    """
    directory = place.journal()
    try:
        token = head_token(directory, kinds=KINDS)
    except JournalError as problem:
        raise as_failure(problem) from None
    if token is None:
        raise Failure(
            ExitCode.NOT_FOUND, f"no record in {directory}", f"see: ackbook verify {place.flag()}"
        )
    if as_json:
        emit({"token": str(token), "journal": token.journal, "seq": token.seq})
    else:
        tell(str(token))
