"""Sends a message over HTTP and says what became of it: `send_and_wait.py TO TEXT`.

Standard library only. The key and the address are in the broker's directory (`ACKBOOK_DIR`, else
`./.ackbook`). The idempotency key makes it safe to ask again: when the connection breaks before the
answer, nobody knows whether the message was taken, and the same key never enqueues it twice.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path

WAIT_MS = 20_000
"""How long the broker waits for the outcome before it answers."""

TRIES_MAX = 3
"""Connections that may break before an answer came."""


def connection() -> tuple[str, str]:
    """Address and key of the broker that runs here. Raises `SystemExit` where none does."""
    directory = Path(os.environ.get("ACKBOOK_DIR") or ".ackbook")
    try:
        told = json.loads((directory / "connection.json").read_bytes())
    except FileNotFoundError:
        raise SystemExit(f"no broker runs in {directory}; start one with: ackbook up") from None
    return told["url"], told["api_key"]


def send(to: str, text: str) -> str:
    """What became of it: `confirmed`, `unconfirmed`, `failed`, `timed_out`. Raises `SystemExit`
    with the answer when it was refused, and OSError when no broker answered the last try either."""
    body = {"to": to, "text": text, "wait_ms": WAIT_MS, "idempotency_key": uuid.uuid4().hex}
    for left in reversed(range(TRIES_MAX)):
        url, key = connection()
        request = urllib.request.Request(
            f"{url}/api/send", json.dumps(body).encode(), {"X-API-Key": key}
        )
        try:
            with urllib.request.urlopen(request, timeout=WAIT_MS / 1000 + 10) as answer:
                return str(json.load(answer)["outcome"])
        except urllib.error.HTTPError as refused:
            raise SystemExit(refused.read().decode()) from None
        except OSError:
            if not left:
                raise
    raise AssertionError


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(f"usage: {sys.argv[0]} TO TEXT")
    outcome = send(sys.argv[1], sys.argv[2])
    print(outcome)
    sys.exit(outcome != "confirmed")
