"""The command line: one table of verbs, and the one place where a command ends.

Every verb stands in `VERBS` with the module that holds it. A module is imported when its verb is
used, since agents call `ackbook send` many times and should not wait for tables and servers that
they do not need. A verb returns its exit code (nothing means done) or raises `Failure`; here both
become what the shell sees. Only a bug ends in a traceback.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import NamedTuple

import click

from ackbook.broker.exit_codes import ExitCode
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.options import place_before_verb


class Verb(NamedTuple):
    """Where a verb's command is defined, and the line that the overview shows."""

    module: str
    command: str
    summary: str


VERBS: dict[str, dict[str, Verb]] = {
    "Broker": {
        "up": Verb("verbs.up", "up", "Run the broker."),
        "down": Verb("verbs.down", "down", "End the broker; what is pending is kept."),
    },
    "Agents": {
        "spawn": Verb("verbs.spawn", "spawn", "Start a program in a terminal, under a name."),
        "run": Verb("verbs.spawn", "run", "The same, with your terminal joined to it."),
        "attach": Verb("verbs.attach", "attach", "Join your terminal to an agent's."),
        "ls": Verb("verbs.agents", "ls", "Agents: state, what waits for them and why."),
        "screen": Verb("verbs.agents", "screen", "What an agent's terminal shows now."),
        "restart": Verb("verbs.spawn", "restart", "End an agent and start it again."),
        "release": Verb("verbs.agents", "release", "Let an agent go, and what waits for it."),
    },
    "Messages": {
        "send": Verb("verbs.send", "send", "Send a message to an agent or a #channel."),
        "pending": Verb("verbs.queues", "pending", "What waits, and why."),
        "hold": Verb("verbs.queues", "hold", "Keep messages back until a flush."),
        "auto": Verb("verbs.queues", "auto", "Type messages as they come."),
        "flush": Verb("verbs.queues", "flush", "Type what waits now; the mode stays."),
        "cancel": Verb("verbs.queues", "cancel", "Take back what was not typed yet."),
        "dead": Verb("verbs.dead_letters", "dead", "Deliveries that were given up."),
        "redeliver": Verb("verbs.dead_letters", "redeliver", "Queue given up deliveries again."),
    },
    "History": {
        "why": Verb("verbs.why", "why", "Why a message or delivery is where it is."),
        "events": Verb("verbs.events", "events", "The feed of everything that happened."),
        "replay": Verb("replay.command", "replay", "The world as it was at a position."),
        "cat": Verb("verbs.cat", "cat", "Print records of the journal."),
        "report": Verb("verbs.report", "report", "Outcomes, latencies and holds, in short."),
        "export": Verb("verbs.export", "export", "One row a delivery, as jsonl, csv or SQLite."),
        "bundle": Verb(
            "verbs.bundle", "bundle", "What explains a delivery, in one file to pass on."
        ),
    },
    "Journal": {
        "verify": Verb("verbs.verify", "verify", "Check every byte of the journal."),
        "stat": Verb("verbs.stat", "stat", "What each file holds, and what pins it."),
        "head": Verb("verbs.head", "head", "A token that fixes all history so far."),
        "compact": Verb(
            "verbs.compact", "compact", "Move sealed history into compressed archives."
        ),
        "backup": Verb("verbs.backup", "backup", "A consistent copy, also while it is written."),
        "repair": Verb("verbs.repair", "repair", "Cut a torn end off the journal."),
        "salvage": Verb("verbs.salvage", "salvage", "Save what is good of a damaged journal."),
    },
    "Shell": {
        "completion": Verb("verbs.completion", "completion", "The script that completes commands."),
    },
}
"""Every verb, in the order and under the headings of the overview."""


class ReaderGone(Exception):
    """Whoever read standard output has enough of it."""


class Verbs(click.Group):
    """The program: finds a verb in the table and imports it then."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for verbs in VERBS.values() for name in verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for verbs in VERBS.values():
            if verb := verbs.get(cmd_name):
                module = import_module(f"ackbook.tools.{verb.module}")
                command = getattr(module, verb.command)
                assert isinstance(command, click.Command)
                return command
        return None

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb to its last byte. Raises `ReaderGone` where who reads it went away, of which
        Click would make 1."""
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            raise ReaderGone from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, verbs in VERBS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, verb.summary) for name, verb in verbs.items()])


def _say_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"ackbook {version('ackbook')}")
        context.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@place_before_verb
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_say_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Message your agents. Prove it arrived."""


def main() -> int:
    """Run the command of `sys.argv`; the exit code."""
    _open_closed_streams()
    try:
        code = cli.main(prog_name="ackbook", standalone_mode=False, color=_colour())
        return ExitCode.DONE if code is None else int(code)
    except Failure as failure:
        return _fail(failure.code, str(failure))
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except UnicodeEncodeError:
        return _fail(ExitCode.USAGE, "an argument is not UTF-8, and cannot be passed on")
    except ReaderGone:
        _discard_output()
        return ExitCode.READER_GONE
    except MemoryError:
        return _fail(ExitCode.IO_ERROR, "there is not enough memory")
    except OSError as problem:
        _discard_output()
        where = f": {problem.filename}" if problem.filename else ""
        return _fail(ExitCode.IO_ERROR, f"{problem.strerror or problem}{where}")


def _fail(code: int, what: str) -> int:
    click.echo(f"{click.style('ackbook:', fg='red')} {what}", err=True, color=_colour())
    return code


def _colour() -> bool | None:
    """No, where nobody wants it; else as the terminal allows."""
    return False if os.environ.get("NO_COLOR") else None


def _open_closed_streams() -> None:
    """A caller may have closed a standard stream; then what would go there goes nowhere, and no
    file that is opened later can take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _discard_output() -> None:
    """Let the interpreter's last flush go nowhere: who should have read it is gone."""
    with suppress(OSError):  # a machine that opens no file any more is said to be so
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
