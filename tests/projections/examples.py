"""One example of every fact, all fields filled. Golden files were made from them, once.

`python -m tests.projections.examples` prints the lines of a golden file for a new format; a golden
file that is released is never made again.
"""

from __future__ import annotations

import msgspec
import orjson

from ackbook.projections import facts
from ackbook.projections.codec import encode
from ackbook.projections.facts import (
    AgentName,
    DeliveryId,
    EventId,
    Evidence,
    Fact,
    Policy,
    Ref,
    Throttle,
)

AT = 1_763_800_000_123_456
BOB = AgentName("bob")
CID = AgentName("Cid")
REF = {
    "delivery_id": DeliveryId("del_2a_1"),
    "event_id": EventId("evt_2a"),
    "agent": BOB,
    "sender": "amy",
    "target": "#dev",
    "attempt": 2,
}
EVIDENCE = Evidence(
    how="echo_line",
    offset_from=10,
    offset_to=99,
    row_first=3,
    row_last=4,
    matched="token",
    note="wrapped",
)
THROTTLE = Throttle(delay_ms=200, failures=2, successes=0, next_at=AT + 200_000)
OF = {"name": BOB, "generation": 3}

EXAMPLES: tuple[Fact, ...] = (
    facts.BrokerStarted(epoch=7, pid=4242, version="0.1.0", instance="i"),
    facts.BrokerStopped(reason="signal", agents_kept=True),
    facts.PolicyChanged(policy=Policy(queue_length_max=512, queue_policy="reject_newest")),
    facts.ClockDiverged(wall_at=AT + 5_000_000, ahead_us=5_000_000),
    facts.AgentSpawned(
        **OF,
        pid=99,
        command="python3",
        args=("-q",),
        cwd="/srv",
        env_names=("HOME",),
        channels=("dev", "general"),
        holder="a.sock",
        cli="python3 -q",
        model="m",
        session_id="s",
        team="t",
        parent="p",
        source="api",
        profile="generic",
        rows=30,
        cols=120,
        restart=facts.RestartPolicy(enabled=True),
        restart_count=1,
    ),
    facts.AgentReady(**OF, how="prompt", first=True, pid=99, cli="python3", model="m"),
    facts.AgentBlocked(**OF, reason="busy", until=AT + 60_000_000),
    facts.AgentAdopted(**OF, pid=99),
    facts.AgentExited(
        **OF, reason="signalled", code=None, signal=9, hold_ms=1_800_000, uptime_ms=12
    ),
    facts.AgentRestarting(
        **OF, code=1, signal=None, restart_count=2, delay_ms=2_000, due_at=AT + 2_000_000
    ),
    facts.AgentDied(**OF, reason="5 restarts, 3 crashes in a row"),
    facts.AgentReleased(**OF, reason="done", dropped=(Ref(**REF),)),
    facts.AgentModeChanged(
        **OF, previous_mode="auto_inject", mode="manual_flush", revision=4, by="human"
    ),
    facts.AgentSubscribed(**OF, channels=("ops",), all=("dev", "ops")),
    facts.AgentUnsubscribed(**OF, channels=("ops",), all=("dev",)),
    facts.AgentIdle(**OF, idle_secs=30, since=AT),
    facts.AgentResult(**OF, result_id="r", data=msgspec.Raw(b'{"n":1}'), final=False),
    facts.QueueFlushed(**OF, through=41, count=2, reason="delivery_mode_transition"),
    facts.MessageEnqueued(
        event_id=EventId("evt_2a"),
        sender="amy",
        target="#dev",
        body="one\ntwo \u2028 \u00e9 \U0001f600",
        deliveries=(
            facts.Recipient(delivery_id=DeliveryId("del_2a_1"), agent=BOB),
            facts.Recipient(
                delivery_id=DeliveryId("del_2a_2"), agent=AgentName("Cid"), parked=True
            ),
        ),
        refused=(facts.RefusedRecipient(agent=AgentName("dan"), reason="queue_full"),),
        thread="t",
        priority=0,
        mode="steer",
        need="submitted",
        expires_at=AT + 1_000_000,
        key="k",
        key_until=AT + 86_400_000_000,
        content="c0ffee",
        data=msgspec.Raw(b'{"a":[1,2]}'),
    ),
    facts.MessageRefused(
        event_id=EventId("evt_2b"),
        sender="amy",
        target="nobody",
        reason="unknown_agent",
        detail="no",
        body_bytes=5,
        priority=1,
        key="k",
        refused=(facts.RefusedRecipient(agent=BOB, reason="queue_full"),),
    ),
    facts.KeysForgotten(keys=(("amy", "k"), ("human", "l")), reason="window"),
    facts.DeliveryAttempted(**REF, generation=3, window_ms=5_000, settle_ms=2_000, hint=True),
    facts.DeliveryWritten(
        **REF,
        generation=3,
        bytes_written=88,
        offset=1_024,
        window_until=AT + 5_000_000,
        form="paste",
        enter="deadline",
        salt="5a17",
        salted_body="aa",
        salted_typed="bb",
    ),
    facts.DeliveryAcked(
        **REF,
        generation=3,
        level="seen",
        verification="echo",
        throttle=THROTTLE,
        evidence=EVIDENCE,
        occupied=True,
        hold_until=AT + 60_000_000,
    ),
    facts.DeliveryAdvanced(**REF, generation=3, level="consumed", evidence=EVIDENCE, by="bob"),
    facts.DeliveryRetried(
        **REF, generation=3, failures=2, due_at=AT + 2_000_000, error="closed", throttle=THROTTLE
    ),
    facts.DeliveryHeld(**REF, reason="dialog", undone=True, until=AT + 1),
    facts.DeliveryResumed(**REF, reason="dialog"),
    facts.DeliveryEvicted(**REF, priority=3, cap=256, by=EventId("evt_2c")),
    facts.DeliveryExpired(**REF, expires_at=AT),
    facts.DeliveryCancelled(**REF, by="human"),
    facts.DeliveryDropped(**REF, reason="dead_letters_full", cap=500),
    facts.DeliveryDeadLettered(**REF, reason="outcome_unknown", queued_at=AT, error="lost"),
    facts.DeliveryRedelivered(
        **REF,
        new_delivery_id=DeliveryId("del_2d_1"),
        priority=3,
        mode="steer",
        need="written",
        thread="t",
    ),
    facts.DeliveryReportRefused(**REF, generation=2, report="written", reason="dead_generation"),
    facts.UpkeepFailed(what="snapshot", error="no room"),
)


def line(seq: int, fact: Fact) -> bytes:
    """A record of this fact, without what the journal adds for itself."""
    return orjson.dumps(
        {
            "seq": seq,
            "at": AT + seq,
            "kind": fact.KIND,
            "by": {"command": "send"},
            "cause": [seq - 1] if seq > 1 else [],
            "data": orjson.Fragment(encode(fact)),
        }
    )


if __name__ == "__main__":
    for number, example in enumerate(EXAMPLES, 1):
        print(line(number, example).decode())
