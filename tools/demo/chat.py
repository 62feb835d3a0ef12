"""A chat program for the demo and the tests: a full line editor that keeps a transcript.

`python -m ackbook.tools.demo.chat FILE` shows a prompt, takes pasted text as one message however
many lines it has, and appends each submitted message to FILE as one JSON line before it prints it.
So the file proves what arrived, how often and in which order. It knows nothing of who is typing.
"""

from __future__ import annotations

import json
import os
import sys

from prompt_toolkit import PromptSession


def main() -> int:
    """Chat until end of input."""
    if len(sys.argv) != 2:
        print("usage: chat FILE", file=sys.stderr)
        return 2
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    transcript = os.open(sys.argv[1], flags, 0o600)
    session: PromptSession[str] = PromptSession("chat> ")
    while True:
        try:
            text = session.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return 0
        os.write(transcript, json.dumps({"text": text}).encode() + b"\n")
        print(f"you said: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
