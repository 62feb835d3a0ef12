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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

PACE_S = 0.04
"""Between two messages of one sender, so that the burst lasts long enough to be interrupted."""

BROKER_BACK_S_MAX = 60.0


class Connection(msgspec.Struct, frozen=True):
    """Where the broker listens, as it wrote it into its directory."""

    url: str
    api_key: str
    pid: int


def read_connection(home: Path) -> Connection:
    return msgspec.json.decode((home / "connection.json").read_bytes(), type=Connection)


class Sent(msgspec.Struct, frozen=True):
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
            with httpx.Client(timeout=10.0) as client:
                for number in range(1, self._count + 1):
                    if self._stopped.is_set():
                        return
                    self.acknowledged.append(self._send(client, number))
                    self._stopped.wait(self._pace_s)
        except Exception as failure:  # a thread hands its failure to the one who joins it
            self.failure = failure

    def stop(self) -> None:
        self._stopped.set()

    def _send(self, client: httpx.Client, number: int) -> Acknowledged:
        message = {
            "to": self.to,
            "from": "director",
            "text": f"burst {number} of {self._count} for {self.to}",
            "idempotency_key": f"burst-{self.to}-{number}",
        }
        deadline = time.monotonic() + BROKER_BACK_S_MAX
        for tries in itertools.count(1):
            with suppress(httpx.TransportError, FileNotFoundError):
                reply = self._post(client, message)
                if reply.status_code != httpx.codes.SERVICE_UNAVAILABLE:  # it is starting
                    reply.raise_for_status()
                    sent = msgspec.json.decode(reply.content, type=Sent)
                    return Acknowledged(sent.event_id, sent.seq, tries)
            if time.monotonic() > deadline or self._stopped.wait(PACE_S):
                break
        raise TimeoutError(f"no broker answered the {self.name} within {BROKER_BACK_S_MAX:.0f} s")

    def _post(self, client: httpx.Client, message: dict[str, str]) -> httpx.Response:
        broker = read_connection(self._home)
        return client.post(
            f"{broker.url}/api/send", json=message, headers={"X-API-Key": broker.api_key}
        )
