"""What if: the recorded commands, put to the rules under another policy, in a world of its own.

Two worlds go side by side. One is folded from the records. The other is asked each recorded command
at its recorded time, in its own words: ids are positions, so where the two histories have come
apart an id of the one is translated into that of the other. Between two commands the other world
meets the deadlines that only it has; those that both have are met when the recorded broker met
them, so that with an unchanged policy the two never come apart at all.

An attempt that the other world makes at the very moment of the recorded one is answered by the
recorded reports in their place. Any other is answered as `recorded_replies` assumes. A command
that left no record is not known and is made in neither world; programs come, go and block as they
did.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

import msgspec

from ackbook.broker.core.commands import AnyCommand, ReportAttempt, StartBroker, Tick
from ackbook.broker.core.decide import carry_out
from ackbook.broker.core.recorded_command import command_of
from ackbook.broker.core.replay.id_mapping import IdMapping, begun
from ackbook.broker.core.replay.recheck import is_decision
from ackbook.broker.core.replay.recorded_replies import Reactions
from ackbook.projections.analysis.outcome_diff import ComparedDelivery, Comparison
from ackbook.projections.codec import Entry
from ackbook.projections.facts import DeliveryAttempted, Policy
from ackbook.projections.world.fold import World, fold, fold_all, key_of

PolicyChange = Callable[[Policy], Policy]


class Elsewhere:
    """The other world. `here` and `there` are equal worlds at the beginning; `take` moves both."""

    def __init__(
        self,
        here: World,
        there: World,
        change: PolicyChange,
        reactions: Reactions,
        moved_us_min: int,
    ) -> None:
        self.here = here
        self.there = there
        self.fates = Comparison(moved_us_min)
        self.assumed = 0
        """Attempts that were answered as the agent usually answers."""
        self.decisions = 0
        self._change = change
        self._reactions = reactions
        self._twins = IdMapping()
        self._owed: list[tuple[int, int, ReportAttempt]] = []
        self._count = 0
        for side, world in ((self.fates.recorded, here), (self.fates.other, there)):
            for each in world.deliveries.values():
                known = ComparedDelivery(
                    (each.joined, key_of(each.agent), ""), each.agent, each.delivery_id
                )
                side.begin(known)
        there.policy = change(there.policy)
        for agent in there.agents.values():
            there.moved[agent.name] = agent

    def take(self, group: Sequence[Entry]) -> None:
        """The next recorded decision, or a record that is none."""
        first = group[0]
        told = command_of(first) if is_decision(group) else None
        if told is None:
            fold_all(self.here, group)
            self._follow(group)
            return
        self.decisions += 1
        command = told.command
        if isinstance(command, StartBroker):
            # Nobody served the journal since its last record, so no deadline was met.
            command = msgspec.structs.replace(command, policy=self._change(command.policy))
        else:
            self._advance(first.at)
        command = self._twins.translate(self.here, self.there, command)
        fold_all(self.here, group)
        said: tuple[Entry, ...] = ()
        if not self._is_apart(told.command):
            self.there.seq = max(self.there.seq, first.seq - 1)
            said = self._carry_out(command, max(first.at, self.there.at))
        recorded, other = begun(group), begun(said)
        self._twins.pair(recorded, other)
        self.fates.begin(
            [each.fate(first.seq, each.original) for each in recorded],
            [each.fate(first.seq, self._twins.here(each.original)) for each in other],
        )
        self.fates.note(group, said)
        self._answer(said)

    def _is_apart(self, command: AnyCommand) -> bool:
        """Whether this is the report of an attempt that the other world made at another moment."""
        if not isinstance(command, ReportAttempt):
            return False
        return self._twins.is_apart(command.report.delivery_id, command.report.attempt)

    def _follow(self, group: Sequence[Entry]) -> None:
        """Records that nobody decided stand in both histories, and ids of both end alike."""
        for entry in group:
            if entry.seq > self.there.seq:
                fold(self.there, entry)
        self.there.lineages, self.there.forks = self.here.lineages, self.here.forks

    # --- what happens in the other world by itself

    def _advance(self, until: int) -> None:
        """Everything of its own that comes up to this time, in order. A tick that says nothing is
        not tried again: the next command may change that."""
        idle = False
        while True:
            due = None if idle else self._own_deadline(until)
            report_at = self._owed[0][0] if self._owed else None
            if report_at is not None and report_at <= until and (due is None or report_at <= due):
                _, _, report = heapq.heappop(self._owed)
                self._by_itself(report, report_at)
            elif due is not None:
                idle = not self._by_itself(Tick(), due)
            else:
                return

    def _by_itself(self, command: AnyCommand, at: int) -> bool:
        said = self._carry_out(command, max(at, self.there.at))
        self.fates.note((), said)
        self._answer(said)
        return bool(said)

    def _carry_out(self, command: AnyCommand, at: int) -> tuple[Entry, ...]:
        return carry_out(self.there, command, at).entries

    def _own_deadline(self, until: int) -> int | None:
        """The earliest one that the recorded world does not have as well."""
        agenda, recorded = self.there.agenda, self.here.agenda
        for kind, name in agenda.due(until):
            time = agenda.time_of((kind, name))
            same = self._twins.here(name) if kind == "ttl" else name
            if recorded.time_of((kind, same)) != time:
                return time
        return None

    def _answer(self, said: Sequence[Entry]) -> None:
        """See to it that each attempt made here is answered once."""
        for entry in said:
            fact = entry.fact
            if not isinstance(fact, DeliveryAttempted):
                continue
            recorded_id = self._twins.here(fact.delivery_id)
            known = self._reactions.of(recorded_id, fact.attempt)
            same_generation = known is not None and known.generation == fact.generation
            if known is not None and same_generation and known.at == entry.at:
                continue
            if known is not None:
                self._twins.set_apart(recorded_id, fact.attempt)
            if known is not None and not known.held and (known.reactions or same_generation):
                answers = tuple(known.reactions)
            else:
                answers = self._reactions.usual(fact.agent)
                self.assumed += 1
            for answer in answers:
                report = msgspec.structs.replace(
                    answer.report,
                    delivery_id=fact.delivery_id,
                    attempt=fact.attempt,
                    generation=fact.generation,
                )
                self._count += 1
                command = ReportAttempt(agent=fact.agent, report=report)
                heapq.heappush(self._owed, (entry.at + answer.delay_us, self._count, command))
