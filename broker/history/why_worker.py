"""Tells why in a process of its own, so that reading history takes no time from the broker.

`python -m ackbook.broker.history.why_worker JOURNAL HEAD QUESTION` prints the stories that are
asked for up to the record HEAD, which has to be durable, as one line of JSON: an `WhyAnswer`. It
reads like any reader, in a directory that may be handed over, and keeps what it learns in the
user's cache. Where it fails it says why on standard error and ends with the exit code of the error;
it is ended when nobody waits any more.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.history.story_query import StoryQuery, caches_of
from ackbook.broker.history.why_question import Misasked, NothingKnown, WhyQuestion
from ackbook.broker.journal_endings import error_at_a_shell, exit_code_of
from ackbook.journal import AttemptFailed, JournalError, Reader
from ackbook.journal.maintenance.handed_over import handed_over

NICE = 10
"""Whoever waits for an answer of the loop comes first."""

HISTORIANS_MAX = 2
"""At once; further questions wait. The first about a long journal makes the later ones quick."""


class WhyAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The stories, as `ackbook why --json` tells them; or why the question has no answer.
    `misasked`: it could not be understood; else no record is about it."""

    stories: list[dict[str, object]] = []
    problem: str = ""
    misasked: bool = False


def historian_command(journal: Path, head: int, asked: WhyQuestion) -> list[str]:
    """What to run to be told the stories that are asked for."""
    module = [sys.executable, "-P", "-m", "ackbook.broker.history.why_worker"]
    return [*module, str(journal), str(head), msgspec.json.encode(asked).decode()]


def tell(journal: Path, head: int, asked: WhyQuestion) -> WhyAnswer:
    """The answer up to this record. Raises `JournalError` and `msgspec.DecodeError`; the first also
    when the process that asked is gone."""
    parent = os.getppid()

    def look(_: int) -> None:
        if os.getppid() != parent:
            raise AttemptFailed("nobody waits for the story any more", "ask again")

    reader = Reader(journal)
    telling = StoryQuery(reader, journal, caches=caches_of(reader), head=head, progress=look)
    try:
        asked.check()
        stories = map(telling.story, asked.resolve(telling).ids)
    except Misasked as problem:
        return WhyAnswer(problem=problem.what, misasked=not isinstance(problem, NothingKnown))
    return WhyAnswer([story.to_dict() for story in stories if story is not None])


def main(arguments: list[str]) -> ExitCode:
    """The command; see the head of this module."""
    os.nice(NICE)
    gc.disable()  # it lives for one question
    journal, head, question = arguments
    held = handed_over(Path(journal))
    where = Path(journal) if held is None else held.within(held.directory)
    try:
        asked = msgspec.json.decode(question, type=WhyQuestion)
        answer = tell(where, int(head), asked)
    except JournalError as error:
        sys.stderr.write(f"{error_at_a_shell(error)}\n".replace(str(where), journal))
        return exit_code_of(error)
    except msgspec.DecodeError as error:
        sys.stderr.write(f"{journal} holds a record of a shape not known here: {error}\n")
        return ExitCode.NEWER_FORMAT
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
