"""Questions to the broker of a directory, over its HTTP API, and answers as typed values.

One question is one short connection from the standard library: a verb lives for a tenth of a
second, and a pooling client would take longer to import than the question takes. A broker that is
still reading its journal is waited for. Every refusal becomes a `Failure` whose exit code follows
from one table.

This module knows codes and shapes; it knows neither how answers are shown nor what they mean.
"""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import TypeVar
from urllib.parse import quote

import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.wire.identity import CALLER_HEADER, TOKEN_HEADER, hash_of
from ackbook.broker.wire.replies import CallerReply, HealthReply
from ackbook.projections.commander import OPERATOR
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.output import poor, say
from ackbook.tools.cli.place import Place, is_alive
from ackbook.tools.cli.token_here import is_own_directory, is_without_token, token_here
from ackbook.tools.cli.transport import connection, find
from ackbook.tools.cli.versions import RESTART, other_version

T = TypeVar("T")

ANSWER_S_MAX = 30.0
"""An answer comes within milliseconds; a broker that is silent for so long is stuck."""

START_S_MAX = 60.0
"""A million records are replayed within seconds; after so long somebody should look."""

START_POLL_S = 0.05
"""Between two questions to a broker that still starts."""

EXIT_BY_CODE = {
    "agent_not_found": ExitCode.NOT_FOUND,
    "delivery_not_found": ExitCode.NOT_FOUND,
    "dead_letter_not_found": ExitCode.NOT_FOUND,
    "not_found": ExitCode.NOT_FOUND,
    "unknown_agent": ExitCode.NOT_FOUND,
    "empty": ExitCode.USAGE,
    "invalid": ExitCode.USAGE,
    "invalid_request": ExitCode.USAGE,
    "invalid_mode": ExitCode.USAGE,
    "invalid_revision": ExitCode.USAGE,
    "invalid_format": ExitCode.USAGE,
    "worker_timeout": ExitCode.TIMED_OUT,
    "worker_disappeared": ExitCode.NO,
    "internal_error": ExitCode.NO,
    "outcome_unknown": ExitCode.IO_ERROR,
}
"""What a refusal's code means to the shell; any other one is a refusal."""

EXIT_BY_STATUS = {
    400: ExitCode.USAGE,
    404: ExitCode.NOT_FOUND,
    500: ExitCode.NO,
    504: ExitCode.TIMED_OUT,
}
"""The same by the HTTP status, where the code says nothing here."""

NEXT_STEP = {
    "agent_not_found": "see who is there with: ackbook ls",
    "dead_letter_not_found": "see what can be redelivered with: ackbook dead",
    "agent_exists": "ackbook restart starts it again, ackbook release lets it go",
    "worker_disappeared": "see how it ended with: ackbook ls",
    "outcome_unknown": "see what is durable with: ackbook verify, then start the broker again",
    "queue_full": "see what waits with: ackbook pending",
    "journal_full": "make room on the disk; the broker goes on by itself",
    "too_large": "put it into a file and send its path",
}
"""Said where the broker's own words end without a next step (which follows a semicolon)."""


class ErrorReply(msgspec.Struct, frozen=True):
    """An answer that is none. An error is a text, and an object only where no key was shown."""

    code: str = ""
    message: str = ""
    error: object = None


class Client:
    """The broker of one place. Nothing is opened before the first question."""

    def __init__(self, place: Place, *, notes: bool = True) -> None:
        """`notes`: tell the person at this terminal, if there is one, of another version. Raises
        `Failure` where no broker runs in the directory."""
        self.place = place
        self.transport = find(place)
        """How it is reached: it was seen to be the broker of this directory."""
        self._asker: dict[str, str] | None = None
        if notes and sys.stderr.isatty() and (note := self.other_version()):
            say(f"{poor('note:')} {note}")

    def ask(
        self,
        method: str,
        path: str,
        shape: type[T],
        body: object | None = None,
        *,
        wait_s: float = 0.0,
        starts: bool = False,
    ) -> T:
        """The broker's answer. `wait_s`: how long it was asked to take before it answers, in
        seconds. `starts`: it has to start a process for it, which fails where the package is no
        more what it was when the broker began.

        Raises `Failure`, which ends the command: the broker refuses (the exit code by the tables
        above), is not there, still starts after `START_S_MAX`, does not answer in time, went away
        meanwhile, or says what is not of this shape.
        """
        content = b"" if body is None else msgspec.json.encode(body)
        deadline = time.monotonic() + START_S_MAX
        while True:
            status, answer, kind = self._exchange(method, path, content, wait_s + ANSWER_S_MAX)
            if status != 503 or kind.startswith("application/json"):
                break
            if time.monotonic() > deadline:
                raise Failure(
                    ExitCode.TIMED_OUT,
                    f"the broker in {self.place.directory} is still starting",
                    f"see {self.place.directory}/logs/broker.log",
                )
            time.sleep(START_POLL_S)
        if status >= 300:
            refusal = self.refusal(status, answer)
            blameless = refusal.code not in (ExitCode.USAGE, ExitCode.NO)
            raise refusal if blameless or not starts else self.explained(refusal)
        try:
            # Not strict: clients of this API expect some numbers as text, `generation` for one.
            return msgspec.json.decode(answer, type=shape, strict=False)
        except msgspec.DecodeError as problem:
            raise Failure(
                ExitCode.NO, f"the answer to {method} {path} was not understood ({problem})"
            ) from None

    def stream(self, path: str, headers: dict[str, str]) -> Iterator[bytes]:
        """The lines of an answer that has no end, as they come, until the broker closes it. Raises
        `Failure` where it is not there or refuses; a connection that breaks later is an end."""
        with closing(connection(self.transport, None)) as link:
            try:
                link.request("GET", path, headers=headers | self.headers())
                response = link.getresponse()
            except OSError as problem:
                raise self.unreachable(problem) from None
            if response.status >= 300:
                raise self.refusal(response.status, response.read())
            try:
                while line := response.readline():
                    yield line
            except (OSError, http.client.HTTPException):
                return

    def other_version(self) -> str:
        """What is to be said where the broker is of another version than this; else empty, also
        where it does not say which it is."""
        from importlib.metadata import version

        mine = version("ackbook")
        theirs = self.told_version or self._asked_version()
        return "" if theirs in ("", mine) else other_version(self.place, theirs, mine)

    @property
    def told_version(self) -> str:
        """The version that the broker wrote of itself; empty where it did not."""
        return self.transport.told.version if self.transport.told is not None else ""

    def explained(self, failure: Failure) -> Failure:
        """A failure of what a broker starts processes for: with the reason, where the broker is of
        another version and has not said so itself."""
        note = self.other_version()
        if not note or RESTART in str(failure):
            return failure
        return Failure(ExitCode.REFUSED, f"{failure}; {note}")

    def refusal(self, status: int, answer: bytes) -> Failure:
        """What an answer that is no success means to the shell."""
        if status == 401:
            return Failure(
                ExitCode.REFUSED,
                f"the broker does not accept the key in {self.place.connection_file}",
                f"start the broker again with: ackbook up {self.place.flag()}",
            )
        try:
            refusal = msgspec.json.decode(answer, type=ErrorReply)
        except msgspec.DecodeError:
            refusal = ErrorReply(message=answer.decode(errors="replace").strip())
        what = refusal.message or str(refusal.error or "") or f"HTTP status {status}"
        code = EXIT_BY_CODE.get(refusal.code, EXIT_BY_STATUS.get(status, ExitCode.REFUSED))
        return Failure(code, what, "" if "; " in what else NEXT_STEP.get(refusal.code, ""))

    def unreachable(self, problem: Exception) -> Failure:
        """What a connection that failed means: no broker, or one that went away meanwhile."""
        gone = isinstance(problem, ConnectionRefusedError | FileNotFoundError)
        if gone or not is_alive(self.transport.pid):
            return self.place.no_broker(self.transport.pid)
        return Failure(
            ExitCode.IO_ERROR,
            f"the connection to the broker in {self.place.directory} broke ({problem})",
            f"what was recorded is in the journal: ackbook events {self.place.flag()}",
        )

    def _asked_version(self) -> str:
        with suppress(Failure, msgspec.DecodeError):
            _, answer, _ = self._exchange("GET", "/health", b"", ANSWER_S_MAX)
            return msgspec.json.decode(answer, type=HealthReply).version
        return ""

    def _exchange(
        self, method: str, path: str, content: bytes, timeout_s: float
    ) -> tuple[int, bytes, str]:
        headers = self.headers() | {"Content-Type": "application/json"}
        with closing(connection(self.transport, timeout_s)) as link:
            try:
                # A body over the limit is answered before it was read to its end: the answer is
                # already there, unless the broker is gone.
                with suppress(BrokenPipeError, ConnectionResetError):
                    link.request(method, path, content, headers)
                response = link.getresponse()
                return response.status, response.read(), response.headers["Content-Type"] or ""
            except TimeoutError:
                raise Failure(
                    ExitCode.TIMED_OUT,
                    f"the broker in {self.place.directory} did not answer",
                    f"see {self.place.directory}/logs/broker.log",
                ) from None
            except (OSError, http.client.HTTPException) as problem:
                raise self.unreachable(problem) from None

    def headers(self) -> dict[str, str]:
        """What every request shows: the key, where one is asked for, and who asks. That may take a
        question to the broker, once."""
        if self._asker is None:
            self._asker = {CALLER_HEADER: OPERATOR}  # who asks that shows no token yet
            self._asker = self._shown()
        return self.transport.headers() | self._asker

    def _shown(self) -> dict[str, str]:
        """Who asks, as far as that can be shown. Inside a program of this broker that is the
        program's agent; everywhere else it is the operator."""
        token, own = token_here(), is_own_directory(self.place.directory)
        if token and (own or self._knows(token)):
            return {TOKEN_HEADER: token}
        return {} if own and is_without_token() else {CALLER_HEADER: OPERATOR}

    def _knows(self, token: str) -> bool:
        """Whether this broker gave it; one that cannot be asked, did not."""
        try:
            path = f"/api/caller?token_sha256={hash_of(token)}"
            return self.ask("GET", path, CallerReply).knows_token
        except Failure:
            return False


def agent_path(name: str, rest: str = "") -> str:
    """The path of an agent's own routes: its name is one encoded segment."""
    return f"/api/spawned/{quote(name, safe='')}{rest}"


def id_path(route: str, identity: str) -> str:
    """The path of a route that names a message or a delivery."""
    return f"{route}/{quote(identity, safe='')}"
