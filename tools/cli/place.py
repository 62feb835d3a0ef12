"""Where a broker lives: the directory that a verb means, and what is found in it.

A directory holds `journal/`, and while a broker runs `connection.json` with its address and key.
Clients need the second, offline tools only the first, which may also be named by itself. A
connection file whose broker is dead is recognised here and treated as no broker at all.

This module reads two kinds of file and talks to nobody.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.runtime.system.private_paths import NotPrivate, check_private, read_private
from ackbook.broker.wire.connection import CONNECTION_FILE, SOCKET_FILE, Connection
from ackbook.tools.cli.failures import Failure

DIRECTORY_VARIABLE = "ACKBOOK_DIR"
DIRECTORY_DEFAULT = ".ackbook"

_JOURNAL_FILE = re.compile(r"LOCK|HEAD|\d{20}\.jsonl|snapshot-\d{20}\.jsonl|archive|quarantine")


@dataclass(frozen=True, slots=True)
class OfBundle:
    """What an opened bundle is of: these records, and no others. `undecidable`: the first records
    of decisions that cannot be made again without what was taken out."""

    path: Path
    first: int
    last: int
    undecidable: frozenset[int] = frozenset()

    def __str__(self) -> str:
        return f"this is a bundle of records {self.first} to {self.last}"


@dataclass(frozen=True, slots=True)
class Place:
    """The directory that a command works on; absolute, and not necessarily there yet. That of an
    opened bundle is there as long as the command."""

    directory: Path
    bundle: OfBundle | None = None

    @property
    def connection_file(self) -> Path:
        return self.directory / CONNECTION_FILE

    @property
    def socket(self) -> Path:
        """Where the broker listens for the owner of the directory."""
        return self.directory / SOCKET_FILE

    @property
    def named(self) -> Path:
        """What a person would call it: the bundle, where it is one."""
        return self.directory if self.bundle is None else self.bundle.path

    def flag(self) -> str:
        """`--dir DIR`, to be pasted into a shell."""
        return f"--dir {shlex.quote(str(self.named))}"

    def written(self) -> Connection:
        """What the broker wrote that was last here and has not said goodbye, or that of a directory
        of which this is a copy: it proves nothing. Raises `Failure` where there is no such file,
        where it cannot be read as one, and where it may be somebody else's."""
        self.check_private()
        try:
            written = read_private(self.connection_file)
        except (FileNotFoundError, NotADirectoryError):
            raise self.no_broker() from None
        except NotPrivate as wrong:
            raise Failure(ExitCode.REFUSED, wrong.what, wrong.next_step) from None
        try:
            return msgspec.json.decode(written, type=Connection)
        except msgspec.DecodeError as problem:
            raise Failure(
                ExitCode.NO,
                f"{self.connection_file} cannot be read as a connection ({problem})",
                f"remove it and start the broker again with: ackbook up {self.flag()}",
            ) from None

    def check_private(self) -> None:
        """Raises `Failure` where somebody else could have put here what is not ours: a broker to
        speak to, or a journal to change."""
        try:
            check_private(self.directory)
        except NotPrivate as wrong:
            raise Failure(ExitCode.REFUSED, wrong.what, wrong.next_step) from None

    def no_broker(self, said_pid: int | None = None) -> Failure:
        """The failure that says that nobody serves this directory. `said_pid`: who does, if one
        were to believe its files."""
        gone = said_pid is not None and not is_alive(said_pid)
        stale = f" (process {said_pid} ended without saying goodbye)" if gone else ""
        return Failure(
            ExitCode.NOT_FOUND,
            f"no broker is running in {self.directory}{stale}",
            f"start one with: ackbook up {self.flag()}",
        )

    def journal(self) -> Path:
        """The journal here: `journal/` of this directory, or the directory itself. Raises `Failure`
        where neither is one: another `--dir` is needed."""
        inside = self.directory / "journal"
        if inside.is_dir():
            return inside
        if self.directory.is_dir() and any(
            _JOURNAL_FILE.fullmatch(entry.name) for entry in self.directory.iterdir()
        ):
            return self.directory
        raise Failure(
            ExitCode.NOT_FOUND,
            f"there is no journal in {self.directory}",
            "name the directory that holds journal/, or a journal itself, with --dir",
        )


def place_of(directory: Path | None) -> Place:
    """The place that was named, else that of the environment, else `./.ackbook`."""
    named = directory or Path(os.environ.get(DIRECTORY_VARIABLE) or DIRECTORY_DEFAULT)
    return Place(Path(os.path.abspath(named.expanduser())))


def is_alive(pid: int) -> bool:
    """Whether a process with this number does something still, whoever owns it."""
    from ackbook.broker.runtime.system.processes import stat

    return stat(pid) is not None
