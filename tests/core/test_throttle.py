"""The throttle, by its vectors: F failed, S success, U unverified; the delay after them."""

from __future__ import annotations

import pytest

from ackbook.broker.core.throttle import TypingOutcome, after, retry_delay_ms
from ackbook.projections.facts import Policy
from ackbook.projections.world.agents import FRESH

OUTCOMES: dict[str, TypingOutcome] = {"F": "failed", "S": "success", "U": "unverified"}


@pytest.mark.parametrize(
    ("outcomes", "delay_ms"),
    [
        ("SSSSSSSSSS", 100),
        ("F", 100),
        ("FF", 200),
        ("FFF", 500),
        ("FFFF", 1_000),
        ("FFFFF", 2_000),
        ("FFFFFF", 5_000),
        ("FFFFFFF", 5_000),
        ("FFFFFSSS", 1_000),
        ("FFFSSS", 250),
        ("FFFUUUUUUUUUU", 500),
        ("FFFSSUS", 500),
        ("FFFSF", 500),
    ],
)
def test_the_delay_follows_the_outcomes(outcomes: str, delay_ms: int) -> None:
    throttle = FRESH
    for outcome in outcomes:
        throttle = after(throttle, OUTCOMES[outcome], 7, Policy())
    assert throttle.delay_ms == delay_ms
    assert throttle.next_at == 7 + delay_ms * 1_000


def test_a_window_that_ran_out_never_makes_typing_faster() -> None:
    slow = after(
        after(after(FRESH, "failed", 0, Policy()), "failed", 0, Policy()), "failed", 0, Policy()
    )
    unverified = slow
    for _ in range(100):
        unverified = after(unverified, "unverified", 0, Policy())
    assert unverified.delay_ms == slow.delay_ms


def test_retries_double_from_one_second_to_a_minute() -> None:
    delays = [retry_delay_ms(failures, Policy()) for failures in range(1, 10)]
    assert delays == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]
