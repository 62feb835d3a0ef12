"""A broker without a disk, a clock or a terminal: the rules, the world, and a journal in memory.

What it appends is the very bytes of records; `replayed` builds a second world from them by the
codec, so that every test of a rule can also be a test that replay equals live.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import orjson

from ackbook.broker.core.commands import (
    Accepted,
    AnyCommand,
    Refused,
    Sent,
    StartBroker,
    Tick,
    Verdict,
)
from ackbook.broker.core.decide import carry_out, room_needed
from ackbook.broker.core.effects import Type
from ackbook.broker.core.plan import plan
from ackbook.projections.codec import Entry, decode, encode, kind_of
from ackbook.projections.events.derive import Event, derive
from ackbook.projections.facts import Fact, Policy
from ackbook.projections.why.builder import why
from ackbook.projections.why.story import Story
from ackbook.projections.world.fold import World, fold, next_deadline

START_AT = 1_763_800_000_000_000


def line_of(entry: Entry) -> bytes:
    """The record of an entry, without the journal's own `d` and `crc`."""
    record: dict[str, object] = {"seq": entry.seq, "at": entry.at, "kind": kind_of(entry)}
    if bytes(entry.by):
        record["by"] = orjson.Fragment(bytes(entry.by))
    if entry.cause:
        record["cause"] = list(entry.cause)
    record["data"] = orjson.Fragment(encode(entry.fact))  # type: ignore[arg-type]
    return orjson.dumps(record)


_DERIVED = ("deadlines", "moved")
"""What a world works out from the rest; `next_deadline` stands for it."""


def dump(value: object) -> object:
    """Everything that a world is, as plain values that compare."""
    match value:
        case World():
            state = {name: dump(v) for name, v in vars(value).items() if name not in _DERIVED}
            state["next_deadline"] = next_deadline(value)
            return state
        case msgspec.Raw():
            return bytes(value)
        case msgspec.Struct():
            fields = value.__struct_fields__
            return (type(value).__name__, {f: dump(getattr(value, f)) for f in fields})
        case dict():
            return [(dump(k), dump(v)) for k, v in value.items()]
        case set() | frozenset():
            return sorted(map(str, value))
        case list() | tuple():
            return [dump(v) for v in value]
        case _ if hasattr(value, "join") and hasattr(value, "rejoin"):
            return [dump(delivery) for delivery in value]  # type: ignore[attr-defined]
        case _:
            return value


class Simulated:
    """One broker on one journal. `at` is the time, in microseconds; it moves when told."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.world = World()
        self.lines: list[bytes] = []
        self.entries: list[Entry] = []
        self.at = START_AT
        self.policy = policy or Policy()
        self.epoch = 0
        self.start()

    def start(self) -> None:
        """A broker starts on this journal, after whatever befell the one before."""
        self.world = self.replayed()
        self.epoch += 1
        command = StartBroker(
            epoch=self.epoch, pid=100 + self.epoch, version="0", instance="i", policy=self.policy
        )
        self.do(command)

    def do(self, command: AnyCommand) -> Verdict:
        """Carry out one command, and check all that must hold after every one."""
        room, _ = room_needed(self.world, command)
        before = self.world.seq
        outcome = carry_out(self.world, command, self.at)
        lines = [line_of(entry) for entry in outcome.entries]
        assert sum(len(line) + 40 for line in lines) <= room, (command, room)
        self.lines += lines
        self.entries += outcome.entries
        self._check_decision(before, outcome.entries)
        self.world.check()
        return outcome.verdict

    def ask(self, command: AnyCommand) -> Any:
        """The answer to a command that is expected to be accepted."""
        verdict = self.do(command)
        assert isinstance(verdict, Accepted), verdict
        return verdict.answer

    def sent(self, command: AnyCommand) -> Sent:
        answer = self.ask(command)
        assert isinstance(answer, Sent)
        return answer

    def refused(self, command: AnyCommand) -> Refused:
        verdict = self.do(command)
        assert isinstance(verdict, Refused), verdict
        return verdict

    def wait(self, ms: float) -> None:
        """Let time pass, meeting each deadline when it comes."""
        until = self.at + int(ms * 1_000)
        while (due := next_deadline(self.world)) is not None and due <= until:
            self.at = max(self.at, due)
            before = self.world.seq
            self.do(Tick())
            assert self.world.seq > before, "a deadline was due and nothing followed from it"
        self.at = until

    def replayed(self) -> World:
        """A world made from nothing but the records."""
        world = World()
        for line in self.lines:
            fold(world, decode(line))
        return world

    def facts(self, kind: type[Fact] | None = None) -> list[Any]:
        return [e.fact for e in self.entries if kind is None or isinstance(e.fact, kind)]

    def fetch(self, seqs: Iterable[int]) -> dict[int, Entry]:
        """The entries at these seqs."""
        return {seq: self.entries[seq - 1] for seq in seqs if 0 < seq <= len(self.entries)}

    def story(self, asked: str) -> Story | None:
        """What `why` tells of a message or delivery."""
        return why(self.entries, asked, self.fetch)

    def decisions(self) -> Iterator[list[dict[str, Any]]]:
        """The records of each decision as plain JSON."""
        records: list[dict[str, Any]] = []
        for line in self.lines:
            record = orjson.loads(line)
            if "by" in record and records:
                yield records
                records = []
            records.append(record)
        yield records

    def kinds(self) -> list[str]:
        return [kind_of(entry) for entry in self.entries]

    def events(self) -> Iterator[Event]:
        for line in self.lines:
            yield from derive(decode(line))

    def typed(self) -> list[Type]:
        """What the world owes to type now."""
        return [effect for effect in plan(self.world) if isinstance(effect, Type)]

    def _check_decision(self, before: int, entries: tuple[Entry, ...]) -> None:
        for number, entry in enumerate(entries):
            assert entry.seq == before + 1 + number
            assert all(cause < entry.seq for cause in entry.cause)
            assert bool(bytes(entry.by)) == (number == 0)
            if number:
                assert entry.cause[0] == entries[0].seq
