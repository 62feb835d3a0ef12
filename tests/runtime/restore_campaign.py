"""Puts copies of the journal back under agents that live on, and counts what that broke.

`python -m tests.runtime.restore_campaign --rounds 100 [--seed N] [--fresh-every N]`

A round: two agents, and senders that send while a copy of the journal is made, in one of three ways
(`backup`, a plain copy of the files as they lie there, what `salvage` saves of such a copy). They
go on for a while; then the broker is killed, and the copy takes the place of its journal. A broker
is started, more is sent, and everything is delivered.

Checked against the transcripts of the programs, which lived all the time: nothing is typed twice;
what was acknowledged before the copy was made, or after it was put back, is typed once; what is
said to have been seen was typed; no id is given twice; every program is the one that it was. What
was acknowledged in between is not in the journal any more, as whoever put it back wanted: it may
have been typed, once. Exit code 1 on any violation.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ackbook.journal import backup, salvage, verify
from tests.runtime.campaign import AGENTS, Sender
from tests.support.brokers import QUICK, Running, running
from tests.support.holders import chat, transcript

MESSAGES = 8
"""Of each sender before the copy, after it, and after that was put back."""

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


WAYS: tuple[Callable[[Path, Path], None], ...] = (by_backup, by_copying, by_salvage)


class RestoreCampaign:
    """Counts over all rounds. `violations` is what must stay empty."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self._sent = 0
        self._given: dict[str, str] = {}

    def run(self, rounds: int, fresh_every: int) -> None:
        """All rounds, with a new directory and new programs every so often."""
        done = 0
        while done < rounds:
            count = min(fresh_every, rounds - done)
            with running(QUICK) as broker:
                kept = {name: broker.directory / f"kept-{name}" for name in AGENTS}
                pids = {name: broker.spawn(name, *chat(kept[name]))["pid"] for name in AGENTS}
                self._given = {}
                for number in range(done, done + count):
                    self._round(broker, kept, pids, number)
            done += count

    def _round(
        self, broker: Running, kept: dict[str, Path], pids: dict[str, int], number: int
    ) -> None:
        way = WAYS[number % len(WAYS)]
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
        broker.kill()
        for sender in between:
            sender.wait()
        shutil.rmtree(journal)
        copy.rename(journal)
        broker.start()
        after = self._send(broker)
        for sender in after:
            sender.wait()
        broker.settled()
        self.counts[way.__name__] += 1
        certain = {
            name: {*sure[place], *after[place].acknowledged} for place, name in enumerate(AGENTS)
        }
        self._check(broker, kept, pids, certain, f"round {number} ({way.__name__})")

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
            found = (re.search(r"message (\d+) for", text) for text in transcript(kept[name]))
            typed = Counter(int(match[1]) for match in found if match is not None)
            if twice := sorted(each for each, times in typed.items() if times > 1):
                self._violated("typed twice", f"{where}, {name}: {twice}")
            if missing := certain[name] - set(typed):
                self._violated("lost", f"{where}, {name}: {sorted(missing)}")
            if claimed := self._claimed(broker, name) - set(typed):
                self._violated("said and never typed", f"{where}, {name}: {sorted(claimed)}")
            row = broker.agent(name)
            if (row["pid"], row["state"]) != (pids[name], "ready"):
                self._violated("agents lost", f"{where}: {row}")
        if again := self._given_twice(broker):
            self._violated("an id given twice", f"{where}: {again}")
        if not broker.verified():
            self._violated("not verified", where)

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

    def _violated(self, what: str, detail: str) -> None:
        self.counts[what] += 1
        self.violations.append(f"{what}: {detail}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fresh-every", type=int, default=10)
    given = parser.parse_args()
    campaign = RestoreCampaign(given.seed)
    campaign.run(given.rounds, given.fresh_every)
    for violation in campaign.violations:
        print(violation, file=sys.stderr)
    broken = "typed twice", "lost", "said and never typed", "an id given twice"
    for what in (*(way.__name__ for way in WAYS), *broken, "agents lost", "not verified"):
        print(f"{what:>24} {campaign.counts[what]}")
    return 1 if campaign.violations else 0


if __name__ == "__main__":
    sys.exit(main())
