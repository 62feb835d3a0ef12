"""The burst: many messages through the HTTP API, and a sender that survives the broker.

Each recipient has a sender of its own, which sends one message after the other and keeps what was
acknowledged, in order. When the broker dies a sender does not know whether its last message was
recorded. It waits for the next broker and sends the same message with the same idempotency key:
what was recorded is answered from the record, what was not is sent now.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec

from ackbook.broker.wire.connection import CONNECTION_FILE

PACE_S = 0.04
"""Between two messages of one sender, so that the burst lasts long enough to be interrupted."""

ANSWER_S_MAX = 10.0
"""Of one question; then it is asked again."""

BROKER_BACK_S_MAX = 60.0
"""How long a sender asks again while there is no broker."""

STARTING = HTTPStatus.SERVICE_UNAVAILABLE


class BrokerAddress(msgspec.Struct, frozen=True):
    """Where the broker listens, as it wrote it into its directory."""

    url: str
    api_key: str
    pid: int


def read_connection(home: Path) -> BrokerAddress:
    return msgspec.json.decode((home / CONNECTION_FILE).read_bytes(), type=BrokerAddress)


class SendAnswer(msgspec.Struct, frozen=True):
    """The broker's answer to a message: from here on it is on disk."""

    event_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A message that the broker answered for."""

    event_id: str
    seq: int
    tries: int


class Sender(threading.Thread):
    """Sends `count` messages to one agent, whatever happens to the broker in between."""

    def __init__(self, home: Path, to: str, count: int, pace_s: float = PACE_S) -> None:
        super().__init__(name=f"sender to {to}", daemon=True)
        self.to = to
        self.acknowledged: list[Acknowledged] = []
        self.failure: Exception | None = None
        self._home = home
        self._count = count
        self._pace_s = pace_s
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            for number in range(1, self._count + 1):
                if self._stopped.is_set():
                    return
                self.acknowledged.append(self._send(number))
                self._stopped.wait(self._pace_s)
        except Exception as failure:  # a thread hands its failure to the one who joins it
            self.failure = failure

    def stop(self) -> None:
        self._stopped.set()

    def _send(self, number: int) -> Acknowledged:
        message = {
            "to": self.to,
            "from": "director",
            "text": f"burst {number} of {self._count} for {self.to}",
            "idempotency_key": f"burst-{self.to}-{number}",
        }
        deadline = time.monotonic() + BROKER_BACK_S_MAX
        for tries in itertools.count(1):
            if sent := self._post(msgspec.json.encode(message)):
                return Acknowledged(sent.event_id, sent.seq, tries)
            if time.monotonic() > deadline or self._stopped.wait(PACE_S):
                break
        raise TimeoutError(f"no broker answered the {self.name} within {BROKER_BACK_S_MAX:.0f} s")

    def _post(self, message: bytes) -> SendAnswer | None:
        """The broker's answer; None when there is no broker, or none that is ready or lives on."""
        try:
            broker = read_connection(self._home)
            request = Request(
                f"{broker.url}/api/send",
                data=message,
                headers={"Content-Type": "application/json", "X-API-Key": broker.api_key},
            )
            with urlopen(request, timeout=ANSWER_S_MAX) as reply:
                return msgspec.json.decode(reply.read(), type=SendAnswer)
        except HTTPError as refusal:
            if refusal.code != STARTING:
                raise
        except (OSError, HTTPException):
            pass  # dead, and perhaps in the middle of its answer: the key makes asking again safe
        return None
