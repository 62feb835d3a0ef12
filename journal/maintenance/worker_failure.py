"""What a worker says on stderr before it ends with 1: one line of JSON with what is wrong and the
next step, so that whoever started it can say both in words of its own.

An interpreter that could not even begin says something else; that is not read here.
"""

import msgspec

from ackbook.journal.errors import JournalError
from ackbook.journal.next_step import NextStep


class WorkerFailure(msgspec.Struct, frozen=True):
    """Why the work was not done. `next` is None where the machine failed, not the journal."""

    what: str
    next: NextStep | None = None


def encode_failure(error: JournalError | OSError | MemoryError) -> bytes:
    """The line, newline included."""
    return msgspec.json.encode(_failure(error)) + b"\n"


def read_failure(said: bytes) -> WorkerFailure | None:
    """The last line of what a worker said on stderr; None where it is nothing of the kind."""
    try:
        return msgspec.json.decode(said.strip().rpartition(b"\n")[2], type=WorkerFailure)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _failure(error: JournalError | OSError | MemoryError) -> WorkerFailure:
    match error:
        case JournalError():
            return WorkerFailure(_text(error.what), error.next_step)
        case MemoryError():
            return WorkerFailure("there is not enough memory")
        case OSError():
            return WorkerFailure(_text(str(error)))


def _text(words: str) -> str:
    """A path may hold bytes that are no text; JSON cannot."""
    return words.encode(errors="replace").decode()
