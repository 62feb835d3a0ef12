"""The cast: real programs, and how each of them keeps a transcript by its own means.

A proof is worth something when it does not come from the one who is on trial. So what arrived is
read from files that the programs write: bash by its history, the Python REPL by the hook that is
given every line that it cannot parse, `tee` by nature, the chat program by design. `cat` keeps
nothing; what it showed stands on its terminal alone.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ackbook.projections.ids import EVENT_ID

CHAT = Path(__file__).parent / "chat.py"

BASH_RC = """\
PS1='alice$ '
HISTFILE=alice.transcript HISTCONTROL= HISTIGNORE= HISTSIZE=10000
PROMPT_COMMAND='history -a'
shopt -u interactive_comments  # a message that names a #channel is no comment
Relay() { echo "bash was called with $# words"; }
"""

PYTHON_STARTUP = """\
import sys

def keep(kind, error, trace):
    line = getattr(error, "text", None) or ""
    if not line.startswith("Relay"):
        return sys.__excepthook__(kind, error, trace)
    with open("bob.transcript", "a") as transcript:
        transcript.write(line.rstrip() + "\\n")
    print("not Python, but it arrived:", len(line), "characters")

sys.excepthook = keep
sys.ps1 = "bob>>> "
"""

_ARRIVAL = re.compile(rf"Relay message from \S+(?: in #\S+)? \[(?P<event_id>{EVENT_ID})\]: ")


@dataclass(frozen=True, slots=True)
class Actor:
    """A program in a terminal: its name as an agent, and its command line."""

    name: str
    options: tuple[str, ...]
    command: tuple[str, ...]


CAST = (
    Actor("alice", (), ("bash", "--noprofile", "--rcfile", "alice.bashrc")),
    Actor("bob", ("--env", "PYTHONSTARTUP=bob.py"), ("python", "-q")),
    Actor("carol", (), ("cat",)),
    Actor("dave", (), ("python", "chat.py", "dave.transcript")),
    Actor("erin", (), ("tee", "-a", "erin.transcript")),
)

WRITERS = tuple(actor.name for actor in CAST if actor.name != "carol")
"""Those who keep a transcript."""


def set_props(directory: Path) -> None:
    """Put the files that the programs start from into the directory."""
    (directory / "alice.bashrc").write_text(BASH_RC)
    (directory / "bob.py").write_text(PYTHON_STARTUP)
    shutil.copyfile(CHAT, directory / "chat.py")
    for name in WRITERS:
        (directory / f"{name}.transcript").touch()


def transcript(directory: Path, name: str) -> list[str]:
    """The ids of the messages that the program took in, in its order, repetitions included."""
    kept = (directory / f"{name}.transcript").read_text()
    return [found["event_id"] for found in _ARRIVAL.finditer(kept)]
