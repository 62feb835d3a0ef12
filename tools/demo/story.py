"""The story, act by act. Each act shows commands and their outcome and proves what it claims."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import msgspec

from ackbook.projections.facts import AgentAdopted
from ackbook.tools.demo.burst import Sender
from ackbook.tools.demo.cast import CAST, WRITERS, set_props, transcript
from ackbook.tools.demo.stage import Broken, Stage

BURST = 200
KILL_AFTER = BURST // 2
"""Messages of all senders together, and how many are acknowledged when the broker is killed."""

QUEUE_LENGTH_MAX = 256
"""The default cap of a queue: one message more, and the oldest has to go."""

ADOPTIONS = ("--kind", AgentAdopted.KIND)
SETTLED_S_MAX = 90.0
"""How long the story waits for anything before it says that it does not hold."""

PATIENCE_S = "20"


class QueuedRow(msgspec.Struct, frozen=True):
    """A delivery that waits."""

    delivery_id: str
    event_id: str
    agent: str


class WaitingList(msgspec.Struct, frozen=True):
    """What `pending` answers, and the part of `replay` that the story looks at."""

    pending: list[QueuedRow]


class ListedAgent(msgspec.Struct, frozen=True):
    """An agent and the process of its program."""

    name: str
    pid: int | None


class ListedAgents(msgspec.Struct, frozen=True):
    """What `ls` answers."""

    agents: list[ListedAgent]


class WhySummary(msgspec.Struct, frozen=True):
    """What `why` answers, as far as it is needed."""

    state: str
    reason: str | None = None


class VerifySummary(msgspec.Struct, frozen=True):
    """What `verify` answers."""

    ok: bool
    records: int


class Again(msgspec.Struct, frozen=True):
    """What `replay --check` answers."""

    ok: bool
    decisions: int
    origin_not_told: int


class FeedEvent(msgspec.Struct, frozen=True):
    """An event of the feed that says how a delivery was verified, or any other."""

    kind: str
    event_id: str = ""
    verification: str = ""


class Adoption(msgspec.Struct, frozen=True):
    """What a holder that outlived its broker told the next one; `began`: attempts."""

    began: list[tuple[str, int]] = []


class Adopted(msgspec.Struct, frozen=True):
    """The record of it."""

    by: Adoption


def tell(stage: Stage) -> None:
    """The whole story. Raises `Broken` at the first proof that does not hold."""
    open_house(stage)
    say_hello(stage)
    three_waited_at = overfill(stage)
    survive(stage)
    look_back(stage, three_waited_at)
    close_house(stage)


def open_house(stage: Stage) -> None:
    stage.act("1. A broker, and real programs in terminals of their own")
    stage.note(f"$ cd {stage.directory}")
    set_props(stage.directory)
    stage.show("up", "--background")
    for actor in CAST:
        options = (*actor.options, "--channel", "all", "--wait", PATIENCE_S)
        stage.show("spawn", actor.name, *options, "--", *actor.command)
    stage.show("ls")


def say_hello(stage: Stage) -> None:
    stage.act("2. Messages, each with how far it has provably come")
    for actor in CAST:
        stage.show("send", actor.name, f"hello {actor.name}", "--wait", PATIENCE_S)
    stage.show("send", "dave", "first line\nsecond line\nthird line", "--wait", PATIENCE_S)
    stage.show("send", "#all", "hello everybody", "--wait", PATIENCE_S)
    stage.show("screen", "dave")
    for name in WRITERS:
        expected = hellos(name)
        kept = await_transcript(stage, name, expected)
        stage.prove(
            len(kept) == len(set(kept)) == expected,
            f"the transcript of {name} holds its {expected} messages, each once",
            kept,
        )


def overfill(stage: Stage) -> int:
    """Send one message more than a held queue takes; the position at which three waited."""
    stage.act(f"3. A queue holds {QUEUE_LENGTH_MAX}: one message too many, and it says so")
    stage.show("hold", "carol")
    sender = Sender(stage.home, "carol", QUEUE_LENGTH_MAX + 1, pace_s=0.0)
    stage.note(f"  POST /api/send to carol, {QUEUE_LENGTH_MAX + 1} times")
    sender.start()
    finish(sender)
    oldest, *others = [message.event_id for message in sender.acknowledged]
    stage.show("why", oldest)
    why = stage.ask(WhySummary, "why", oldest)
    stage.prove(why.reason == "queue_full", "the oldest message was evicted: queue_full", why)
    waiting = [row.event_id for row in stage.ask(WaitingList, "pending", "carol").pending]
    stage.prove(waiting == others, f"the other {QUEUE_LENGTH_MAX} wait in order", len(waiting))
    return sender.acknowledged[2].seq


def survive(stage: Stage) -> None:
    stage.act(f"4. SIGKILL in the middle of a burst of {BURST}")
    programs = stage.ask(ListedAgents, "ls").agents
    broker = stage.broker()
    senders = [Sender(stage.home, name, BURST // len(WRITERS)) for name in WRITERS]
    stage.note(f"  POST /api/send to {', '.join(WRITERS)}, {BURST} times in all")
    try:
        for sender in senders:
            sender.start()
        wait_until(lambda: acknowledged(senders) >= KILL_AFTER or failed(senders))
        os.kill(broker.pid, signal.SIGKILL)
        typed = sum(len(arrivals(stage, sender)) for sender in senders)
        stage.note(f"$ kill -KILL {broker.pid}")
        stage.say(
            f"  {acknowledged(senders)} of {BURST} were acknowledged by then,"
            f" about {typed} had been typed."
        )
        stage.show("up", "--background")
        for sender in senders:
            finish(sender)
    finally:
        for sender in senders:
            sender.stop()
    stage.prove(
        stage.ask(ListedAgents, "ls").agents == programs,
        "every program lived on, with its terminal",
    )
    parked = len(stage.ask(WaitingList, "pending", "carol").pending)
    stage.prove(parked == QUEUE_LENGTH_MAX, f"carol's {parked} messages are still parked", parked)
    for sender in senders:
        await_transcript(stage, sender.to, hellos(sender.to) + len(sender.acknowledged))
    wait_until(
        lambda: {row.agent for row in stage.ask(WaitingList, "pending").pending} == {"carol"}
    )
    prove_exactly_once(stage, senders)


def prove_exactly_once(stage: Stage, senders: list[Sender]) -> None:
    """Compare what the broker acknowledged with what the programs wrote down."""
    for sender in senders:
        sent = [message.event_id for message in sender.acknowledged]
        by_seq = sorted(sender.acknowledged, key=lambda message: message.seq)
        kept = arrivals(stage, sender)
        stage.prove(
            kept == sent == [message.event_id for message in by_seq],
            f"{sender.to}: {len(sent)} acknowledged, {len(kept)} in the transcript,"
            " each once, in order",
            f"{len(kept)} arrivals of {len(set(kept))} messages, {len(sent)} acknowledged",
        )
    begun = sum(len(record.by.began) for record in stage.ask_lines(Adopted, "cat", *ADOPTIONS))
    again = sum(message.tries > 1 for sender in senders for message in sender.acknowledged)
    events = stage.ask_lines(FeedEvent, "events")
    burst = {message.event_id for sender in senders for message in sender.acknowledged}
    echoed = {event.event_id for event in events if event.verification == "echo"} & burst
    stage.say(
        f"  At the kill {begun} were in flight: their holders said how far each had come;\n"
        f"  {again} had no answer yet: they were sent again with the same key.\n"
        f"  {len(echoed)} of {len(burst)} were verified by their echo."
    )


def look_back(stage: Stage, three_waited_at: int) -> None:
    stage.act("5. All of it is on disk, and any moment can be looked at again")
    stage.show("verify")
    verdict = stage.ask(VerifySummary, "verify")
    stage.prove(verdict.ok, f"{verdict.records} records, every byte accounted for", verdict)
    stage.show("replay", "--to", str(three_waited_at))
    earlier = stage.ask(WaitingList, "replay", "--to", str(three_waited_at)).pending
    stage.prove(
        [row.agent for row in earlier] == ["carol"] * 3,
        "back then three messages waited, the one that was evicted later among them",
        earlier,
    )


def close_house(stage: Stage) -> None:
    stage.act("6. A clean end")
    stage.show("release", "carol")
    stage.show("down")
    stage.prove(stage.is_empty(), "broker, holders and programs are gone", stage.processes())
    stage.show("verify")
    stage.show("replay", "--check")
    again = stage.ask(Again, "replay", "--check")
    stage.prove(
        again.ok and not again.origin_not_told,
        f"{again.decisions} decisions, made again from their records: each is the same",
        again,
    )


def hellos(name: str) -> int:
    """How many messages of the second act go to one agent; dave gets the one of many lines."""
    return 3 if name == "dave" else 2


def await_transcript(stage: Stage, name: str, length: int) -> list[str]:
    """The transcript, once it holds so many messages or patience has ended."""
    wait_until(lambda: len(transcript(stage.directory, name)) >= length)
    return transcript(stage.directory, name)


def acknowledged(senders: list[Sender]) -> int:
    return sum(len(sender.acknowledged) for sender in senders)


def failed(senders: list[Sender]) -> bool:
    return any(sender.failure for sender in senders)


def arrivals(stage: Stage, sender: Sender) -> list[str]:
    """What the program took in after the hellos, in its order, repetitions included."""
    return transcript(stage.directory, sender.to)[hellos(sender.to) :]


def finish(sender: Sender) -> None:
    """Wait until it has sent everything. Raises `Broken` when it could not."""
    sender.join(SETTLED_S_MAX)
    if sender.failure or sender.is_alive():
        raise Broken(f"the {sender.name} failed: {sender.failure or 'it takes too long'}")


def wait_until(holds: Callable[[], bool]) -> None:
    """Look again until it holds or patience ends; what follows proves or breaks."""
    deadline = time.monotonic() + SETTLED_S_MAX
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
