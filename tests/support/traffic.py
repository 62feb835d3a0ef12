"""Days of traffic in a minute: `python -m tests.support.traffic DIR [--messages 100000]` makes the
journal that a busy broker would have left, through the real rules and the real log.

The clock is simulated and the holders are faulty, so that in a long day everything happens that can
happen to a message. Senders, operators and mishaps come as chance has it, and the same seed makes
the same day. Only syncs are spared: many decisions share one.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from ackbook.broker.core.commands import (
    Accepted,
    AnyCommand,
    Cancel,
    Flush,
    Redeliver,
    Release,
    Send,
    Sent,
    SetMode,
    StartBroker,
    StopBroker,
    Tick,
    Verdict,
)
from ackbook.broker.core.decide import carry_out, room_needed
from ackbook.broker.core.effects import Start, Type
from ackbook.broker.core.plan import plan_for
from ackbook.journal import Draft, Log, open_log
from ackbook.projections.codec import encode, kind_of
from ackbook.projections.facts import DeliveryMode, Policy
from ackbook.projections.world.fold import World, key_of, next_deadline
from tests.support.faulty import MINUTE_S, SECOND_US, FaultyHolder
from tests.support.recorded import ToldClock

HOUR_S = 3_600.0
BATCH_DECISIONS = 256
CHANNELS = ("dev", "ops")
NAMES = ("amy", "bob", "cid", "dot", "eve", "fay", "gus", "hal")
SENDERS = ("human", "ann", "zoe", *NAMES)
WORDS = (
    "please look at the failing test of the parser find its cause and say what you found".split()
)


class Traffic:
    """One broker, its agents, and all who want something of them. `close` it."""

    def __init__(self, directory: Path, seed: int = 1, policy: Policy | None = None) -> None:
        self.chance = Random(seed)
        self.world = World()
        self._directory = directory
        self._policy = policy or Policy()
        self._clock = ToldClock()
        self._log = self._open()
        self._decisions = 0
        self._number = itertools.count()
        self._events: list[tuple[int, int, Callable[[], object]]] = []
        self._holders: dict[str, FaultyHolder] = {}
        self._start()
        for place, name in enumerate(NAMES):
            holder = FaultyHolder(self, name, CHANNELS[: place % 3], restarts=place % 2 == 0)
            self._holders[name] = holder
            holder.spawn(1)

    def run(self, messages: int, hours: float) -> None:
        """So many messages in so many hours, and whatever else befalls the agents in that time."""
        for _ in range(messages):
            self._at_some_time(hours, self._send)
        for holder in self._holders.values():
            for action, a_day in (
                (holder.is_in_the_way, 100.0),
                (partial(self._hold, holder), 8.0),
                (partial(self._break, holder), 4.0),
                (partial(self._crash, holder), 12.0),
                (partial(self._release, holder), 1.0),
            ):
                self._some_times(hours, a_day, action)
        self._some_times(hours, 48.0, self._redeliver)
        self._some_times(hours, 4.0, self._lose_the_broker)
        end = self._clock.at + int(hours * HOUR_S * SECOND_US)
        while self._events:
            self._step(end)

    def close(self) -> None:
        """The broker ends as it should; the agents live on."""
        self.do(StopBroker(reason="down", agents_kept=True))
        self._log.commit()
        self._log.close()

    # --- what holders may ask of it

    def do(self, command: AnyCommand) -> Verdict:
        """Carry out one command, and begin what the world then owes."""
        self._make_room(command)
        at = self._clock.at
        outcome = carry_out(self.world, command, at)
        if outcome.entries:
            drafts = [
                Draft(kind_of(e), encode(e.fact), bytes(e.by) or None, e.cause)  # type: ignore[arg-type]
                for e in outcome.entries
            ]
            self._log.stage(drafts, at, expect=outcome.entries[0].seq)
        for effect in plan_for(self.world, sorted(outcome.touched)):
            holder = self._holders[key_of(effect.agent)]
            if isinstance(effect, Type):
                holder.type(effect)
            elif isinstance(effect, Start) and not holder.alive:
                again = partial(self._start_again, holder, effect)
                self.later((effect.due_at - at) / SECOND_US, again)
        return outcome.verdict

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        at = self._clock.at + int(seconds * SECOND_US)
        heapq.heappush(self._events, (at, next(self._number), action))

    # --- time and journal

    def _step(self, end: int) -> None:
        """The next thing that happens; behind the end nothing new does."""
        at, _, action = self._events[0]
        due = next_deadline(self.world)
        if due is not None and due <= min(at, end):
            self._clock.at = max(self._clock.at, due)
            before = self.world.seq
            self.do(Tick())
            assert self.world.seq > before, "a deadline was due and nothing followed from it"
            return
        heapq.heappop(self._events)
        if at <= end:
            self._clock.at = max(self._clock.at, at)
            action()

    def _make_room(self, command: AnyCommand) -> None:
        size, _ = room_needed(self.world, command)
        self._decisions += 1
        if self._decisions % BATCH_DECISIONS == 0 or not self._log.secure(size, reserve=True):
            self._log.commit()
            assert self._log.secure(size, reserve=True)
        if not self._log.staged:
            self.world.seq = self._log.next_seq - 1

    def _open(self) -> Log:
        return open_log(self._directory, clock=self._clock, version="traffic", new_id="7aff1c")

    def _start(self) -> None:
        epoch = self._log.epoch
        self.do(StartBroker(epoch=epoch, pid=epoch, version="0", instance="", policy=self._policy))

    def _some_times(self, hours: float, a_day: float, action: Callable[[], object]) -> None:
        for _ in range(max(1, round(a_day * hours / 24))):
            self._at_some_time(hours, action)

    def _at_some_time(self, hours: float, action: Callable[[], object]) -> None:
        self.later(self.chance.uniform(1, hours * HOUR_S), action)

    # --- who wants something, and what befalls them

    def _send(self) -> None:
        chance = self.chance
        to = f"#{chance.choice(CHANNELS)}" if chance.random() < 0.03 else chance.choice(NAMES)
        command = Send(
            sender=chance.choice(SENDERS),
            target=to if chance.random() < 0.998 else "nobody",
            body=" ".join(chance.choices(WORDS, k=chance.randint(3, 60))),
            priority=chance.choice((0, 1, 4)) if chance.random() < 0.1 else None,
            ttl_ms=chance.randint(2_000, 900_000) if chance.random() < 0.1 else None,
            key=f"k{chance.randrange(10_000)}" if chance.random() < 0.02 else None,
        )
        verdict = self.do(command)
        if isinstance(verdict, Accepted) and chance.random() < 0.01:
            assert isinstance(verdict.answer, Sent)
            self.later(chance.uniform(0, 60), partial(self._cancel, verdict.answer.event_id))

    def _cancel(self, event_id: str) -> None:
        self.do(Cancel(id=event_id, by="zoe"))

    def _hold(self, holder: FaultyHolder) -> None:
        """An operator keeps messages back for a while."""
        self._mode(holder, "manual_flush")
        self.later(self.chance.uniform(1, 20) * MINUTE_S, lambda: self.do(Flush(name=holder.name)))
        minutes = self.chance.uniform(20, 70)
        self.later(minutes * MINUTE_S, partial(self._mode, holder, "auto_inject"))

    def _mode(self, holder: FaultyHolder, mode: DeliveryMode) -> None:
        self.do(SetMode(name=holder.name, mode=mode, by=self.chance.choice(("", "ann", "zoe"))))

    def _break(self, holder: FaultyHolder) -> None:
        """For a while its terminal takes nothing."""
        holder.broken = True
        self.later(self.chance.uniform(2, 15) * MINUTE_S, partial(_mend, holder))

    def _crash(self, holder: FaultyHolder) -> None:
        """Some programs are started again at once, others when somebody sees it."""
        holder.end(code=self.chance.choice((0, 1, 1)))
        self.later(self.chance.uniform(1, 45) * MINUTE_S, partial(self._spawn, holder))

    def _release(self, holder: FaultyHolder) -> None:
        if self.world.agent(holder.name) is not None:
            self.do(Release(name=holder.name, reason="no longer needed"))
            holder.end()
            self.later(5 * MINUTE_S, partial(self._spawn, holder))

    def _spawn(self, holder: FaultyHolder) -> None:
        agent = self.world.agent(holder.name)
        if not holder.alive and (agent is None or agent.state == "gone"):
            holder.spawn(self.world.generations[key_of(holder.name)] + 1)

    def _start_again(self, holder: FaultyHolder, start: Start) -> None:
        agent = self.world.agent(holder.name)
        if agent is not None and agent.state == "restarting" and not holder.alive:
            holder.spawn(start.generation, start.restart_count)

    def _redeliver(self) -> None:
        self.do(Redeliver(ids=tuple(itertools.islice(self.world.dead_letters, 3))))

    def _lose_the_broker(self) -> None:
        """It ends without a word, and another one begins on what it left."""
        self._log.commit()
        self._log.close()
        self._clock.at += 20 * SECOND_US
        self._log = self._open()
        for holder in self._holders.values():
            holder.lost_its_broker()
            self.later(self.chance.uniform(0.1, 1), holder.adopt)
        self._start()


def _mend(holder: FaultyHolder) -> None:
    holder.broken = False


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.support.traffic", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--hours", type=float, help="in which they come; default: 4,000 an hour")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begun = time.monotonic()
    traffic = Traffic(given.directory, given.seed)
    traffic.run(given.messages, given.hours or given.messages / 4_000)
    traffic.close()
    print(f"{traffic.world.seq:,} records in {time.monotonic() - begun:.0f} s")
    for outcome, count in sorted(traffic.world.counts.items()):
        print(f"{count:>9,}  {outcome}")


if __name__ == "__main__":
    main()
