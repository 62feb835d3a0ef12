"""The inbox: what waits for the engine, and what it says when that cannot be done.

Plain carriers with no rule in them: commands of one caller that belong together, questions, and a
batch in the making. The order in which they are taken is the engine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar, cast

import msgspec

from ackbook.broker.core.commands import AnyCommand, Verdict
from ackbook.broker.core.decide import Decision
from ackbook.journal import Draft, Log
from ackbook.projections.codec import Entry, encode
from ackbook.projections.facts import Fact
from ackbook.projections.world.fold import World

T = TypeVar("T")


class OutcomeUnknown(Exception):
    """The disk failed while this was being written: it may be durable, and it may not."""


class Stopped(Exception):
    """The engine takes no more commands."""


class EntryWatcher(Protocol):
    """Who wants to know of durable entries. Called in order, at once, and must not wait."""

    def committed(self, world: World, entries: Sequence[Entry], touched: frozenset[str]) -> None:
        """These entries are durable, and `world` is the fold through the last of them. `touched`
        are the keys of the agents whose state they may have changed. There are no entries where the
        journal wrote about itself alone."""
        ...


class PendingQuestion(Generic[T]):
    """A question about the world, and where its answer goes."""

    __slots__ = ("answer", "question")

    def __init__(self, question: Callable[[World, int], T], answer: asyncio.Future[T]) -> None:
        self.question = question
        self.answer = answer

    def settle(self, world: World, at: int) -> None:
        """Answer; a question that fails is its asker's business."""
        if self.answer.done():
            return
        try:
            self.answer.set_result(self.question(world, at))
        except Exception as error:
            self.answer.set_exception(error)

    def fail(self, error: Exception) -> None:
        """There will be no answer."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Question(Protocol):
    """An `PendingQuestion` of any type."""

    def settle(self, world: World, at: int) -> None: ...

    def fail(self, error: Exception) -> None: ...


class CommandGroup(msgspec.Struct):
    """Commands of one caller that no other's may come between, and how far they came."""

    commands: tuple[AnyCommand, ...]
    done: asyncio.Future[tuple[Verdict, ...]]
    verdicts: list[Verdict] = []


class DecidedBatch:
    """What was decided and folded and is not yet durable, and whom to tell then.

    All of it happens at one time, `at`, and in the room that is written ahead in the journal when
    it begins: `room` bytes, of which the records so far take at most `size`.
    """

    __slots__ = ("at", "drafts", "entries", "finished", "log", "room", "size", "touched")

    def __init__(self, log: Log) -> None:
        self.log = log
        self.at = log.now()
        self.room = min(log.statistics().room_bytes, log.batch_bytes_max)
        self.size = 0
        self.entries: list[Entry] = []
        self.drafts: list[Draft] = []
        self.touched: set[str] = set()
        self.finished: list[CommandGroup] = []

    def add(self, outcome: Decision) -> None:
        """Take in the records of one decision."""
        for entry in outcome.entries:
            fact = cast(Fact, entry.fact)  # rules never speak for the journal itself
            draft = Draft(fact.KIND, encode(fact), bytes(entry.by) or None, entry.cause)
            self.drafts.append(draft)
            self.size += self.log.measure(draft)
        self.entries += outcome.entries
        self.touched |= outcome.touched


class CommandProgress(Enum):
    """How far a caller's commands came."""

    FINISHED = auto()
    BATCH_FULL = auto()
    NO_ROOM = auto()
