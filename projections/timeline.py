"""The timeline: why a message or a delivery is where it is, as a chain of causes and one sentence.

A `Teller` hears entries in order, each with the world before it, and keeps what concerns one id. It
need not hear all entries: those of the decisions that concern the id suffice, with a world that is
right for them, so a long past can be told without being folded whole. What the kept records name as
their causes is looked up when the story is told. `story_fates` puts the deliveries into words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from projections.about import agents_of, ids_of
from projections.codec import Entry
from projections.facts import (
    AgentReleased,
    BrokerStarted,
    DeliveryId,
    DeliveryRedelivered,
    MessageEnqueued,
    MessageRefused,
    Ref,
)
from projections.state import World, key_of
from projections.stories import Story, story_of, story_of_refused
from projections.story_fates import Course, fate_of
from projections.story_waits import Wait, wait_of
from projections.world import fold

Fetch = Callable[[Iterable[int]], Mapping[int, Entry]]
"""The entries at these seqs, as far as the journal still has them."""


def why(
    entries: Iterable[Entry], wanted: str, fetch: Fetch, world: World | None = None
) -> Story | None:
    """The story of a message (`evt_...`) or delivery (`del_...`); None where no entry names it.

    The entries are those of a whole journal, in order, up to the moment that is asked about. Where
    the beginning of one is gone, `world` is the state before the first of them.
    """
    teller, world = Teller(wanted), World() if world is None else world
    for entry in entries:
        teller.hear(world, entry)
        fold(world, entry)
    return teller.tell(world, fetch)


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

    @property
    def is_open(self) -> bool:
        """Whether the story depends on the world as it is in the end."""
        return any(not course.settled for course in self._courses.values())

    def hear(self, world: World, entry: Entry) -> None:
        """Take in one entry. `world` is the one before it; whoever calls this folds it then."""
        follows = not bytes(entry.by) and entry.cause[:1] == (self._decision,)
        if not follows:
            self._decision = entry.seq
            self._waits.clear()
        if self._agents:
            self._look(world, entry)
        if self._wanted in ids_of(entry.fact):
            self._own[entry.seq] = entry
            self._take(world, entry)

    def tell(self, world: World, fetch: Fetch) -> Story | None:
        """The story up to `world`; None where nothing that was heard names the id."""
        if not self._own:
            return None
        own = tuple(self._own.values())
        courses = tuple(self._courses.values())
        now = [self._wait_now(world, course) for course in courses]
        known = self._known(fetch, now)
        fates = [
            fate_of(course, world, wait, known.get)
            for course, wait in zip(courses, now, strict=True)
        ]
        if isinstance(own[0].fact, MessageRefused):
            return story_of_refused(own, own[0].fact, known)
        return story_of(self._wanted, own, fates, known) if fates else None

    def _look(self, world: World, entry: Entry) -> None:
        """See what keeps the queue of an agent of the story, before its decision changes that."""
        everyone = isinstance(entry.fact, BrokerStarted)
        for key in self._agents if everyone else map(key_of, agents_of(entry.fact) or ()):
            if key in self._agents and key not in self._waits:
                agent = world.agents.get(key)
                self._waits[key] = None if agent is None else wait_of(agent, entry.at)

    def _take(self, world: World, entry: Entry) -> None:
        fact = entry.fact
        match fact:
            case MessageEnqueued():
                for recipient in fact.deliveries:
                    if self._wanted in (fact.event_id, recipient.delivery_id):
                        self._begin(world, entry, recipient.delivery_id, recipient.agent)
            case AgentReleased():
                for ref in fact.dropped:
                    self._befall(world, entry, ref.delivery_id)
            case Ref():
                self._befall(world, entry, fact.delivery_id)
                if isinstance(fact, DeliveryRedelivered) and self._wanted != fact.delivery_id:
                    self._begin(world, entry, fact.new_delivery_id, fact.agent)
            case _:
                pass

    def _begin(self, world: World, entry: Entry, delivery_id: DeliveryId, agent: str) -> None:
        self._courses[delivery_id] = Course(
            delivery_id=delivery_id, agent=agent, begun=entry, begun_epoch=world.epoch
        )
        self._agents.add(key_of(agent))

    def _befall(self, world: World, entry: Entry, delivery_id: DeliveryId) -> None:
        course = self._courses.get(delivery_id)
        if course is not None:
            course.take(entry, self._waits.get(key_of(course.agent)), world)

    def _wait_now(self, world: World, course: Course) -> Wait | None:
        agent = world.agent(course.agent)
        return None if course.settled or agent is None else wait_of(agent, world.at)

    def _known(self, fetch: Fetch, now: Iterable[Wait | None]) -> dict[int, Entry]:
        """The records that the story may name: its own, their causes, and what began each wait."""
        courses = self._courses.values()
        left = [ending.wait for course in courses for ending in course.endings]
        said = {wait.seq for wait in (*now, *left) if wait is not None and wait.seq}
        known = dict(self._own)
        causes = {seq for entry in known.values() for seq in entry.cause}
        known.update(fetch(sorted((said | causes) - known.keys())))
        begun = {seq for name in said if name in known for seq in known[name].cause}
        known.update(fetch(sorted(begun - known.keys())))
        return known
