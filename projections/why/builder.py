"""The timeline: why a message or a delivery is where it is, as a chain of causes and one sentence.

A `Teller` hears entries in order, each with the world before it, and keeps what concerns one id. It
need not hear all entries: those of the decisions that concern the id suffice, with a world that is
right for them, so a long past can be told without being folded whole. What the kept records name as
their causes is looked up when the story is told. `delivery_story` puts the deliveries into words.

Where records cannot be read, it hears of the hole, and from there on entries without a world until
one is known again: what was open is unknown, but for what the entries behind the hole say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from ackbook.projections.codec import Entry
from ackbook.projections.facts import (
    AgentReleased,
    BrokerStarted,
    DeliveryId,
    DeliveryRedelivered,
    MessageEnqueued,
    MessageRefused,
    Ref,
)
from ackbook.projections.gaps import Hole, Remembered, nothing_remembered
from ackbook.projections.ids import position_in
from ackbook.projections.subjects import agents_of, ids_of
from ackbook.projections.why.delivery_story import Course, fate_of
from ackbook.projections.why.partial_state import UNKNOWN, PartialState
from ackbook.projections.why.story import Story, story_of, story_of_refused
from ackbook.projections.why.wait_cause import Wait, wait_of
from ackbook.projections.world.fold import fold
from ackbook.projections.world.state import World, key_of

Fetch = Callable[[Iterable[int]], Mapping[int, Entry]]
"""The entries at these seqs, as far as the journal still has them."""


def why(
    entries: Iterable[Entry],
    wanted: str,
    fetch: Fetch,
    world: World | None = None,
    remembered: Remembered = nothing_remembered,
) -> Story | None:
    """The story of a message or delivery, by its id; None where no entry names it.

    The entries are those of a journal, in order, up to the moment that is asked about; where seqs
    are missing there is a hole. `world` is the state before the first of them, and an empty one
    unless given.
    """
    world = World() if world is None else world
    teller, seq = Teller(wanted), world.seq
    now: World | None = world
    for entry in entries:
        if entry.seq != seq + 1:
            teller.miss(Hole(seq + 1, entry.seq - 1))
            now = teller.regain(remembered(entry.seq - 1))
        teller.hear(now, entry)
        seq = entry.seq
        if now is None:
            now = teller.regain(remembered(seq))
        else:
            fold(now, entry)
    return teller.tell(now, fetch)


class Teller:
    """Listens to entries, and remembers what concerns one id."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._own: dict[int, Entry] = {}
        self._courses: dict[DeliveryId, Course] = {}
        self._agents: set[str] = set()
        self._decision = 0
        self._waits: dict[str, Wait | None] = {}
        """What kept the queue of each agent when the decision at hand began."""
        self._holes: list[Hole] = []
        self._said = PartialState()
        """What was said since the last hole."""

    @property
    def is_open(self) -> bool:
        """Whether the story depends on the world as it is in the end."""
        return any(not course.settled for course in self._courses.values())

    def hear(self, world: World | None, entry: Entry) -> None:
        """Take in one entry. `world` is the one before it, None where it is not known; whoever
        calls this folds the entry then."""
        if not self._follows(entry):
            torn = world is None and not bytes(entry.by) and bool(entry.cause)
            self._decision = entry.cause[0] if torn else entry.seq
            self._waits.clear()
            if torn:  # What it began with is in the hole, and so is what kept the queues then.
                self._waits.update(dict.fromkeys(self._agents, UNKNOWN))
        if self._agents:
            self._look(world, entry)
        if world is None:
            self._said.hear(entry)
        if self._wanted in ids_of(entry.fact):
            self._own[entry.seq] = entry
            self._take(self._said if world is None else world, entry)

    def miss(self, hole: Hole) -> None:
        """These records cannot be read. No world is known behind them."""
        self._holes.append(hole)
        self._said = PartialState()
        for course in self._courses.values():
            course.miss(hole)

    def regain(self, world: World | None) -> World | None:
        """A world is known again, or still none: it says what lives, and how something ended."""
        if world is None:
            return None
        for delivery in world.deliveries.values():
            if self._wanted in (delivery.delivery_id, delivery.message.event_id):
                self._begun_unseen(delivery.delivery_id, delivery.agent)
        for settled in world.settled.values():
            if self._wanted in (settled.delivery_id, settled.event_id):
                self._begun_unseen(settled.delivery_id, settled.agent)
        for course in self._courses.values():
            course.regain(world)
        return world

    def tell(self, world: World | None, fetch: Fetch) -> Story | None:
        """The story up to `world`; None where nothing that was heard names the id."""
        if not self._own and not self._courses:
            return None
        sight: World | PartialState = self._said if world is None else world
        own = tuple(self._own.values())
        courses = tuple(self._courses.values())
        now = [_wait_now(sight, course) for course in courses]
        known = self._known(fetch, now)
        fates = [
            fate_of(course, sight, wait, known.get)
            for course, wait in zip(courses, now, strict=True)
        ]
        if own and isinstance(own[0].fact, MessageRefused):
            return story_of_refused(own, own[0].fact, known)
        if not fates:
            return None
        missing = {hole for course in courses for hole in course.holes_known}
        missing.update(self._holes_leant_on(known, now))
        return story_of(self._wanted, own, fates, known, sorted(missing, key=_first))

    def _follows(self, entry: Entry) -> bool:
        return not bytes(entry.by) and entry.cause[:1] == (self._decision,)

    def _look(self, world: World | None, entry: Entry) -> None:
        """See what keeps the queue of an agent of the story, before its decision changes that."""
        everyone = isinstance(entry.fact, BrokerStarted)
        for key in self._agents if everyone else map(key_of, agents_of(entry.fact) or ()):
            if key in self._agents and key not in self._waits:
                self._waits[key] = _wait(self._said if world is None else world, key, entry.at)

    def _take(self, sight: World | PartialState, entry: Entry) -> None:
        fact = entry.fact
        match fact:
            case MessageEnqueued():
                for recipient in fact.deliveries:
                    if self._wanted in (fact.event_id, recipient.delivery_id):
                        self._begin(sight, entry, recipient.delivery_id, recipient.agent)
            case AgentReleased():
                for ref in fact.dropped:
                    self._befall(sight, entry, ref)
            case Ref():
                self._befall(sight, entry, fact)
                if isinstance(fact, DeliveryRedelivered) and self._wanted != fact.delivery_id:
                    self._begin(sight, entry, fact.new_delivery_id, fact.agent)
            case _:
                pass

    def _begin(
        self, sight: World | PartialState, entry: Entry, delivery_id: DeliveryId, agent: str
    ) -> None:
        course = Course(
            delivery_id=delivery_id,
            agent=agent,
            joined=entry.seq,
            queued_at=entry.at,
            begun_epoch=sight.epoch,
            holes=self._holes[-1:] if isinstance(sight, PartialState) else [],
        )
        self._add(course)

    def _begun_unseen(self, delivery_id: DeliveryId, agent: str) -> None:
        """One whose beginning cannot be read; its id says where that was."""
        if delivery_id in self._courses:
            return
        self._waits.setdefault(key_of(agent), UNKNOWN)  # nobody looked when the decision began
        joined = position_in(delivery_id)
        holes = [hole for hole in self._holes if hole.last >= joined]
        self._add(
            Course(
                delivery_id=delivery_id,
                agent=agent,
                joined=joined,
                queued_at=None,
                typed="unknown",
                holes=holes,
                placed=False,
            )
        )

    def _add(self, course: Course) -> None:
        self._courses[course.delivery_id] = course
        self._agents.add(key_of(course.agent))

    def _befall(self, sight: World | PartialState, entry: Entry, ref: Ref) -> None:
        if self._holes and self._wanted in (ref.event_id, ref.delivery_id):
            self._begun_unseen(ref.delivery_id, ref.agent)
        course = self._courses.get(ref.delivery_id)
        if course is None:
            return
        unknown = UNKNOWN if isinstance(sight, PartialState) else None
        course.take(entry, self._waits.get(key_of(course.agent), unknown), sight)

    def _known(self, fetch: Fetch, now: Iterable[Wait | None]) -> dict[int, Entry]:
        """The records that the story may name: its own, their causes, and what began each wait."""
        known = dict(self._own)
        known.update(fetch(sorted(self._leant_on(known, now) - known.keys())))
        known.update(fetch(sorted(self._leant_on(known, now) - known.keys())))
        return known

    def _leant_on(self, known: Mapping[int, Entry], now: Iterable[Wait | None]) -> set[int]:
        """The records that these lean on: their causes, what is said to keep a queue, and what
        began that."""
        left = [ending.wait for course in self._courses.values() for ending in course.endings]
        said = {wait.seq for wait in (*now, *left) if wait is not None and wait.seq}
        causes = {seq for entry in self._own.values() for seq in entry.cause}
        begun = {seq for name in said if name in known for seq in known[name].cause}
        return said | causes | begun

    def _holes_leant_on(
        self, known: Mapping[int, Entry], now: Iterable[Wait | None]
    ) -> Iterator[Hole]:
        """The holes that hold a record which the story leans on."""
        lost = self._leant_on(known, now) - known.keys()
        return (hole for hole in self._holes if any(hole.first <= n <= hole.last for n in lost))


def _wait_now(sight: World | PartialState, course: Course) -> Wait | None:
    return None if course.settled else _wait(sight, key_of(course.agent), sight.at)


def _wait(sight: World | PartialState, key: str, at: int) -> Wait | None:
    """What keeps the queue of an agent, as far as that is known."""
    if isinstance(sight, PartialState):
        return sight.wait(key)
    agent = sight.agents.get(key)
    return None if agent is None else wait_of(agent, at)


def _first(hole: Hole) -> int:
    return hole.first
