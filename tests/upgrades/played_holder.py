"""A holder of an earlier version, played from what it was heard to say.

`python -m tests.upgrades.played_holder VERSION DAY AGENT SOCKET` listens there, prints `ready`, and
answers a broker that comes as the holder of AGENT answered on that DAY: what it said after
each order that asks for an answer is said after the same order of today's broker, about the message
that is meant now. Every frame of the broker is printed. It ends with the recording, and with 1
where the broker asks for something else than was asked then.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator

from ackbook.broker.runtime.system import unix_sockets
from tests.upgrades.versions import Left, Row

ASKING = frozenset({"hello", "type", "input", "screen_asked", "end"})
"""Orders that a holder answers; the others may come a moment earlier or later."""


def connections(rows: list[Row], agent: str) -> Iterator[list[Row]]:
    """What was said on each connection to the holder of this agent, in the order of time."""
    spoken: dict[int, list[Row]] = {}
    for row in rows:
        if row["frame"]["frame"] == "hello":
            yield from (each for each in [spoken.pop(row["link"], [])] if is_of(each, agent))
        if row["link"]:
            spoken.setdefault(row["link"], []).append(row)
    yield from (each for each in spoken.values() if is_of(each, agent))


def is_of(connection: list[Row], agent: str) -> bool:
    frames = [row["frame"] for row in connection]
    return any(each["frame"] == "welcome" and each["name"] == agent for each in frames)


def answered(connection: list[Row]) -> list[tuple[Row, list[Row]]]:
    """Each order that asks for an answer, with all that the holder said until the next one."""
    orders: list[tuple[Row, list[Row]]] = []
    for row in connection:
        if row["from"] == "holder":
            orders[-1][1].append(row["frame"])
        elif row["frame"]["frame"] in ASKING:
            orders.append((row["frame"], []))
    return orders


def meant(answer: Row, then: Row, now: Row) -> bytes:
    """An answer to an order of then, as an answer to that of now."""
    said = json.dumps(answer, separators=(",", ":"))
    for key in ("delivery_id", "event_id"):
        if key in then:
            said = said.replace(f'"{then[key]}"', f'"{now[key]}"')
    if "request" in then:
        said = json.dumps(json.loads(said) | {"request": now["request"]})
    return said.encode() + b"\n"


def main(version: str, day: str, agent: str, path: str) -> int:
    [connection] = connections(Left(version).heard(day), agent)
    orders = answered(connection)
    listener = unix_sockets.listen(path)
    listener.setblocking(True)
    print("ready", flush=True)
    while True:
        broker, _ = listener.accept()
        with broker:
            code = play(broker, list(orders))
        if code is not None:
            return code


def play(broker: socket.socket, orders: list[tuple[Row, list[Row]]]) -> int | None:
    """How it ended; None where the broker hung up before, and may come again."""
    for line in broker.makefile("rb"):
        print(line.decode(), end="", flush=True)
        now = json.loads(line)
        if now["frame"] not in ASKING:
            continue
        then, answers = orders.pop(0)
        if then["frame"] != now["frame"]:
            return 1
        for answer in answers:
            broker.sendall(meant(answer, then, now))
        if not orders:
            return 0
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
