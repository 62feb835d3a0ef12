"""A broker of any version, which writes down what it and its holders say to each other.

`PYTHON heard.py DIR POLICY FRAMES [LAST]` runs the broker of the package that PYTHON has installed,
under a policy given as JSON. FRAMES gets one JSON object a line, as the broker's end of each socket
saw it: `{"link": 1, "from": "broker", "frame": {...}}`; what a holder was given on its standard
input is `"launch"`. With LAST the broker dies (SIGKILL) when it reads the first report that has
this field, before it knows it.

Nothing of the package is changed: the standard library under it listens. Run by the interpreter of
the version that is recorded, so that it imports nothing of this one.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

links = itertools.count(1)


def main(directory: str, policy: str, frames: str, last: str = "") -> int:
    listen(Path(frames), last)
    top = "ackbook." if importlib.util.find_spec("ackbook") else ""
    serve = importlib.import_module(f"{top}broker.runtime.app").serve
    numbers = importlib.import_module(f"{top}projections.facts").Policy(**json.loads(policy))
    code: int = serve(Path(directory), policy=numbers)
    return code


def listen(frames: Path, last: str) -> None:
    """From here on every frame is written down before anybody acts on it."""
    file = frames.open("ab", buffering=0)
    connect, popen = asyncio.open_unix_connection, subprocess.Popen

    def heard(link: int, by: str, line: bytes) -> None:
        row = {"link": link, "from": by, "frame": json.loads(line)}
        file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")

    async def connected(*given: Any, **named: Any) -> Any:
        link = next(links)
        reader, writer = await connect(*given, **named)
        read, write = reader.readline, writer.write

        async def readline() -> bytes:
            line: bytes = await read()
            if line:
                heard(link, "holder", line)
                if last and json.loads(line).get(last):
                    os.kill(os.getpid(), signal.SIGKILL)
            return line

        def written(data: bytes) -> None:
            for line in data.splitlines():
                heard(link, "broker", line)
            write(data)

        reader.readline, writer.write = readline, written  # type: ignore[method-assign]
        return reader, writer

    class Popen(popen):  # type: ignore[type-arg, valid-type, misc]
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            if "holder" in " ".join(given[0]):
                write = self.stdin.write

                def written(data: bytes) -> int:
                    heard(0, "launch", data)
                    count: int = write(data)
                    return count

                # A buffered writer takes no attribute, so another object stands before it.
                self.stdin = Before(self.stdin, written)

    asyncio.open_unix_connection = connected
    subprocess.Popen = Popen  # type: ignore[misc]


class Before:
    """A file with another `write`."""

    def __init__(self, file: Any, write: Any) -> None:
        self._file = file
        self.write = write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
