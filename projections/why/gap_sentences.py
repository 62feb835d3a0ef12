"""The state and the sentence of a delivery behind a hole, where no world is known.

What its own records behind the hole say is said; everything else is `unknown`, by that name. What
is in the journal before the hole, and what no later record can have changed, stays as it was told.
"""

from __future__ import annotations

from collections.abc import Sequence

from ackbook.projections.gaps import Hole, holes_told
from ackbook.projections.why.outcome_sentences import OutcomeSentence
from ackbook.projections.why.phrases import PRESENT, clause
from ackbook.projections.why.wait_cause import WaitStart
from ackbook.projections.world.deliveries import SettledDelivery

IN_TERMINAL = ("typing", "awaiting", "in_doubt")


def standing_beyond(delivery_id: str, agent: str, since: WaitStart, at: int) -> OutcomeSentence:
    """Where a delivery is that a record behind the hole has placed and none has settled. `since`:
    what keeps its agent's queue, as far as that was said."""
    wait = since.wait
    own = wait.delivery_id == delivery_id
    kept = clause(since, agent, at, PRESENT)
    if own and wait.kind in IN_TERMINAL:
        reason = "in_doubt" if wait.kind == "in_doubt" else None
        sentence = f"{delivery_id} is in the terminal of {agent}: {kept}."
        return OutcomeSentence(state=wait.kind, reason=reason, sentence=sentence)
    if own:
        sentence = f"{delivery_id} waits for {agent}: {kept}."
        return OutcomeSentence(state="held", reason=wait.reason, sentence=sentence)
    behind = "" if wait.kind in ("unknown", *IN_TERMINAL) else f" behind {wait.delivery_id}"
    return OutcomeSentence(
        state="queued",
        reason="unknown" if wait.kind == "unknown" else "behind",
        sentence=f"{delivery_id} waits for {agent}{behind}: {kept}.",
    )


def lost(delivery_id: str, agent: str, joined: int, holes: Sequence[Hole]) -> OutcomeSentence:
    """Nothing that can be read says what became of it."""
    begun = f"{delivery_id} was queued for {agent} at seq {joined}"
    if holes:
        told = f"{begun}; {holes_told(holes)}, and what became of it there is not known."
    else:
        told = f"{begun}; what became of it is not in what is left of the journal."
    return OutcomeSentence(state="unknown", reason=None, sentence=told)


def remembered(delivery_id: str, settled: SettledDelivery) -> OutcomeSentence:
    """How it ended, by a later state of the world, where the record of its end cannot be read."""
    if settled.new_delivery_id is not None:
        return OutcomeSentence(
            state="redelivered",
            reason=None,
            sentence=f"{delivery_id} was queued again as {settled.new_delivery_id}; the record of"
            " that cannot be read.",
            step=f"Next: ackbook why {settled.new_delivery_id}.",
        )
    how = settled.state.replace("_", " ")
    why = f" ({settled.reason})" if settled.reason and settled.reason != settled.state else ""
    sentence = (
        f"{delivery_id} ended as {how}{why} at seq {settled.seq}, a record that cannot be read."
    )
    return OutcomeSentence(state=settled.state, reason=settled.reason, sentence=sentence)


def caveat(joined: int, holes: Sequence[Hole]) -> str:
    """What a sentence has to add about holes that it does not name itself."""
    begun = [hole for hole in holes if hole.first <= joined <= hole.last]
    during = [hole for hole in holes if hole.first > joined]
    before = [hole for hole in holes if hole.last < joined]
    told = []
    if begun:
        told.append(f"It began before what can be read of it: {holes_told(begun)}.")
    if during:
        told.append(f"{_capital(holes_told(during))}; what else became of it is not known.")
    if before:
        told.append(f"What was there before it is not known: {holes_told(before)}.")
    return " ".join(told)


def whether_more(holes: Sequence[Hole]) -> str:
    """What a sentence has to add about holes since the end of a delivery."""
    if not holes:
        return ""
    told = _capital(holes_told(holes))
    return f"{told}; whether it was queued again there is not known."


def _capital(clause: str) -> str:
    return clause[:1].upper() + clause[1:]
