"""The throttle: how fast an agent is typed into, from what became of the attempts before; and the
backoff: how long a delivery waits after an attempt that failed.

| outcome    | delay afterwards                                                             |
|------------|------------------------------------------------------------------------------|
| success    | every third in a row halves it, not below the minimum; failures back to 0     |
| unverified | unchanged; the row of successes is broken                                     |
| failed     | 100, 200, 500, 1000, 2000, then 5000 ms, never below the delay in force       |

A window that ran out is no success: it must never drive the speed up.
"""

from __future__ import annotations

from typing import Literal

from ackbook.projections.facts import Policy, Throttle

TypingOutcome = Literal["success", "unverified", "failed"]

FAILURE_DELAYS_MS = (100, 200, 500, 1_000, 2_000, 5_000)
"""After the first failure in a row, the second, and so on; the last one for all later ones."""

SUCCESSES_PER_STEP = 3
"""In a row, before the delay is halved."""


def after(before: Throttle, outcome: TypingOutcome, at: int, policy: Policy) -> Throttle:
    """The throttle after this outcome at the time `at` (microseconds UTC)."""
    delay = max(before.delay_ms, policy.throttle_ms_min)
    failures, successes = before.failures, before.successes
    match outcome:
        case "success":
            failures, successes = 0, successes + 1
            if successes % SUCCESSES_PER_STEP == 0:
                delay = max(delay // 2, policy.throttle_ms_min)
        case "unverified":
            successes = 0
        case "failed":
            failures, successes = failures + 1, 0
            step = FAILURE_DELAYS_MS[min(failures, len(FAILURE_DELAYS_MS)) - 1]
            delay = max(delay, min(step, policy.throttle_ms_max))
    return Throttle(
        delay_ms=delay, failures=failures, successes=successes, next_at=at + delay * 1_000
    )


def retry_delay_ms(failures: int, policy: Policy) -> int:
    """How long, in milliseconds, a delivery waits after its `failures`-th consecutive failed
    attempt."""
    doublings = min(failures - 1, 32)
    return int(min(policy.retry_delay_ms << doublings, policy.retry_delay_ms_max))
