"""A machine for processes that are simulated: their pids, and the connections between them.

Each process may be killed or stopped at any moment. What it wrote before reaches the others, all of
it or a part, in its order and after a while; what was on its way to one that is killed is gone with
it. Who wrote to somebody who is stopped waits for an answer, as with `SIGSTOP`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random

from ackbook.broker.runtime.system.processes import Stat
from ackbook.broker.wire.frames import FRAME_BYTES_MAX
from tests.support.simulated_loop import SimulatedLoop

PID_FIRST = 100_000_000
"""Beyond all pids of Linux (2^22): whatever is done to one of these is done to nobody."""

WAY_S_MAX = 0.02
"""How long a frame is on its way."""

STOPPED_LOOK_S = 0.1


class Process:
    """One of the machine. `alive` until it is killed, or has ended."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.pid = PID_FIRST + len(machine.processes)
        self.stopped = False
        self.ends: dict[End, None] = {}
        self._killed = False
        machine.processes[self.pid] = self

    @property
    def alive(self) -> bool:
        return not self._killed

    def kill(self) -> None:
        """It does nothing any more, and whoever is connected to it will hear that."""
        self._killed = True
        for end in list(self.ends):
            end.die()


class End(asyncio.Transport):
    """One process's end of a connection."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process = process
        self.peer = self
        self._protocol: asyncio.BaseProtocol | None = None
        self._coming: deque[bytes | None] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        # One of its own: in which order several of them do something is not always decided.
        self._random = Random(process.machine.random.getrandbits(32))

    def join(self, peer: End, protocol: asyncio.BaseProtocol) -> None:
        """Connect, and let this protocol speak on this side."""
        self.peer, self._protocol = peer, protocol
        self.process.ends[self] = None
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing and self.process.alive:
            self.peer.come(bytes(data))

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        if self._closing:
            return
        self._gone()
        if self.process.alive and self._protocol is not None:
            self.process.machine.loop.call_soon(self._protocol.connection_lost, None)
            self.peer.come(None)

    def abort(self) -> None:
        self.close()

    def come(self, data: bytes | None) -> None:
        """Something that the other side wrote is on its way; None: the end of it."""
        if not self._closing:
            self._coming.append(data)
            self._schedule()

    def cut(self) -> None:
        """The connection breaks, and both sides hear of it."""
        self.peer.lose_some()
        self.lose_some()
        self.close()

    def die(self) -> None:
        """Its process is no more."""
        if not self._closing:
            self._gone()
            self.peer.lose_some()
            self.peer.come(None)

    def lose_some(self) -> None:
        """Of what is on its way the last part never left."""
        keep = self._random.randrange(len(self._coming) + 1)
        while len(self._coming) > keep:
            self._coming.pop()

    def _gone(self) -> None:
        self._closing = True
        self._coming.clear()
        self.process.ends.pop(self, None)

    def _schedule(self) -> None:
        if self._timer is None:
            delay = self._random.random() * WAY_S_MAX
            self._timer = self.process.machine.loop.call_later(delay, self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        if self.process.stopped:
            self._timer = self.process.machine.loop.call_later(STOPPED_LOOK_S, self._arrive)
            return
        if self._closing or not self._coming or not self.process.alive:
            return
        data = self._coming.popleft()
        if self._coming:
            self._schedule()
        assert isinstance(self._protocol, asyncio.Protocol)
        if data is not None:
            self._protocol.data_received(data)
        elif not self._protocol.eof_received():
            self.close()


Accept = Callable[[], asyncio.Protocol]


class Machine:
    """All processes, and who listens under which name."""

    def __init__(self, loop: SimulatedLoop, random: Random) -> None:
        self.loop = loop
        self.random = random
        self.processes: dict[int, Process] = {}
        self._doors: dict[str, tuple[Process, Accept]] = {}

    def look(self, pid: int) -> Stat | None:
        """As `processes.stat` does."""
        process = self.processes.get(pid)
        if process is None or not process.alive:
            return None
        return Stat(pid, "simulated", "S", 1, pid, pid, pid)

    def listen(self, name: str, process: Process, accept: Accept) -> None:
        """Let others connect to this process by that name."""
        self._doors[name] = process, accept

    def names(self) -> list[str]:
        """Under which somebody listens."""
        return sorted(name for name, (process, _) in self._doors.items() if process.alive)

    def kill(self, name: str) -> None:
        """Whoever listens there."""
        self._doors[name][0].kill()

    def connect(
        self, process: Process, name: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises `ConnectionRefusedError` where nobody listens."""
        listener, accept = self._doors.get(name, (None, None))
        if listener is None or accept is None or not listener.alive:
            raise ConnectionRefusedError(name)
        reader = asyncio.StreamReader(FRAME_BYTES_MAX, self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
        here, there = End(process), End(listener)
        here.join(there, protocol)
        there.join(here, accept())
        return reader, asyncio.StreamWriter(here, protocol, reader, self.loop)
