"""How long a message takes from `send` to its text on the screen, and to the proof of it.

Two clocks start with the request. One stops when the text has come out of the agent's terminal, as
somebody who watches it would see it; the other when the answer says that it was seen, which is
after that was recorded and synced. Between two messages there is a pause longer than the throttle,
so that no message waits for the one before.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from websockets.asyncio.client import ClientConnection, connect

from .broker import Broker
from .figures import Figure, figure, percentile, show
from .wire import Line

MESSAGES = 20
"""In a round, to each program."""

PAUSE_S = 0.25
PATIENCE_S = 20.0

CHAT = Path(__file__).parent.parent.parent / "tools" / "demo" / "chat.py"


class Answer(msgspec.Struct, frozen=True):
    """What `/api/send` answers when it was asked to wait."""

    outcome: str


def measure(console: Console, broker: Broker, rounds: int) -> Iterator[Figure]:
    """Two figures (p50 and p99) for each program and clock, over all rounds."""
    transcript = broker.home / "bench.transcript"
    programs = {
        "cat": ("cat",),
        "chat": (sys.executable, str(CHAT), str(transcript)),
    }
    for name, command in programs.items():
        broker.run("spawn", name, "--wait", str(PATIENCE_S), "--", *command)
    shown: dict[str, list[float]] = {name: [] for name in programs}
    proven: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds):
        for name in programs:
            for text_s, proof_s in asyncio.run(converse(broker, name, number)):
                shown[name].append(text_s * 1e3)
                proven[name].append(proof_s * 1e3)
    rows = []
    for name in programs:
        for what, taken in (("text on the screen", shown[name]), ("seen, recorded", proven[name])):
            p50, p99 = percentile(taken, 50), percentile(taken, 99)
            rows.append((name, what, f"{p50:.1f}", f"{p99:.1f}", str(len(taken))))
            key = f"send_to_{what.split(',')[0].split(' ')[0]}_{name}"
            for percent, value in ((50, p50), (99, p99)):
                unit, against = "ms", "the request of the sender"
                yield figure(f"{key}_p{percent}", value, unit, against=against, rounds=rounds)
        broker.run("release", name)
    show(
        console,
        "From send to the screen",
        "Milliseconds. The text is watched from outside; 'seen' is the answer to the sender.",
        ("program", "until", "p50 ms", "p99 ms", "messages"),
        rows,
    )


async def converse(broker: Broker, name: str, number: int) -> list[tuple[float, float]]:
    """Seconds to the text and to the proof, for each message."""
    taken = []
    url = f"ws://127.0.0.1:{broker.connection.port}/api/spawned/{name}/attach?view=true"
    key = {"X-API-Key": broker.connection.api_key}
    async with connect(url, additional_headers=key) as terminal, Line(broker) as line:
        for message in range(MESSAGES):
            await asyncio.sleep(PAUSE_S)
            mark = f"mark{number}x{message}y"
            text = f"the kettle is on {mark}"
            body = msgspec.json.encode(
                {"to": name, "from": "bench", "text": text, "wait_ms": int(PATIENCE_S * 1e3)}
            )
            begun = time.perf_counter()
            watching = asyncio.create_task(watch(terminal, mark.encode()))
            answer = msgspec.json.decode(await line.post("/api/send", body), type=Answer)
            proof_s = time.perf_counter() - begun
            assert answer.outcome == "confirmed", answer
            text_at = await asyncio.wait_for(watching, PATIENCE_S)
            taken.append((text_at - begun, proof_s))
    return taken


async def watch(terminal: ClientConnection, mark: bytes) -> float:
    """When the mark has come out of the terminal."""
    seen = b""
    while mark not in seen:
        chunk = await terminal.recv()
        seen = seen[-len(mark) :] + (chunk if isinstance(chunk, bytes) else chunk.encode())
    return time.perf_counter()
