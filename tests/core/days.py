"""Days of work, made from a seed: the same seed, the same day.

What the state machine of the properties tries one by one happens here all day long and in likely
proportions, so that queues fill, wait, overflow and drain.
"""

from __future__ import annotations

from random import Random

from tests.core.test_properties import NAMES, POLICIES, Broker
from tests.support.simulated import Simulated

WEIGHTS = {
    "send": 34,
    "report": 22,
    "wait": 15,
    "condition": 6,
    "adopt": 6,
    "hold": 4,
    "spawn": 4,
    "refuse_to_begin": 3,
    "cancel": 2,
    "flush": 2,
    "redeliver": 2,
    "end": 2,
    "crash": 1,
    "release": 0.6,
}


class Day:
    """One broker on one day, driven by chance. Without a `broker`, it gets one of its own."""

    def __init__(self, seed: int, broker: Simulated | None = None) -> None:
        self._chance = Random(seed)
        self._machine = Broker()
        if broker is not None:
            self._machine.broker = broker
        for name in NAMES:
            self._machine.spawn(name=name, channel="dev", crashes=self._chance.random() < 0.5)
            self._machine.report_condition(name=name, state="ready", reason="busy")

    def run(self, steps: int) -> Simulated:
        """So many steps; the broker that went through them."""
        names, weights = list(WEIGHTS), list(WEIGHTS.values())
        for _ in range(steps):
            step = self._chance.choices(names, weights)[0]
            getattr(self, f"_{step}")(self._chance.choice(NAMES))
        return self._machine.broker

    def _send(self, name: str) -> None:
        choose = self._chance.choice
        self._machine.send(
            to=choose([name, name, name, "#dev", "nobody"]),
            priority=choose([None, None, 0, 2, 4]),
            ttl_ms=choose([None, None, 500, 2_000]),
            key=choose([None, None, None, "k", "l", "m"]),
            body=choose(["x", "x", "x", "y", ""]),
        )

    def _report(self, name: str) -> None:
        phase = self._chance.choice(["typing", *["written"] * 6, "not_written", "unknown"])
        seen = self._chance.random() < 0.6
        report = {
            "phase": phase,
            "seen": seen,
            "submitted": seen and self._chance.random() < 0.6,
            "input_empty": self._chance.random() < 0.5,
        }
        self._machine.report(choice=self._chance.choice([0, 0, 0, 1, 2, 5]), report=report)

    def _wait(self, name: str) -> None:
        self._machine.wait(ms=self._chance.choice([1, 100, 100, 1_000, 5_000, 60_000, 1_860_000]))

    def _condition(self, name: str) -> None:
        state = self._chance.choice(["ready", "ready", "blocked"])
        reason = self._chance.choice(["dialog", "human_typing", "busy", "input_not_empty"])
        self._machine.report_condition(name=name, state=state, reason=reason)

    def _adopt(self, name: str) -> None:
        self._machine.adopt(name=name, knows=self._chance.random() < 0.7)

    def _hold(self, name: str) -> None:
        mode = self._chance.choice(["auto_inject", "manual_flush"])
        self._machine.set_mode(name=name, mode=mode, by=self._chance.choice(["", "ann", "zoe"]))

    def _spawn(self, name: str) -> None:
        self._machine.spawn(name=name, channel="dev", crashes=self._chance.random() < 0.5)

    def _refuse_to_begin(self, name: str) -> None:
        if self._machine.broker.typed():
            held = self._chance.choice(["dialog", "busy", "echo_off", "canonical_limit"])
            self._machine.refuse_to_begin(held=held)

    def _cancel(self, name: str) -> None:
        self._machine.cancel(choice=self._chance.randrange(20))

    def _flush(self, name: str) -> None:
        self._machine.flush(name=name)

    def _redeliver(self, name: str) -> None:
        self._machine.redeliver()

    def _end(self, name: str) -> None:
        self._machine.end(
            name=name, how=self._chance.choice(["exited", "holder_lost", "ended_with_broker"])
        )

    def _crash(self, name: str) -> None:
        self._machine.crash_and_start(policy=self._chance.choice(POLICIES))

    def _release(self, name: str) -> None:
        self._machine.release(name=name)
