"""The rules, broken on purpose one at a time: whether deciding again has teeth.

Each mutation takes a `setattr` and changes one rule of the core; its first line says what the rule
was. The golden journals hold a decision by each of these rules, so each must show as a divergence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ackbook.broker.core import (
    cancel_redeliver,
    deadlines,
    decide,
    lifecycle,
    reporting,
    sending,
    standing_rules,
    throttle,
)
from ackbook.broker.core.commands import DecidedFact
from ackbook.projections.facts import AgentDied, Policy, Throttle
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deliveries import Delivery
from ackbook.projections.world.fold import World

Patch = Callable[[object, str, object], None]


def evicts_the_next_to_be_typed(patch: Patch) -> None:
    """A full queue loses the oldest of its least urgent."""

    def evict(world: World, agent: Agent, at: int) -> DecidedFact | None:
        said = standing_evict(world, agent, at)
        head = agent.queue.head()
        if said is None or head is None:
            return said
        return DecidedFact(msgspec.structs.replace(said.fact, **head.ref_fields()), said.cause)

    standing_evict = standing_rules._evict
    _replace_rule(patch, standing_rules._evict, evict)


def never_evicts(patch: Patch) -> None:
    """A queue over its cap makes room."""
    _replace_rule(patch, standing_rules._evict, None)


def less_urgent_pushes_out_more_urgent(patch: Patch) -> None:
    """A newcomer that is less urgent than all that waits is refused."""
    patch(sending, "_queue_takes", lambda world, agent, priority: True)


def channels_as_urgent_as_people(patch: Patch) -> None:
    """A post in a channel is less urgent, unless it says otherwise."""
    patch(sending, "PRIORITY_CHANNEL", sending.PRIORITY_DIRECT)


def keys_that_compare_without_the_body(patch: Patch) -> None:
    """A key that comes with another text is a conflict."""
    content = sending.content_of
    patch(sending, "content_of", lambda send: content(msgspec.structs.replace(send, body="")))


def blank_messages_are_taken(patch: Patch) -> None:
    """A message without a visible character is refused."""
    patch(sending, "_is_visible", lambda mark: True)


def first_failure_waits_longer(patch: Patch) -> None:
    """The pace after failures: 100, 200, 500, 1000, 2000, 5000 ms."""
    patch(throttle, "FAILURE_DELAYS_MS", (200, 200, 500, 1_000, 2_000, 5_000))


def a_window_that_ran_out_is_a_success(patch: Patch) -> None:
    """Only what was verified may drive the speed up."""
    after = throttle.after

    def hasty(
        before: Throttle, outcome: throttle.TypingOutcome, at: int, policy: Policy
    ) -> Throttle:
        return after(before, "success" if outcome == "unverified" else outcome, at, policy)

    patch(throttle, "after", hasty)


def retries_without_doubling(patch: Patch) -> None:
    """Each failure in a row doubles the wait for the next attempt."""
    patch(throttle, "retry_delay_ms", lambda failures, policy: policy.retry_delay_ms)


def one_failure_more(patch: Patch) -> None:
    """A delivery is given up at the failure that is the policy's last."""
    failed = reporting._failed

    def patient(
        world: World, agent: Agent, delivery: Delivery, report: Any, at: int
    ) -> DecidedFact:
        policy = world.policy
        world.policy = msgspec.structs.replace(policy, failures_max=policy.failures_max + 1)
        said = failed(world, agent, delivery, report, at)
        world.policy = policy
        return said

    patch(reporting, "_failed", patient)


def every_hold_is_a_veto(patch: Patch) -> None:
    """A guess about a screen holds until a deadline, and no longer."""
    patch(reporting, "GUESSES", frozenset())


def submitted_counts_as_seen(patch: Patch) -> None:
    """What was submitted is more than what was seen."""
    level = reporting._level
    patch(
        reporting,
        "_level",
        lambda report: ("seen", level(report)[1]) if report.seen else (None, None),
    )


def the_hint_comes_every_time(patch: Patch) -> None:
    """The hint comes again only when it has scrolled away."""
    patch(standing_rules, "_hint_due", lambda agent, at: True)


def an_occupied_input_line_is_typed_into(patch: Patch) -> None:
    """The next text waits until the one before has left the input line."""
    why_held = standing_rules.why_held

    def careless(agent: Agent, delivery: Delivery) -> Any:
        reason, cause, until = why_held(agent, delivery)
        return (None, 0, None) if reason == "input_not_empty" else (reason, cause, until)

    patch(standing_rules, "why_held", careless)


def a_retry_does_not_wait(patch: Patch) -> None:
    """A retry is not typed before it is due."""
    attempt = standing_rules._attempt

    def hasty(world: World, agent: Agent, delivery: Delivery, at: int) -> DecidedFact | None:
        return attempt(world, agent, delivery, max(at, delivery.due_at, agent.throttle.next_at))

    patch(standing_rules, "_attempt", hasty)


def crashes_without_end(patch: Patch) -> None:
    """A program whose restarts are used up is not started again."""
    restart = standing_rules._restart

    def stubborn(world: World, agent: Agent, at: int) -> DecidedFact | None:
        said = restart(world, agent, at)
        return None if said is not None and type(said.fact) is AgentDied else said

    _replace_rule(patch, standing_rules._restart, stubborn)


def gone_recipients_are_waited_for(patch: Patch) -> None:
    """Past its hold time what waits for a gone agent is given up."""
    _replace_rule(patch, standing_rules._recipient_gone, None)


def what_was_being_typed_is_forgotten(patch: Patch) -> None:
    """What was typed into a program that ended has no known outcome."""
    _replace_rule(patch, standing_rules._lost_in_flight, None)


def dead_letters_without_bound(patch: Patch) -> None:
    """The oldest make room where more is remembered than the policy allows."""
    patch(standing_rules, "_dead_letter_dropped", lambda world: None)


def one_consequence_at_a_time(patch: Patch) -> None:
    """The rules of an agent are asked until they have nothing more to say."""
    patch(decide, "STANDING_FACTS_MAX", 1)


def keys_live_for_ever(patch: Patch) -> None:
    """A key is forgotten when its window is over."""
    patch(deadlines, "fitting", lambda keys: ())


def a_restart_is_held_like_a_crash(patch: Patch) -> None:
    """The messages of a program that was restarted wait for its next generation."""
    patch(lifecycle, "WAITS_FOR_EVER", ())


def any_clock_is_right(patch: Patch) -> None:
    """A wall clock that leapt is recorded."""
    patch(lifecycle, "CLOCK_AHEAD_US_MAX", 1 << 60)


def redelivers_into_a_full_queue(patch: Patch) -> None:
    """Bringing one back must not push another out."""
    patch(cancel_redeliver, "_full", lambda world, agent, joining: False)


def redelivers_again(patch: Patch) -> None:
    """What was redelivered before is not redelivered again."""
    source = cancel_redeliver._source

    def forgetful(world: World, old: Any, original: Any) -> Any:
        found = source(world, old, original)
        again = isinstance(found, str) and found.startswith("already redelivered")
        return original if again else found

    patch(cancel_redeliver, "_source", forgetful)


MUTATIONS: tuple[Callable[[Patch], None], ...] = (
    evicts_the_next_to_be_typed,
    never_evicts,
    less_urgent_pushes_out_more_urgent,
    channels_as_urgent_as_people,
    keys_that_compare_without_the_body,
    blank_messages_are_taken,
    first_failure_waits_longer,
    a_window_that_ran_out_is_a_success,
    retries_without_doubling,
    one_failure_more,
    every_hold_is_a_veto,
    submitted_counts_as_seen,
    the_hint_comes_every_time,
    an_occupied_input_line_is_typed_into,
    a_retry_does_not_wait,
    crashes_without_end,
    gone_recipients_are_waited_for,
    what_was_being_typed_is_forgotten,
    dead_letters_without_bound,
    one_consequence_at_a_time,
    keys_live_for_ever,
    a_restart_is_held_like_a_crash,
    any_clock_is_right,
    redelivers_into_a_full_queue,
    redelivers_again,
)


def _replace_rule(patch: Patch, old: standing_rules.Rule, new: standing_rules.Rule | None) -> None:
    """In every state in which it is asked."""

    def instead(rules: Iterable[standing_rules.Rule]) -> tuple[standing_rules.Rule, ...]:
        return tuple(filter(None, (new if rule is old else rule for rule in rules)))

    patch(
        standing_rules,
        "RULES",
        {state: instead(rules) for state, rules in standing_rules.RULES.items()},
    )
