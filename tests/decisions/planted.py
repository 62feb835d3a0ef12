"""Bugs planted in the rules, and the journals of users who met them: what can be found from a
journal alone is tried on these.

`python -m tests.decisions.planted DIR [NAME ...]` records one journal a bug, by real rules in a
private copy of this source in which one line is wrong. The journal knows nothing of that line, and
neither does who reads it: the rules at hand are the right ones.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ackbook.broker.core import decide
from ackbook.broker.core.commands import SetMode
from ackbook.projections.facts import AgentName, Policy
from tests.decisions.make import write_journal
from tests.decisions.stories import Told
from tests.support.orders import become, deliver, message, report_of, spawn

ROOT = Path(__file__).parent.parent.parent
LAYERS = ("broker", "journal", "projections")
UNUSED = shutil.ignore_patterns("__pycache__", "golden", "bench")
BOB = AgentName("bob")
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Bug:
    """One line that is wrong, and a day on which somebody met it."""

    module: str
    right: str
    wrong: str
    day: Callable[[], Told]

    def plant(self, source: Path) -> None:
        path = source / self.module
        text = path.read_text()
        assert text.count(self.right) == 1, f"{self.module} no longer says: {self.right}"
        path.write_text(text.replace(self.right, self.wrong))


def too_much_for_a_queue() -> Told:
    """Bob is on hold for a while, and more is sent than its queue takes."""
    told = _morning(Policy(queue_length_max=4))
    told.ask(SetMode(name=BOB, mode="manual_flush", by="ann"))
    for body in ("look at the parser", "then at the lexer", "the docs", "the changelog"):
        told.sent(message("bob", body, sender="amy"))
        told.wait(MINUTE_MS)
    told.sent(message("bob", "stop: the parser is fixed", sender="ann"))
    told.wait(MINUTE_MS)
    told.sent(message("bob", "start with the docs", sender="ann"))
    told.wait(2 * MINUTE_MS)
    told.ask(SetMode(name=BOB, mode="auto_inject", by="ann"))
    for _ in range(4):
        _arrives(told)
    return told


def a_screen_that_looks_busy() -> Told:
    """Bob's prompt is not recognised, so its screen is taken for that of a busy program."""
    told = _morning(Policy())
    become(told, "bob", "blocked", "busy")
    for number in range(1, 4):
        told.sent(message("bob", f"question {number}", sender="ann"))
        told.wait(10 * MINUTE_MS)
        told.sent(message("amy", f"bob does not answer ({number})", sender="ann"))
        _arrives(told, "amy")
        told.wait(30 * MINUTE_MS)
    return told


def messages_that_may_not_come_late() -> Told:
    """Two have a minute to live; the second comes while bob's terminal is taken."""
    told = _morning(Policy())
    told.sent(message("bob", "the build is green", sender="ann", ttl_ms=MINUTE_MS))
    _arrives(told)
    told.wait(MINUTE_MS)
    told.sent(message("bob", "have a look at it", sender="amy"))
    told.wait(20)
    told.sent(message("bob", "deploy now", sender="ann", ttl_ms=MINUTE_MS))
    told.wait(400)
    _arrives(told)
    told.sent(message("bob", "are you done?", sender="ann"))
    _arrives(told)
    return told


BUGS = {
    "queue": Bug(
        "broker/core/standing_rules.py",
        "delivery = agent.queue.least()",
        "delivery = list(agent.queue)[-1]",
        too_much_for_a_queue,
    ),
    "hold": Bug(
        "broker/core/reporting.py",
        '{"busy", "not_ready", "input_not_empty", "canonical_limit"}',
        '{"not_ready", "input_not_empty", "canonical_limit"}',
        a_screen_that_looks_busy,
    ),
    "time": Bug(
        "broker/core/sending.py",
        "at + command.ttl_ms * 1_000,",
        "at + command.ttl_ms,",
        messages_that_may_not_come_late,
    ),
}


def record(name: str, directory: Path, *, planted: bool = True) -> None:
    """The journal of that day. `planted` False: by the same copy with no line of it wrong."""
    with tempfile.TemporaryDirectory(prefix="ackbook-planted-") as copied:
        copy = Path(copied)
        shutil.copytree(ROOT / "tests", copy / "tests", ignore=UNUSED)
        shutil.copytree(ROOT / "tools" / "package", copy / "ackbook", ignore=UNUSED)
        for layer in LAYERS:
            shutil.copytree(ROOT / layer, copy / "ackbook" / layer, ignore=UNUSED)
        if planted:
            BUGS[name].plant(copy / "ackbook")
        here = (sys.executable, "-m", "tests.decisions.planted", "--here", directory, name)
        subprocess.run(here, cwd=copy, check=True)


def _morning(policy: Policy) -> Told:
    """Bob and amy, and a message for each that arrives."""
    told = Told(policy)
    for name in ("bob", "amy"):
        spawn(told, name)
        told.sent(message(name, "good morning", sender="ann"))
        _arrives(told, name)
    told.wait(5 * MINUTE_MS)
    return told


def _evening(told: Told) -> None:
    """An hour later amy gets the last word."""
    told.wait(60 * MINUTE_MS)
    told.sent(message("amy", "good night", sender="ann"))
    _arrives(told, "amy")


def _arrives(told: Told, name: str = "bob") -> None:
    """What is being typed for this agent is seen and submitted a little later."""
    (effect,) = (each for each in told.typed() if each.agent == name)
    told.wait(40)
    told.ask(report_of(effect))
    told.wait(80)
    deliver(told, effect)
    told.wait(200)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.decisions.planted", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BUGS)}; all")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    directory = given.directory.absolute()
    if given.here:
        assert Path(decide.__file__).is_relative_to(Path.cwd()), "the copy decides"
        (name,) = given.names
        told = BUGS[name].day()
        _evening(told)
        write_journal(directory, told)
        return
    for name in given.names or BUGS:
        record(name, directory / name)
        print(f"recorded {given.directory / name}")


if __name__ == "__main__":
    main()
