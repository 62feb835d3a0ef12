"""Kills brokers with SIGKILL at random moments, and counts what that broke: nothing, each time.

`python -m tests.runtime.campaign --rounds 200 [--seed N] [--fresh-every N]`

A round: two agents, 20 messages for each from a sender of its own, and a SIGKILL somewhere in
between. Of three rounds one asks for a compaction at that moment, and in another one the next
broker is killed, too, while it starts or adopts. Then a broker is started, the senders go on where
they were (a message without an answer is sent again with its idempotency key), and everything is
delivered. Checked against the transcripts that the programs keep: no acknowledged message lost,
none typed twice into a terminal that lived on, all in order, no dead letter, every record from the
first one on, `verify` clean. Exit code 1 on any violation.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import httpx

from tests.support.brokers import QUICK, Running, running
from tests.support.holders import DEADLINE_S, chat, transcript

AGENTS = ("ann", "bob")
MESSAGES = 20

RUN_S = 0.8
"""About what 20 messages to each of two agents take here: kills fall on all of it."""

COMPACTION_S = 0.8
"""About what a compaction takes here: sealing, two snapshots, an archive."""

START_S = 0.6
"""About what a start takes, adoption included."""


class Sender:
    """Sends numbered messages to one agent, in order, each until it is acknowledged."""

    def __init__(self, name: str, numbers: range) -> None:
        self.name = name
        self.acknowledged: list[int] = []
        self._left = list(numbers)
        self._thread: threading.Thread | None = None

    def go(self, broker: Running) -> None:
        """Send what is left until all is acknowledged or the broker is gone."""
        url, headers = broker.http.base_url, broker.http.headers
        self._thread = threading.Thread(target=self._send, args=(url, headers))
        self._thread.start()

    def wait(self) -> None:
        """Until it has stopped sending."""
        assert self._thread is not None
        self._thread.join()

    def _send(self, url: httpx.URL, headers: httpx.Headers) -> None:
        with httpx.Client(base_url=url, headers=headers, timeout=DEADLINE_S) as http:
            while self._left:
                number = self._left[0]
                lines = "\nand a second line" if number % 5 == 0 else ""
                body = {
                    "to": self.name,
                    "text": f"message {number} for {self.name}{lines}",
                    "idempotency_key": f"{self.name} {number}",
                }
                try:
                    answer = http.post("/api/send", json=body)
                except httpx.TransportError:
                    return
                if answer.status_code >= 500:
                    return  # the broker ends, and nobody knows what became of this one
                assert answer.status_code == 200, answer.text
                self.acknowledged.append(self._left.pop(0))


class Tally:
    """Counts over all rounds. `violations` is what must stay empty."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []

    def violated(self, what: str, detail: str) -> None:
        """A promise did not hold."""
        self.counts[what] += 1
        self.violations.append(f"{what}: {detail}")

    def told(self, names: Iterable[str]) -> int:
        """Print these counts, and what was violated; the exit code."""
        for violation in self.violations:
            print(violation, file=sys.stderr)
        for name in names:
            print(f"{name:>28} {self.counts[name]}")
        return 1 if self.violations else 0


def typed_numbers(kept: Path) -> list[int]:
    """The numbers of the messages that a program read, in order."""
    found = (re.search(r"message (\d+) for", text) for text in transcript(kept))
    return [int(match[1]) for match in found if match is not None]


class Campaign(Tally):
    """All rounds of kills."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self._sent = 0

    def run(self, rounds: int, fresh_every: int) -> None:
        """All rounds, with a new directory and new programs every so often."""
        done = 0
        while done < rounds:
            count = min(fresh_every, rounds - done)
            with running(QUICK) as broker:
                kept = {name: broker.directory / f"kept-{name}" for name in AGENTS}
                pids = {name: broker.spawn(name, *chat(kept[name]))["pid"] for name in AGENTS}
                for number in range(done, done + count):
                    self._round(broker, kept, pids, number)
                if broker.stop() != 0 or not broker.verified():
                    self.violations.append(f"the end after round {number}")
            done += count

    def _round(
        self, broker: Running, kept: dict[str, Path], pids: dict[str, int], number: int
    ) -> None:
        begun = time.monotonic()
        numbers = range(self._sent, self._sent + MESSAGES)
        self._sent += MESSAGES
        senders = [Sender(name, numbers) for name in AGENTS]
        for sender in senders:
            sender.go(broker)
        time.sleep(self.random.uniform(0, RUN_S))
        if number % 3 == 1:
            broker.post("/api/compact")
            time.sleep(self.random.uniform(0, COMPACTION_S))
            self.counts["kills during a compaction"] += 1
        broker.kill()
        for sender in senders:
            sender.wait()
        self.counts["kills"] += 1
        self.counts["acknowledged before a kill"] += sum(len(s.acknowledged) for s in senders)
        if number % 3 == 2:
            broker.launch()
            time.sleep(self.random.uniform(0, START_S))
            broker.kill()
            self.counts["kills during a start"] += 1
        broker.start()
        for sender in senders:
            sender.go(broker)
        for sender in senders:
            sender.wait()
        broker.settled()
        self._check(broker, kept, pids, number, numbers)
        self.counts["rounds"] += 1
        self.counts["messages"] += MESSAGES * len(AGENTS)
        self.counts["milliseconds"] += int((time.monotonic() - begun) * 1_000)

    def _check(
        self,
        broker: Running,
        kept: dict[str, Path],
        pids: dict[str, int],
        number: int,
        numbers: range,
    ) -> None:
        for name in AGENTS:
            typed = typed_numbers(kept[name])
            mine = [each for each in typed if each in numbers]
            if missing := set(numbers) - set(mine):
                self.violated("lost", f"round {number}, {name}: {sorted(missing)}")
            if len(mine) != len(set(mine)):
                self.violated("doubled", f"round {number}, {name}: {mine}")
            if typed != sorted(typed):
                self.violated("out of order", f"round {number}, {name}: {mine}")
            if broker.agent(name)["pid"] != pids[name]:
                self.violated("agents lost", f"round {number}: {name}")
        if letters := broker.get("/api/dead-letters")["dead_letters"]:
            self.violated("dead letters", f"round {number}: {letters}")
        if not broker.verified():
            self.violated("not verified", f"round {number}")
        seqs = [record["seq"] for record in broker.records()]
        if seqs != list(range(1, len(seqs) + 1)):
            self.violated("not whole", f"round {number}: history has a hole")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fresh-every", type=int, default=50)
    given = parser.parse_args()
    campaign = Campaign(given.seed)
    campaign.run(given.rounds, given.fresh_every)
    done = "rounds", "messages", "kills", "kills during a compaction", "kills during a start"
    broken = "lost", "doubled", "out of order", "agents lost", "dead letters"
    code = campaign.told(
        (*done, "acknowledged before a kill", *broken, "not verified", "not whole")
    )
    seconds = campaign.counts["milliseconds"] / 1_000 / max(1, campaign.counts["rounds"])
    print(f"{'seconds a round':>28} {seconds:.2f}")
    return code


if __name__ == "__main__":
    sys.exit(main())
