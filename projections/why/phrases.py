"""Phrases: how waits, spans and counts are said, so that every sentence says them alike.

Past or present, a wait is one clause that names the agent, the record since which it lasts, who
made it so and how long before. This module knows no outcomes; `outcome_sentences` puts the clauses
into them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ackbook.projections.facts import (
    AgentAdopted,
    AgentExited,
    AgentModeChanged,
    AgentRestarting,
    AgentSpawned,
    BrokerStarted,
    DeliveryAcked,
    HeldReason,
)
from ackbook.projections.why.wait_cause import Wait, WaitStart

Typed = Literal["no", "yes", "unknown"]
"""Whether a delivery was ever typed. `no`: no attempt began, or each provably typed nothing."""


MOMENT_US = 1_000
"""A wait shorter than this has only just begun."""


class Tense(msgspec.Struct, frozen=True):
    """The words that differ between what was and what is."""

    had: str
    was: str
    knew: str
    stood: str
    kept: str


PAST = Tense(had="had", was="was", knew="knew", stood="stood", kept="kept")
PRESENT = Tense(had="has", was="is", knew="knows", stood="stands", kept="keeps")

HELD: dict[HeldReason, str] = {
    "not_ready": "{name}'s program {had} not been ready",
    "dialog": "a dialog, which typing would answer, {had} been open in {name}'s terminal",
    "human_typing": "a human {had} been typing in {name}'s terminal",
    "manual_flush": "{name} {had} been on hold",
    "busy": "{name}'s program {had} been busy",
    "input_not_empty": "{name}'s input line {had} not been empty",
    "echo_off": "{name}'s terminal {had} shown no typing (a password prompt)",
    "foreground_changed": "another program {had} been in front in {name}'s terminal",
    "canonical_limit": "the text of {head} {had} been too long for one line of {name}'s terminal",
    "agent_gone": "{name}'s program {had} been gone",
}

NEXT_HELD: dict[HeldReason, str] = {
    "not_ready": "ackbook screen {name}",
    "dialog": "ackbook attach {name}, and answer the dialog",
    "human_typing": "finish or clear the line in the terminal of {name}",
    "manual_flush": "ackbook flush {name}, or ackbook auto {name}",
    "busy": "ackbook screen {name}",
    "input_not_empty": "ackbook attach {name}, and clear the line",
    "echo_off": "ackbook attach {name}",
    "foreground_changed": "ackbook attach {name}",
    "canonical_limit": "send a shorter text, or the path of a file",
    "agent_gone": "ackbook restart {name}, or ackbook release {name}",
}


def clause(since: WaitStart, name: str, at: int, tense: Tense) -> str:
    """What keeps, or kept, the queue of `name` at the time `at`; no full stop."""
    wait = since.wait
    match wait.kind:
        case "held":
            return _held(since, name, at, tense)
        case "typing":
            return f"{wait.delivery_id} {tense.was} being typed since seq {wait.seq}"
        case "awaiting":
            return (
                f"{wait.delivery_id}, typed at seq {wait.seq}, {tense.was} still being looked for"
                f" on {name}'s screen"
            )
        case "in_doubt":
            return (
                f"nobody {tense.knew} yet what became of {wait.delivery_id}, whose typing was"
                f" intended{f' at seq {wait.seq}' if wait.seq else ''} under a broker that ended"
            )
        case "retry":
            return f"{wait.delivery_id} {tense.was} to be tried again {_in(wait, at)}"
        case "pace":
            return f"the next typing into {name}'s terminal {tense.was} due {_in(wait, at)}"
        case "unknown":
            return f"what {tense.kept} {name}'s queue is not known"


def next_step(wait: Wait, name: str) -> str:
    """What a person may do about a wait; empty where it ends by itself."""
    match wait.kind:
        case "held":
            assert wait.reason is not None
            return f"Next: {NEXT_HELD[wait.reason].format(name=name)}."
        case "in_doubt":
            return f"The broker asks {name}'s holder. If none is running, next: ackbook up."
        case _:
            return ""


def span(us: int) -> str:
    """How long, in one unit."""
    seconds = us / 1_000_000
    if seconds < 1:
        return f"{us // 1_000} ms"
    if seconds < 120:
        return f"{round(seconds, 1):g} s"
    if seconds < 7_200:
        return f"{seconds // 60:.0f} minutes"
    return f"{seconds // 3_600:.0f} hours" if seconds < 172_800 else f"{seconds // 86_400:.0f} days"


def never_typed(typed: Typed, attempts: int) -> str:
    """Whether it was ever typed, behind `it was`."""
    if typed == "no":
        return "never typed" if not attempts else f"never typed: {_nothing_of(attempts)}"
    return "typed" if typed == "yes" else "perhaps typed"


def times(attempts: int) -> str:
    """How many attempts."""
    return {0: "no attempt", 1: "one attempt"}.get(attempts, f"{attempts} attempts")


def ended_how(fact: AgentExited) -> str:
    """How a program ended, in two words."""
    if fact.signal is not None:
        return f"signal {fact.signal}"
    known = fact.reason.replace("_", " ")
    return known if fact.code is None else f"exit code {fact.code}"


def _nothing_of(attempts: int) -> str:
    return (
        "its one attempt wrote nothing"
        if attempts == 1
        else f"its {attempts} attempts wrote nothing"
    )


def _in(wait: Wait, at: int) -> str:
    assert wait.until is not None
    return f"in {span(max(0, wait.until - at))}"


def _held(since: WaitStart, name: str, at: int, tense: Tense) -> str:
    wait, entry = since.wait, since.entry
    assert wait.reason is not None
    words = {"name": name, "had": tense.had, "head": wait.delivery_id}
    said = HELD[wait.reason].format(**words)
    if entry is None:
        return f"{said}, and since when, no record that can be read says"
    said += f" since seq {entry.seq}{_because(since, tense)}"
    who = f", set by {since.by or 'the operator'}" if _is_mode(since) else ""
    lasted = at - entry.at
    if lasted < MOMENT_US:
        return said + who
    if tense is PRESENT:
        return f"{said}{who}, for {span(lasted)} so far"
    return f"{said}{who or ','} {span(lasted)} before"


def _is_mode(since: WaitStart) -> bool:
    return since.entry is not None and isinstance(since.entry.fact, AgentModeChanged)


def _because(since: WaitStart, tense: Tense) -> str:
    """What the record that began the wait adds to its reason."""
    match None if since.entry is None else since.entry.fact:
        case AgentExited() as fact:
            return f" ({ended_how(fact)})"
        case AgentRestarting():
            return f" (it {tense.was} being started again)"
        case BrokerStarted():
            return " (a broker started)"
        case AgentSpawned() as fact:
            return f" (generation {fact.generation} started)"
        case AgentAdopted():
            return " (its holder was found again)"
        case DeliveryAcked() as fact:
            return f" (the text of {fact.delivery_id} {tense.stood} in it)"
        case _:
            return ""
