"""What keeps the promises of `living_oracle`, broken on purpose in one step at a time.

As in `tests.journal.mutations`: a campaign that does not notice one of these has no teeth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ackbook.broker.core.attempt_report import Report
from ackbook.broker.core.commands import AnyCommand
from ackbook.broker.runtime.agents import holders
from ackbook.broker.runtime.agents.holder_link import HolderLink, LinkLost
from ackbook.broker.runtime.agents.holder_session import HolderSession
from ackbook.broker.runtime.agents.holder_sockets import HolderSocket
from ackbook.broker.runtime.agents.restored import Witnesses
from ackbook.broker.runtime.engine.effect_dispatch import EffectDispatch
from ackbook.broker.runtime.holder.server import HolderServer
from ackbook.broker.wire.attempts import AttemptKey, Attempts
from ackbook.broker.wire.frames import Hello, HolderFrame, Welcome
from ackbook.broker.wire.holder_commands import Speaker
from ackbook.projections.world.fold import World
from tests.journal.mutations import Patch
from tests.support.living_broker import SimulatedSocket


def nothing_settled_is_named(patch: Patch) -> None:
    """A holder keeps to itself what it was told is settled."""

    def settled(self: Attempts) -> tuple[Report, ...]:
        return ()

    patch(Attempts, "settled", settled)


def a_text_that_was_typed_is_begun_again(patch: Patch) -> None:
    """A later attempt of a delivery is an attempt like any other."""
    ordered = Attempts.ordered

    def by_attempt(self: Attempts, key: AttemptKey, text: bytes) -> Report | None:
        self._typed.clear()
        return ordered(self, key, text)

    patch(Attempts, "ordered", by_attempt)


def another_text_under_a_known_name_is_believed(patch: Patch) -> None:
    """A name is taken for the message."""
    ordered = Attempts.ordered

    def by_name(self: Attempts, key: AttemptKey, text: bytes) -> Report | None:
        return ordered(self, key, b"")

    patch(Attempts, "ordered", by_name)


def no_history_begins_after_testimony(patch: Patch) -> None:
    """Holders are asked, and what they say changes nothing."""
    asked = Witnesses.ask

    async def ask(self: Witnesses, sockets: Iterable[HolderSocket]) -> None:
        await asked(self, sockets)
        self.because = self.lineage = ""

    patch(Witnesses, "ask", ask)


def nobody_is_asked(patch: Patch) -> None:
    """The first record is written before anybody has said a word."""

    async def ask(self: Witnesses, sockets: Iterable[HolderSocket]) -> None:
        return

    patch(Witnesses, "ask", ask)


def ids_end_in_no_tag(patch: Patch) -> None:
    """Another history has begun, and ids are made as before."""
    patch(World, "lineage", "")


def a_refusal_is_taken_for_an_end(patch: Patch) -> None:
    """Who obeys somebody else is gone."""

    def refused(self: HolderSession, why: str, obeys: int = 0) -> None:
        raise ConnectionRefusedError(why)

    patch(HolderSession, "_refused", refused)


def silence_is_taken_for_an_end(patch: Patch) -> None:
    """Who does not answer is gone."""
    connect = SimulatedSocket.connect

    async def impatient(self: SimulatedSocket, hello: Hello) -> tuple[HolderLink, Welcome]:
        try:
            return await connect(self, hello)
        except LinkLost as error:
            raise ConnectionRefusedError from error

    patch(SimulatedSocket, "connect", impatient)


def a_broker_that_runs_is_not_looked_for(patch: Patch) -> None:
    """The highest epoch is obeyed, whoever else is at work."""

    def is_held(self: HolderServer) -> bool:
        return False

    patch(HolderServer, "_is_held", is_held)


def epochs_are_ignored(patch: Patch) -> None:
    """A broker of the past is obeyed like any other."""
    older = HolderServer._older

    def unless_by_epoch(self: HolderServer, hello: Hello) -> str | None:
        why = older(self, hello)
        return None if why is not None and why.startswith("epoch") else why

    patch(HolderServer, "_older", unless_by_epoch)


def reports_are_settled_before_they_are_durable(patch: Patch) -> None:
    """A report is answered as soon as it is heard."""
    hear = HolderSession._hear

    def settle_first(self: HolderSession, frame: HolderFrame) -> None:
        hear(self, frame)
        if isinstance(frame, Report) and frame.phase == "written":
            self._settle(frame.delivery_id, frame.attempt)

    patch(HolderSession, "_hear", settle_first)


def what_is_owed_is_said_once(patch: Patch) -> None:
    """A holder that is met again is not told what it has to type."""

    def again(self: EffectDispatch, world: World, name: str) -> None:
        return

    patch(EffectDispatch, "again", again)


def reports_of_the_time_between_are_not_heard(patch: Patch) -> None:
    """What a holder had to say when its broker was gone is passed over."""
    said = Speaker.welcome

    def welcome(
        self: Speaker, frame: Welcome, *, adopting: bool, settled: Sequence[Report] = ()
    ) -> list[AnyCommand]:
        commands = said(self, frame, adopting=adopting, settled=settled)
        return [each for each in commands if type(each).__name__ != "ReportAttempt"]

    patch(Speaker, "welcome", welcome)


def programs_of_other_histories_are_ended(patch: Patch) -> None:
    """Who has no agent here is nobody's."""

    async def is_to_end(*known: object) -> bool:
        return True

    patch(holders, "is_to_end", is_to_end)


MUTATIONS: dict[str, Callable[[Patch], None]] = {
    mutation.__name__: mutation
    for mutation in (
        nothing_settled_is_named,
        a_text_that_was_typed_is_begun_again,
        another_text_under_a_known_name_is_believed,
        no_history_begins_after_testimony,
        nobody_is_asked,
        ids_end_in_no_tag,
        a_refusal_is_taken_for_an_end,
        silence_is_taken_for_an_end,
        a_broker_that_runs_is_not_looked_for,
        epochs_are_ignored,
        reports_are_settled_before_they_are_durable,
        what_is_owed_is_said_once,
        reports_of_the_time_between_are_not_heard,
        programs_of_other_histories_are_ended,
    )
}
