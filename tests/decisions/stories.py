"""The stories behind the golden journals: every command and every rule, on a clock of their own.

Each story is told to the rules by `Simulated`, whose records `make` then writes into a journal. A
story is only ever told once: what is checked for ever is the journal, not this text, which shows
how to tell the next one.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ackbook.broker.core.attempt_report import Written
from ackbook.broker.core.commands import (
    Cancel,
    Flush,
    NoteClock,
    NoteUpkeep,
    Original,
    Redeliver,
    Release,
    ReportEnded,
    ReportIdle,
    SetMode,
    Spawn,
    StopBroker,
    Subscribe,
    Unsubscribe,
)
from ackbook.broker.core.effects import Start
from ackbook.broker.core.plan import plan
from ackbook.projections.facts import AgentName, DeliveryId, EventId, Policy, RestartPolicy
from ackbook.projections.world.fold import World
from tests.support.orders import adopt, become, deliver, ended, message, program, report_of, spawn
from tests.support.simulated import Simulated

BEFORE = 2
"""Records that a new journal begins with: its segment, and that it was opened."""

BOB, AMY = AgentName("bob"), AgentName("amy")


class Told(Simulated):
    """A broker whose records follow on those with which a journal begins."""

    def replayed(self) -> World:
        world = super().replayed()
        world.seq = world.seq or BEFORE
        return world


def at_the_door() -> Told:
    """Taken, refused, evicted, expired, cancelled; keys, priorities, channels."""
    told = Told(
        Policy(
            queue_length_max=3,
            body_bytes_max=64,
            recipients_max=2,
            keys_max=3,
            key_window_ms=60_000,
        )
    )
    for name in ("bob", "amy", "Cid"):
        spawn(told, name, "dev")
        told.ask(SetMode(name=AgentName(name), mode="manual_flush", by="tester"))
    told.ask(Unsubscribe(name=AgentName("cid"), channels=("dev", "ops")))
    told.sent(message("bob", "one"))
    told.sent(message("@BOB", "two", priority=3, thread="t", mode="steer", need="seen"))
    told.sent(message("#dev", "three", data=msgspec.Raw(b'{"a":[1,2]}')))
    told.sent(message("bob", "pushes out the oldest of the least urgent", priority=1))
    told.sent(message("#dev", "is refused by bob", priority=4))
    told.ask(Subscribe(name=AgentName("cid"), channels=("#dev",)))
    told.refused(message("#dev", "for too many"))
    told.sent(message("#dev", "not for its own sender", sender="Bob"))
    told.refused(message("bob", "less urgent than all", priority=4))
    told.refused(message("nobody", "in the void"))
    told.refused(message("#void", "in the void"))
    told.refused(message("bob", "\u200b \n"))
    told.refused(message("bob", "é" * 33))
    keyed = told.sent(message("@amy", "with a key", key="k", ttl_ms=2_500))
    told.sent(message("@amy", "with a key", key="k", ttl_ms=2_500))
    told.refused(message("@amy", "another with it", key="k", ttl_ms=2_500))
    for key in ("l", "m", "n"):
        told.sent(message("cid", "its key makes an old one go", key=key, priority=0))
    told.ask(Cancel(id=told.sent(message("amy", "soon taken back")).event_id, by="tester"))
    told.wait(3_000)
    told.refused(Cancel(id=keyed.event_id))
    told.wait(60_000)
    told.policy = Policy(queue_length_max=3, queue_policy="reject_newest")
    told.ask(StopBroker(reason="down"))
    told.start()
    for number in range(3):
        told.do(message("amy", f"no room for the last: {number}", priority=0))
    return told


def at_the_terminal() -> Told:
    """Typed, seen, submitted, late, failed, cleared, held, unknown; the pace and the hint."""
    told = Told(Policy(failures_max=6, input_hold_ms=3_000))
    spawn(told, "bob")
    for number in range(5):
        told.sent(message("bob", f"arrives {number}"))
    for _ in range(5):
        deliver(told, told.typed()[0])
        told.wait(100)
    told.sent(message("bob", "fails again and again"))
    for phase in ("not_written", "cleared", "not_begun", "not_written", "cleared", "not_written"):
        told.ask(report_of(told.typed()[0], phase, error=f"it was {phase}"))
        told.wait(60_000)
    told.sent(message("bob", "seen, and never leaves the input"))
    first = told.typed()[0]
    told.ask(report_of(first, "typing"))
    told.ask(report_of(first))
    told.ask(report_of(first, seen=True))
    told.sent(message("bob", "waits for the input"))
    told.wait(3_000)
    second = told.typed()[0]
    told.ask(report_of(second))
    told.wait(5_000)
    told.sent(message("bob", "waits for the one before"))
    told.ask(report_of(second, seen=True))
    told.ask(report_of(second, submitted=True))
    told.wait(5_000)
    third = told.typed()[0]
    told.ask(report_of(third, input_empty=True))
    told.ask(report_of(third, input_empty=True, seen=True))
    for reason in ("busy", "dialog"):
        told.sent(message("bob", f"meets {reason}"))
        told.wait(10_000)
        told.ask(report_of(told.typed()[0], "not_begun", held=reason))
        told.wait(3_000)
        become(told, "bob", "ready")
        deliver(told, told.typed()[0])
    told.sent(message("bob", "of which nobody knows"))
    told.wait(400_000)
    lost = told.typed()[0]
    told.ask(report_of(lost, "unknown", error="half of it was written"))
    told.do(report_of(lost, submitted=True))
    told.sent(message("bob", "once more"))
    told.wait(400_000)
    retried = told.typed()[0]
    told.ask(report_of(retried, "not_written"))
    told.refused(report_of(retried, submitted=True))
    told.refused(report_of(msgspec.structs.replace(first, delivery_id=DeliveryId("del_1_9"))))
    told.wait(60_000)
    much_later = report_of(told.typed()[0], submitted=True)
    written = Written(bytes_written=80, offset=100_000)
    report = msgspec.structs.replace(much_later.report, written=written)
    told.ask(msgspec.structs.replace(much_later, report=report))
    told.wait(400_000)
    told.sent(message("bob", "comes with the hint once more"))
    deliver(told, told.typed()[0])
    return told


def with_agents() -> Told:
    """Modes and flushes, holds and deadlines, crashes and restarts, ends and releases."""
    told = Told(Policy(hold_ms=60_000, input_hold_ms=2_000))
    spawn(told, "bob", ready=False)
    told.sent(message("bob", "waits for the program"))
    become(told, "bob", "ready")
    deliver(told, told.typed()[0])
    for reason in ("human_typing", "busy", "busy"):
        become(told, "bob", "blocked", reason)
        told.sent(message("bob", f"waits because of {reason}", priority=4))
        told.wait(2_000)
    become(told, "bob", "ready")
    told.ask(ReportIdle(name=BOB, generation=1, idle_s=30))
    told.ask(SetMode(name=BOB, mode="manual_flush", by="tester"))
    told.ask(SetMode(name=BOB, mode="manual_flush", expected_revision=9))
    told.wait(200)
    told.do(report_of(told.typed()[0], submitted=True))
    told.ask(Flush(name=BOB))
    told.sent(message("bob", "not part of the flush", priority=0))
    told.wait(200)
    deliver(told, told.typed()[0])
    told.ask(SetMode(name=BOB, mode="auto_inject"))
    told.wait(200)
    ended(told, "bob", "signalled", code=None)
    told.sent(message("bob", "for a program that is gone"))
    told.wait(61_000)
    spawn(told, "BOB")
    told.sent(message("bob", "on its way"))
    told.sent(message("bob", "and behind it"))
    told.ask(Release(name=BOB, reason="enough"))
    ended_generation(told, 2)
    spawn(told, "amy", restart=RestartPolicy(enabled=True, max_restarts=2))
    for _ in range(3):
        told.sent(message("amy", "what was typed when it crashed"))
        ended(told, "amy", "exited", code=1)
        if told.world.agents["amy"].state == "restarting":
            told.wait(2_000)
            restarted(told)
    told.wait(61_000)
    spawn(told, "amy")
    told.sent(message("amy", "the program was gone before"))
    ended(told, "amy", "exited", code=0, began=())
    spawn(told, "amy")
    ended(told, "amy", "restarted")
    told.wait(61_000)
    return told


def ended_generation(told: Told, generation: int) -> None:
    """The end of a program whose agent was let go."""
    told.ask(ReportEnded(name=BOB, generation=generation, reason="exited", code=0))


def restarted(told: Told) -> None:
    """What the runtime does when a restart is due."""
    (start,) = [effect for effect in plan(told.world) if isinstance(effect, Start)]
    more = {"restart": start.spawned.restart, "source": "restart"}
    count = {"restart_count": start.restart_count}
    told.ask(Spawn(program=program("amy", start.generation, **more, **count)))
    become(told, "amy", "ready")


def across_brokers() -> Told:
    """Starts, crashes and adoptions, another policy, dead letters and redelivery."""
    told = Told(Policy(queue_length_max=6, failures_max=1, dead_letters_max=3))
    spawn(told, "bob")
    spawn(told, "amy")
    told.sent(message("bob", "was begun"))
    told.sent(message("amy", "was not begun"))
    began = told.typed()[1]
    told.start()
    adopt(told, "bob", (began.delivery_id, began.attempt))
    told.ask(report_of(began, submitted=True))
    adopt(told, "amy")
    for name in ("bob", "amy"):
        become(told, name, "ready")
    deliver(told, told.typed()[0])
    told.wait(10_000)
    for number in range(5):
        told.sent(message("bob", f"is given up {number}"))
        told.ask(report_of(told.typed()[0], "not_written", error="the terminal is closed"))
        told.wait(1_000)
    letters = list(told.world.dead_letters)
    told.ask(SetMode(name=BOB, mode="manual_flush"))
    told.ask(Redeliver(ids=(letters[2], letters[2], DeliveryId("del_1_9"))))
    original = Original(
        delivery_id=DeliveryId("del_5_1"),
        event_id=EventId("evt_5"),
        agent=BOB,
        sender="human",
        target="bob",
        attempt=1,
        priority=1,
        mode="wait",
        need="seen",
    )
    known = msgspec.structs.replace(original, delivery_id=letters[2])
    told.ask(Redeliver(ids=(letters[2], letters[0]), originals=(known,)))
    for number in range(2):
        told.sent(message("bob", f"waits {number}", key=f"k{number}"))
    seen = msgspec.structs.replace(original, delivery_id=DeliveryId("del_6_1"), seen=True)
    both = (original.delivery_id, seen.delivery_id)
    told.ask(Redeliver(ids=both, originals=(original, seen)))
    full = msgspec.structs.replace(original, delivery_id=DeliveryId("del_7_1"))
    told.ask(Redeliver(ids=(letters[1], full.delivery_id), originals=(full,)))
    told.ask(Redeliver())
    told.ask(NoteClock(wall_at=told.at + 5_000_000))
    told.ask(NoteUpkeep(what="snapshot", error="no space"))
    told.ask(StopBroker(reason="down", agents_kept=True))
    told.policy = Policy(queue_length_max=2, keys_max=1, dead_letters_max=1)
    told.at += 3_600_000_000
    told.start()
    told.wait(1_000)
    ended(told, "bob", "ended_with_broker")
    told.wait(31 * 60_000)
    told.do(NoteClock(wall_at=told.at))
    return told


STORIES: dict[str, Callable[[], Told]] = {
    "at-the-door": at_the_door,
    "at-the-terminal": at_the_terminal,
    "with-agents": with_agents,
    "across-brokers": across_brokers,
}
