"""Endings: how a command ends when something is wrong with its journal, and in which words.

The journal knows neither exit codes nor commands: its errors are classes, and its next steps name
functions. The two tables here turn both into what somebody at a shell reads; a broker needs them as
much as a command does, since `ackbook up` is one and `ackbook ls` shows what its health says.
"""

from __future__ import annotations

from ackbook.broker.exit_codes import ExitCode
from ackbook.journal import (
    AttemptFailed,
    Corrupt,
    Damage,
    DiskFailed,
    JournalError,
    JournalFull,
    Locked,
    Lost,
    NetworkFileSystem,
    NewerFormat,
    NextStep,
    NotOpen,
    OutOfReach,
    ReadOnly,
    RecordRefused,
    Remedy,
    SnapshotUnusable,
    TargetTaken,
    TornTail,
    VerifyReport,
)
from ackbook.journal.recovery.decision_table import RecoveryAction

EXIT_CODES: dict[type[JournalError], ExitCode] = {
    TornTail: ExitCode.NO,
    OutOfReach: ExitCode.NOT_FOUND,
    Corrupt: ExitCode.CORRUPT,
    SnapshotUnusable: ExitCode.CORRUPT,
    Locked: ExitCode.LOCKED,
    Lost: ExitCode.LOST,
    JournalFull: ExitCode.REFUSED,
    NetworkFileSystem: ExitCode.REFUSED,
    NotOpen: ExitCode.REFUSED,
    RecordRefused: ExitCode.REFUSED,
    TargetTaken: ExitCode.REFUSED,
    NewerFormat: ExitCode.NEWER_FORMAT,
    AttemptFailed: ExitCode.IO_ERROR,
    DiskFailed: ExitCode.IO_ERROR,
    ReadOnly: ExitCode.IO_ERROR,
}
"""By error; one that is not named ends as the error that it is a kind of."""

COMMANDS: dict[Remedy, str] = {
    Remedy.VERIFY: "ackbook verify{place}",
    Remedy.SALVAGE: "ackbook salvage{place} --out DIR",
    Remedy.REPAIR: "ackbook repair{place} --dry-run",
    Remedy.HEAD_TOKEN: "ackbook head{place}",
}
"""What to type where the journal names a function to call."""


def exit_code_of(error: JournalError | OSError | MemoryError) -> ExitCode:
    """How a command ends that met this error."""
    for kind in type(error).__mro__:
        if issubclass(kind, JournalError) and kind in EXIT_CODES:
            return EXIT_CODES[kind]
    return ExitCode.IO_ERROR


def exit_code_of_verdict(found: VerifyReport) -> ExitCode:
    """How `ackbook verify` ends: 0 when all is well, else as the error that says the same."""
    error = RecoveryAction(found.verdict).error
    return ExitCode.DONE if error is None else EXIT_CODES[error]


def step_at_a_shell(step: NextStep) -> str:
    """A next step for somebody at a shell: the command in the place of the function."""
    if step.remedy is None:
        return str(step)
    place = f" --dir {step.directory}" if step.directory else ""
    return f"{step.before}{COMMANDS[step.remedy].format(place=place)}{step.after}"


def error_at_a_shell(wrong: JournalError | Damage | OSError | MemoryError) -> str:
    """What is wrong and what to do next, as one line for somebody at a shell."""
    match wrong:
        case JournalError():
            return f"{wrong.what}. Next: {step_at_a_shell(wrong.next_step)}"
        case Damage():
            return f"{wrong.place_and_proof}. Next: {step_at_a_shell(wrong.next)}"
        case MemoryError():
            return "there is not enough memory"
        case OSError():
            return str(wrong)
