"""An agent in a few lines: `ackbook spawn bob -- python3 agent.py`.

It shows a prompt, reads what is typed into it, and answers the sender of each message with
`ackbook send`, which finds the broker and its own name in the environment. Whoever can be typed to
can be an agent; nothing here knows how a message gets into a terminal.
"""

from __future__ import annotations

import re
import subprocess

MESSAGE = re.compile(
    r"Relay message from (?P<sender>\S+).*? \[(?P<event>evt_[\w.]+)\]: (?P<body>.*?)"
    r"(?: \(reply with: .*\))?$",
    re.IGNORECASE,
)
"""A header says who sent it; now and then the text ends with a hint how to reply."""


def answer(body: str) -> str:
    """The thinking would be here."""
    return body.upper()


def main() -> None:
    """Until the end of the input."""
    while True:
        try:
            line = input("bob> ")
        except EOFError:
            return
        if told := MESSAGE.search(line):
            text = f"{told['event']}: {answer(told['body'])}"
            subprocess.run(("ackbook", "send", told["sender"], text), check=False)


if __name__ == "__main__":
    main()
