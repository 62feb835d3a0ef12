"""Puts copies of the journal back under agents that live on, and counts what that broke.

`python -m tests.runtime.restore_campaign --rounds 100 [--seed N] [--fresh-every N]`

A round: two agents, and senders that send while a copy of the journal is made, in one of three ways
(`backup`, a plain copy of the files as they lie there, what `salvage` saves of such a copy). They
go on for a while; then something befalls the journal: the broker is killed and the copy takes its
place; the copy takes its place under the broker that writes it; the directory is moved away, and
back once the broker has ended; LOCK is removed. A broker is started, more is sent, and everything
is delivered.

Checked against the transcripts of the programs, which lived all the time: nothing is typed twice;
what was acknowledged before the copy was made, or after it was put back, is typed once; what is
said to have been seen was typed; no id is given twice; every program is the one that it was. Where
the copy was put back, what was acknowledged in between is not in the journal any more, as whoever
put it back wanted: it may have been typed, once. Exit code 1 on any violation.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ackbook.broker.exit_codes import ExitCode
from ackbook.journal import backup, salvage, verify
from tests.runtime.campaign import AGENTS, Sender, Tally, typed_numbers
from tests.support.brokers import QUICK, Running, running
from tests.support.holders import chat

MESSAGES = 8
"""Of each sender before the copy, after it, and after that was put back."""

DISPLACED = ExitCode.IO_ERROR
"""How a broker ends whose files are not any more what their names say."""

RUN_S = 0.4
"""About what that many messages take here."""


def by_backup(journal: Path, copy: Path) -> None:
    """As `ackbook backup` does it."""
    backup(journal, copy)


def by_copying(journal: Path, copy: Path) -> None:
    """As `cp -a` does it, beside a writer: the files of different moments. Where that is no whole
    journal, a start says so, and what can be proven of it is put back."""
    shutil.copytree(journal, copy)
    if not verify(copy).ok:
        torn = copy.with_name("torn")
        copy.rename(torn)
        salvage(torn, copy)
        shutil.rmtree(torn)


def by_salvage(journal: Path, copy: Path) -> None:
    """What can be proven of such a copy."""
    taken = copy.with_name("taken")
    shutil.copytree(journal, taken)
    salvage(taken, copy)
    shutil.rmtree(taken)


COPIES: tuple[Callable[[Path, Path], None], ...] = (by_backup, by_copying, by_salvage)


def put_back_after_a_kill(broker: Running, copy: Path) -> None:
    """The broker is killed, and the copy takes the place of its journal."""
    broker.kill()
    shutil.rmtree(broker.directory / "journal")
    copy.rename(broker.directory / "journal")


def put_back_under_the_broker(broker: Running, copy: Path) -> None:
    """The copy takes the place of the journal while the broker writes it."""
    (broker.directory / "journal").rename(broker.directory / "swapped")
    copy.rename(broker.directory / "journal")
    _ends_by_itself(broker)
    shutil.rmtree(broker.directory / "swapped")


def move_the_directory(broker: Running, copy: Path) -> None:
    """Another directory takes the place of the broker's, which comes back later."""
    shutil.rmtree(copy)
    elsewhere = broker.directory.with_name("elsewhere")
    broker.directory.rename(elsewhere)
    broker.directory.mkdir(mode=0o700)
    _ends_by_itself(broker)
    broker.directory.rmdir()
    elsewhere.rename(broker.directory)


def remove_the_lock(broker: Running, copy: Path) -> None:
    """LOCK is removed, so that others could believe that nobody writes there."""
    shutil.rmtree(copy)
    (broker.directory / "journal" / "LOCK").unlink()
    _ends_by_itself(broker)


def _ends_by_itself(broker: Running) -> None:
    code = broker.wait()
    assert code == DISPLACED, f"a displaced broker ended with {code}"


class Mishap(NamedTuple):
    """What befalls the journal; `keeps`: nothing that was acknowledged may be missing then."""

    befall: Callable[[Running, Path], None]
    keeps: bool = False


MISHAPS = (
    *(Mishap(put_back_after_a_kill),) * 2,
    Mishap(put_back_under_the_broker),
    Mishap(move_the_directory, keeps=True),
    Mishap(remove_the_lock, keeps=True),
)


class RestoreCampaign(Tally):
    """All rounds of copies that are put back."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self._sent = 0
        self._given: dict[str, str] = {}

    def run(self, rounds: int, fresh_every: int) -> None:
        """All rounds, with a new directory and new programs every so often."""
        done = 0
        while done < rounds:
            count = min(fresh_every, rounds - done)
            with running(QUICK) as broker, tempfile.TemporaryDirectory() as apart:
                kept = {name: Path(apart) / f"kept-{name}" for name in AGENTS}
                pids = {name: broker.spawn(name, *chat(kept[name]))["pid"] for name in AGENTS}
                self._given = {}
                for number in range(done, done + count):
                    self._round(broker, kept, pids, number)
            done += count

    def _round(
        self, broker: Running, kept: dict[str, Path], pids: dict[str, int], number: int
    ) -> None:
        way, mishap = COPIES[number % len(COPIES)], MISHAPS[number % len(MISHAPS)]
        journal, copy = broker.directory / "journal", broker.directory / "copy"
        before = self._send(broker)
        time.sleep(self.random.uniform(0, RUN_S))
        sure = [tuple(sender.acknowledged) for sender in before]
        way(journal, copy)
        for sender in before:
            sender.wait()
        between = self._send(broker)
        time.sleep(self.random.uniform(0, RUN_S))
        self._given_twice(broker)
        mishap.befall(broker, copy)
        for sender in between:
            sender.wait()
        broker.start()
        after = self._send(broker)
        for sender in after:
            sender.wait()
        broker.settled()
        names = way.__name__, mishap.befall.__name__
        self.counts.update(names)
        certain = {name: {*sure[place]} for place, name in enumerate(AGENTS)}
        for senders in (after, *((before, between) if mishap.keeps else ())):
            for name, sender in zip(AGENTS, senders, strict=True):
                certain[name] |= {*sender.acknowledged}
        self._check(broker, kept, pids, certain, f"round {number} ({', '.join(names)})")

    def _send(self, broker: Running) -> list[Sender]:
        numbers = range(self._sent, self._sent + MESSAGES)
        self._sent += MESSAGES
        senders = [Sender(name, numbers) for name in AGENTS]
        for sender in senders:
            sender.go(broker)
        return senders

    def _given_twice(self, broker: Running) -> list[str]:
        """The ids that name another message now than they did once; all others are remembered."""
        bodies = {data["event_id"]: data["body"] for data in broker.kinds("message.enqueued")}
        twice = [each for each in bodies if self._given.get(each, bodies[each]) != bodies[each]]
        self._given |= bodies
        return twice

    def _check(
        self,
        broker: Running,
        kept: dict[str, Path],
        pids: dict[str, int],
        certain: dict[str, set[int]],
        where: str,
    ) -> None:
        for name in AGENTS:
            typed = Counter(typed_numbers(kept[name]))
            if twice := sorted(each for each, times in typed.items() if times > 1):
                self.violated("typed twice", f"{where}, {name}: {twice}")
            if missing := certain[name] - set(typed):
                self.violated("lost", f"{where}, {name}: {sorted(missing)}")
            if claimed := self._claimed(broker, name) - set(typed):
                self.violated("said and never typed", f"{where}, {name}: {sorted(claimed)}")
            row = broker.agent(name)
            if (row["pid"], row["state"]) != (pids[name], "ready"):
                self.violated("agents lost", f"{where}: {row}")
        if again := self._given_twice(broker):
            self.violated("an id given twice", f"{where}: {again}")
        if not broker.verified():
            self.violated("not verified", where)

    def _claimed(self, broker: Running, name: str) -> set[int]:
        """The messages of which the journal says that their text was seen."""
        numbers: dict[str, int] = {}
        for data in broker.kinds("message.enqueued"):
            match = re.search(r"message (\d+) for", data["body"])
            for each in data["deliveries"]:
                if match is not None and each["agent"] == name:
                    numbers[each["delivery_id"]] = int(match[1])
        acked = broker.kinds("delivery.acked")
        seen = {data["delivery_id"] for data in acked if data["verification"] == "echo"}
        return {number for delivery, number in numbers.items() if delivery in seen}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fresh-every", type=int, default=10)
    given = parser.parse_args()
    campaign = RestoreCampaign(given.seed)
    campaign.run(given.rounds, given.fresh_every)
    ways = [each.__name__ for each in COPIES]
    ways += dict.fromkeys(each.befall.__name__ for each in MISHAPS)
    broken = "typed twice", "lost", "said and never typed", "an id given twice"
    return campaign.told((*ways, *broken, "agents lost", "not verified"))


if __name__ == "__main__":
    sys.exit(main())
