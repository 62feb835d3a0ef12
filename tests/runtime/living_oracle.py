"""What a broker promises while its journal is put back, copied and salvaged under living holders.

- no text is typed twice into one terminal;
- what a record says was typed stands in that terminal;
- no id names two messages, in none of the histories of one journal, where anybody could know;
- another history begins where holders know of one, and nowhere else;
- a holder obeys nobody while the broker that it obeys runs;
- a program that lives is neither said to have ended, nor ended by whom no record of it allows to;
- what was accepted is there, and was typed, or waits or ended for a reason that has a name;
- the world is what its records say.

`Oracle` looks at every record as it becomes durable, and at everything when all is calm. What is
done to the journal stands in `living_story`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from ackbook.broker.history.whole_blocks import whole_blocks
from ackbook.broker.runtime.agents.holders import Holders
from ackbook.journal import Log
from ackbook.projections.codec import Entry
from ackbook.projections.facts import (
    AgentExited,
    AgentSpawned,
    BrokerStarted,
    DeliveryAcked,
    DeliveryDeadLettered,
    MessageEnqueued,
)
from ackbook.projections.ids import lineage_of, position_in
from ackbook.projections.world.fold import World, fold_all, key_of
from tests.support.disk import SimulatedDisk
from tests.support.living_broker import JOURNAL
from tests.support.living_holder import LivingHolder
from tests.support.simulated import dump

Breach = Literal[
    "typed_twice",
    "made_up",
    "id_twice",
    "no_history",
    "needless_history",
    "two_brokers",
    "said_to_have_ended",
    "ended_by_another",
    "lost",
    "stuck",
    "replay_differs",
]


class Broken(AssertionError):
    """A promise does not hold."""

    def __init__(self, kind: Breach, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


class Told:
    """What the records of the journal in one place say; made anew at each start. `excused`: ids of
    this history may be those of another one, since nobody was left who could know."""

    def __init__(self) -> None:
        self.bodies: dict[str, str] = {}
        self.events: dict[str, str] = {}
        self.files: dict[tuple[str, int], str] = {}
        self.dead: Counter[str] = Counter()

    def take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            match entry.fact:
                case MessageEnqueued() as message:
                    self.events[message.event_id] = message.body
                    for each in message.deliveries:
                        self.bodies[each.delivery_id] = message.body
                case AgentSpawned() as program:
                    self.files[key_of(program.name), program.generation] = program.holder
                case DeliveryDeadLettered() as dead:
                    self.dead[dead.reason] += 1
                case _:
                    pass


class Oracle:
    """It knows every holder that there ever was, and what ids were given."""

    def __init__(self) -> None:
        self.holders: dict[str, LivingHolder] = {}
        self.tally: Counter[str] = Counter()
        self.breaches: list[Broken] = []
        self._given: dict[str, str] = {}

    def breach(self, kind: Breach, what: str) -> None:
        """Noted where it cannot be raised; the story looks after each step."""
        self.breaches.append(Broken(kind, what))

    def check_terminals(self) -> None:
        """No text stands twice in one terminal."""
        for holder in self.holders.values():
            twice = [b for b, n in Counter(each.body for each in holder.terminal).items() if n > 1]
            if twice:
                self.breach("typed_twice", f"{holder.file}: {twice} of {holder.terminal}")

    def check_entries(self, told: Told, world: World, entries: Sequence[Entry], sure: bool) -> None:
        """These became durable. `sure`: ids of this history are its own."""
        told.take(entries)
        for entry in entries:
            match entry.fact:
                case MessageEnqueued() as message if sure:
                    if self._given.setdefault(message.event_id, message.body) != message.body:
                        self.breach("id_twice", f"{message.event_id} is {message.body}, too")
                case DeliveryAcked() as acked:
                    self.tally[f"acked_{acked.verification}"] += 1
                    self._check_typed(told, acked)
                case AgentExited() as exited:
                    self.tally[f"exited_{exited.reason}"] += 1
                    self._check_exit(told, world, exited)
                case DeliveryDeadLettered() as dead:
                    self.tally[f"dead_{dead.reason}"] += 1
                case _:
                    pass

    def _check_typed(self, told: Told, acked: DeliveryAcked) -> None:
        body = told.bodies[acked.delivery_id]
        holder = self.holders[told.files[key_of(acked.agent), acked.generation]]
        if not any(each.body == body for each in holder.terminal):
            what = f"{acked.delivery_id} ({body}) is {acked.verification} in {holder.file}"
            self.breach("made_up", f"{what}, which has {holder.terminal}")

    def _check_exit(self, told: Told, world: World, exited: AgentExited) -> None:
        """Of an agent that was let go, nothing more is claimed than that nobody looks after it."""
        if exited.reason not in ("ended_with_broker", "holder_lost"):
            return
        holder = self.holders[told.files[key_of(exited.name), exited.generation]]
        if holder.lives and world.generation(exited.name, exited.generation) is not None:
            self.breach("said_to_have_ended", f"{holder.file} lives, and is {exited.reason}")

    def knows_more(self, world: World, epoch: int, me: int) -> list[LivingHolder]:
        """Holders that could say of this journal, which was replayed now, that it was put back."""
        return [
            holder
            for holder in self.holders.values()
            if holder.process.alive
            and not holder.process.stopped
            and not holder.is_kept_from(me)
            and (
                holder.epoch_seen >= epoch
                or (holder.lineages == world.lineages and _has_lost(world, holder))
            )
        ]

    def check_start(
        self, fact: BrokerStarted, own: str, witnesses: Iterable[LivingHolder], was_put_back: bool
    ) -> None:
        """Whether another history begins: `own`, by the journal's own files, or by what holders
        say. `was_put_back`: so it may."""
        knowing = [each for each in witnesses if each.process.alive and not each.process.stopped]
        if knowing and not (own or fact.lineage):
            self.breach("no_history", f"{[each.file for each in knowing]} know more")
        if fact.lineage and not was_put_back:
            self.breach("needless_history", fact.because)

    def check_end_order(self, told: Told, holder: LivingHolder) -> None:
        """A broker ends this holder."""
        if holder.lives and holder.is_named and holder.file not in told.files.values():
            self.breach("ended_by_another", f"{holder.file} is ended; no record names it")

    def check_calm(self, told: Told, world: World, holders: Holders, accepted: list[str]) -> None:
        """Everything has been waited for, and every terminal takes what comes."""
        world.check()
        if lost := [each for each in accepted if each not in told.events]:
            self.breach("lost", f"{lost} were accepted")
        for agent in world.agents.values():
            session = holders.session(agent.name)
            holder = self.holders[agent.spawned.holder]
            waits = len(agent.queue) + (agent.flowing is not None)
            state = agent.state
            if session is not None and session.refused:
                self.tally["agents_elsewhere"] += 1
                if state != "unknown":
                    self.breach("stuck", f"{agent.name} is {state}: {session.refused}")
            elif holder.lives and state != "ready":
                self.breach("stuck", f"{holder.file} lives, and {agent.name} is {state}")
            elif holder.lives and waits:
                self.breach("stuck", f"{waits} wait for {agent.name} for no reason")
            elif waits and state != "gone":
                self.breach("stuck", f"{waits} wait for {agent.name}, who is {state}")

    def check_replay(self, world: World, log: Log, disk: SimulatedDisk) -> None:
        """The world is what its records say."""
        again = World()
        for _, entries in whole_blocks(JOURNAL, 0, log.head.seq, files=disk):
            fold_all(again, entries)
        again.seq = world.seq = max(again.seq, world.seq)
        if dump(again) != dump(world):
            self.breach("replay_differs", f"at {world.seq}")


def _has_lost(world: World, holder: LivingHolder) -> bool:
    """Whether it typed what this journal cannot name."""
    known = {"", *world.lineages}
    return any(
        position_in(each.delivery_id) > world.seq or lineage_of(each.delivery_id) not in known
        for each in holder.terminal
    )
