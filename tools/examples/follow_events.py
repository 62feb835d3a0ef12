"""Follows the event feed and goes on where it was: `follow_events.py CURSOR_FILE [COUNT]`.

Each event is printed as one line of JSON, and its cursor is kept afterwards. Ended at any moment
and started again, it prints at most one event once more and misses none, whatever the broker did in
between. Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path


def events(since: str) -> Iterator[tuple[str, str]]:
    """Every event after a cursor, and each new one: its cursor, and its JSON. Raises `SystemExit`
    where no broker runs."""
    directory = Path(os.environ.get("ACKBOOK_DIR") or ".ackbook")
    try:
        told = json.loads((directory / "connection.json").read_bytes())
    except FileNotFoundError:
        raise SystemExit(f"no broker runs in {directory}; start one with: ackbook up") from None
    headers = {"X-API-Key": told["api_key"], "Last-Event-ID": since}
    request = urllib.request.Request(f"{told['url']}/api/events", headers=headers)
    cursor = since
    with urllib.request.urlopen(request) as stream:  # a line beginning with ":" keeps it awake
        for line in stream:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                cursor = value
            elif name == "data":
                yield cursor, value


def main(kept: Path, count: int | None) -> None:
    """Print events and keep the cursor, for ever or so many times."""
    since = kept.read_text() if kept.exists() else "0"
    for number, (cursor, event) in enumerate(events(since), start=1):
        print(event, flush=True)
        new = kept.with_suffix(".new")
        new.write_text(cursor)
        new.replace(kept)
        if number == count:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
