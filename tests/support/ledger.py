"""A ledger of the truth: what befell each delivery and why, kept beside the broker by a clerk.

The clerk reads each decision as plain JSON and keeps accounts in words of its own: who is in which
queue, what is in which terminal, what a program, a human or an operator did and in which record.
It knows no world, no fold and nothing of how stories are told, so that these can be held against
it. The rules that it goes by:

- A queue is kept by what is in the terminal; else by the first of these that holds: the program has
  ended, is not ready, is blocked, is on hold and the head was not flushed, has a text in its input
  line; else by the head's retry that is not due, or by the pace of typing.
- A wait of a head began with the record that brought about what keeps it, and goes on for as long
  as that head waits for that reason.
- What was typed is what a holder said was written; an attempt of which nothing is known may have
  been typed; one that was not begun or not written typed nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

REACHED = ("submitted", "consumed", "answered")
DEAD_TYPED_NOTHING = "retries_exhausted"


@dataclass
class Wait:
    """What keeps a queue, since which record, and who made it so."""

    kind: str
    delivery_id: str
    reason: str | None = None
    seq: int | None = None
    by: str | None = None

    def told(self) -> dict[str, object]:
        return vars(self)


@dataclass
class Account:
    """One delivery."""

    delivery_id: str
    agent: str
    priority: int
    joined: int
    state: str = "queued"
    reason: str | None = None
    seq: int | None = None
    typed: str = "no"
    attempts: int = 0
    failures: int = 0
    due_at: int = 0
    attempted: int = 0
    written: int = 0
    wait: Wait | None = None

    @property
    def is_open(self) -> bool:
        return self.seq is None


@dataclass
class Agent:
    """One name. `program`: what is in the way of typing, and the record that says so."""

    generation: int = 0
    program: str = ""
    program_seq: int = 0
    on_hold: bool = False
    hold_seq: int = 0
    hold_by: str | None = None
    flushed: int = 0
    terminal: Account | None = None
    terminal_state: str = ""
    terminal_seq: int = 0
    input_of: str | None = None
    input_seq: int = 0
    next_at: int = 0
    queue: list[Account] = field(default_factory=list)
    keeping: Wait | None = None

    def head(self) -> Account | None:
        flushed = [each for each in self.queue if self.on_hold and each.joined <= self.flushed]
        urgent = sorted(flushed or self.queue, key=lambda each: (each.priority, each.joined))
        return urgent[0] if urgent else None

    def program_says(self, reason: str, seq: int) -> None:
        self.program, self.program_seq = reason, seq

    def in_the_way(self, head: Account) -> tuple[str, int, str | None] | None:
        """What a head waits for, the record that brought it about, and who wanted it."""
        if self.program:
            return self.program, self.program_seq, None
        if self.on_hold and head.joined > self.flushed:
            return "manual_flush", self.hold_seq, self.hold_by
        if self.input_of is not None:
            return "input_not_empty", self.input_seq, None
        return None


class Ledger:
    """The accounts of all deliveries and agents."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.refused: dict[str, tuple[str, int]] = {}
        self.at = 0
        self._agents: dict[str, Agent] = {}

    def hear(self, decision: Sequence[dict[str, Any]]) -> None:
        """Take in all records of one decision, as they stand in the journal."""
        self.at = decision[0]["at"]
        kept = {name: self._kept_by(agent) for name, agent in self._agents.items()}
        for record in decision:
            kind, data, seq = record["kind"], record["data"], record["seq"]
            if kind.startswith("delivery."):
                self._delivery(kind, data, seq, kept)
            else:
                self._other(kind, data, seq, kept)
        for agent in self._agents.values():
            self._renew(agent)

    def expected(self, delivery_id: str) -> dict[str, object]:
        """What is true of a delivery now."""
        account = self.accounts[delivery_id]
        state, reason, wait = account.state, account.reason, account.wait
        if account.is_open:
            state, reason = self._stands(account)
            wait = self._kept_by(self._agents[account.agent])
        return {
            "state": state,
            "reason": reason,
            "settled_seq": account.seq,
            "typed": account.typed,
            "attempts": account.attempts,
            "wait": None if wait is None else wait.told(),
        }

    def _stands(self, account: Account) -> tuple[str, str | None]:
        agent = self._agents[account.agent]
        if agent.terminal is account:
            state = agent.terminal_state
            return state, "in_doubt" if state == "in_doubt" else None
        if agent.terminal is not None or agent.head() is not account:
            return "queued", "behind"
        if agent.keeping is not None:
            return "held", agent.keeping.reason
        return "queued", "retry" if account.failures else None

    def _kept_by(self, agent: Agent) -> Wait | None:
        """What keeps a queue at this time."""
        if agent.terminal is not None:
            inside = agent.terminal.delivery_id
            return Wait(agent.terminal_state, inside, seq=agent.terminal_seq)
        if agent.keeping is not None:
            return agent.keeping
        head = agent.head()
        if head is None:
            return None
        if head.failures and head.due_at >= self.at:
            return Wait("retry", head.delivery_id)
        if agent.next_at >= self.at:
            return Wait("pace", head.delivery_id)
        return None

    def _renew(self, agent: Agent) -> None:
        head, before = agent.head(), agent.keeping
        agent.keeping = None
        if head is None or agent.terminal is not None:
            return
        found = agent.in_the_way(head)
        if found is None:
            return
        reason, seq, by = found
        same = before is not None and (before.delivery_id, before.reason) == (
            head.delivery_id,
            reason,
        )
        agent.keeping = before if same else Wait("held", head.delivery_id, reason, seq, by)

    def _other(
        self, kind: str, data: dict[str, Any], seq: int, kept: dict[str, Wait | None]
    ) -> None:
        if kind == "broker.started":
            self._broker_started(seq)
        elif kind == "message.enqueued":
            for each in data["deliveries"]:
                self._join(each["delivery_id"], each["agent"], data.get("priority", 2), seq)
        elif kind == "message.refused":
            self.refused[data["event_id"]] = data["reason"], seq
        elif kind == "agent.released":
            name = data["name"].casefold()
            for each in data.get("dropped", ()):
                self._leave(each["delivery_id"], "released", "agent_released", seq, kept)
            del self._agents[name]
        elif kind.startswith("agent.") or kind == "queue.flushed":
            self._agent(kind, data, seq)

    def _broker_started(self, seq: int) -> None:
        """What a holder has not told this broker yet is not known."""
        for agent in self._agents.values():
            if agent.program != "agent_gone":
                agent.program_says("not_ready", seq)
            if agent.terminal is not None:
                agent.terminal_state, agent.terminal_seq = "in_doubt", agent.terminal.attempted

    def _agent(self, kind: str, data: dict[str, Any], seq: int) -> None:
        name = data["name"].casefold()
        if kind == "agent.spawned":
            agent = self._agents.setdefault(name, Agent())
            agent.generation = data["generation"]
            agent.program_says("not_ready", seq)
            agent.input_of = None
            return
        agent = self._agents.get(name, Agent())
        if agent.generation != data["generation"]:
            return  # one that was let go of has ended at last
        if kind == "agent.ready":
            agent.program_says("", seq)
            if data["how"] == "deadline":
                agent.input_of = None
        elif kind == "agent.blocked":
            agent.program_says(data["reason"], seq)
        elif kind == "agent.adopted":
            agent.program_says("not_ready", seq)
            if agent.terminal is not None and agent.terminal.written:
                agent.terminal_state, agent.terminal_seq = "awaiting", agent.terminal.written
        elif kind in ("agent.exited", "agent.restarting"):
            agent.program_says("agent_gone", seq)
            agent.input_of = None
        elif kind == "agent.mode_changed":
            agent.on_hold, agent.hold_seq = data["mode"] == "manual_flush", seq
            agent.hold_by, agent.flushed = data.get("by"), 0
        elif kind == "queue.flushed":
            agent.flushed = max(agent.flushed, data["through"])

    def _delivery(
        self, kind: str, data: dict[str, Any], seq: int, kept: dict[str, Wait | None]
    ) -> None:
        account = self.accounts.get(data["delivery_id"])
        if account is None:
            return  # a report about nothing
        agent = self._agents.get(account.agent, Agent())
        match kind:
            case "delivery.attempted":
                agent.queue.remove(account)
                account.attempts, account.attempted = data["attempt"], seq
                account.typed, account.written = "unknown", 0
                agent.terminal, agent.terminal_state, agent.terminal_seq = account, "typing", seq
            case "delivery.written":
                account.typed, account.written = "yes", seq
                agent.terminal_state, agent.terminal_seq = "awaiting", seq
            case "delivery.retried":
                self._come_back(agent, account)
                account.failures, account.due_at = data["failures"], data["due_at"]
                agent.next_at = data["throttle"]["next_at"]
            case "delivery.held" if data.get("undone"):
                self._come_back(agent, account)
                agent.program_says(data["reason"], seq)
            case "delivery.acked":
                agent.terminal = None
                account.state, account.reason, account.seq = "acked", data.get("reason"), seq
                agent.next_at = data["throttle"]["next_at"]
                if data.get("occupied"):
                    agent.input_of, agent.input_seq = account.delivery_id, seq
            case "delivery.advanced":
                seen = data.get("evidence", {}).get("how") == "input_emptied"
                if agent.input_of == account.delivery_id and (seen or data["level"] in REACHED):
                    agent.input_of = None
            case "delivery.evicted":
                self._leave(account.delivery_id, "evicted", "queue_full", seq, kept)
            case "delivery.expired":
                self._leave(account.delivery_id, "expired", "ttl", seq, kept)
            case "delivery.cancelled":
                self._leave(account.delivery_id, "cancelled", "cancelled", seq, kept)
            case "delivery.dead_lettered":
                self._give_up(agent, account, data["reason"], seq)
            case "delivery.dropped":
                account.state, account.reason, account.seq = "dropped", "dead_letters_full", seq
            case "delivery.redelivered":
                account.state, account.reason, account.seq = "redelivered", None, seq
                self._join(data["new_delivery_id"], account.agent, data.get("priority", 2), seq)

    def _join(self, delivery_id: str, name: str, priority: int, seq: int) -> None:
        account = Account(delivery_id, name.casefold(), priority, seq)
        self.accounts[delivery_id] = account
        self._agents[account.agent].queue.append(account)

    def _leave(
        self, delivery_id: str, state: str, reason: str, seq: int, kept: dict[str, Wait | None]
    ) -> None:
        """It goes untyped; whatever kept its queue when the decision began is to blame."""
        account = self.accounts[delivery_id]
        account.state, account.reason, account.seq = state, reason, seq
        account.wait = kept.get(account.agent)
        self._agents[account.agent].queue.remove(account)

    def _give_up(self, agent: Agent, account: Account, reason: str, seq: int) -> None:
        account.state, account.reason, account.seq = "dead_letter", reason, seq
        if reason == DEAD_TYPED_NOTHING:
            account.typed = "no"
        if agent.terminal is account:
            agent.terminal = None
        else:
            agent.queue.remove(account)

    def _come_back(self, agent: Agent, account: Account) -> None:
        """An attempt that typed nothing: it is in the queue again, at its old place."""
        account.typed = "no"
        agent.terminal = None
        agent.queue.append(account)
