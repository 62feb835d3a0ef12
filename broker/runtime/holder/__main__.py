"""The holder: `python -m ackbook.broker.runtime.holder`, one `Launch` line on standard input.

It says `ready` on standard output once the program runs and the socket listens, or one line that
begins with `error: ` or `short: `, and then lets go of standard output. Whoever started it keeps
its standard input open until the holder is named. Standard error is a log for operators.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from pathlib import Path

import msgspec

from ackbook.broker.runtime.holder.listening import SocketName, keep
from ackbook.broker.runtime.holder.process import CannotStart, TerminalProgram
from ackbook.broker.runtime.system import inherited
from ackbook.broker.runtime.system.home import Home
from ackbook.broker.runtime.system.shortage import shortage
from ackbook.broker.wire.frames import FRAME_BYTES_MAX, SHORT, Launch, decode_launch


def main() -> int:
    """Start what is ordered and hold it. The exit code is 0 only after a start that succeeded."""
    inherited.settle_in()
    try:
        launch = decode_launch(sys.stdin.buffer.readline(FRAME_BYTES_MAX))
        home = home_of(launch)
        names = [SocketName(home.inside(launch.socket))]
        listener = names[0].bind()
        try:
            program = TerminalProgram(launch)
        except CannotStart:
            names[0].remove()
            raise
    except (CannotStart, OSError, msgspec.DecodeError) as error:
        what = shortage(error) or shortage(error.__cause__ or error)
        say(f"{SHORT}{what}" if what else f"error: {error}".replace("\n", " "))
        return 1
    say("ready")
    if launch.listing:
        names.append(SocketName(Path(launch.listing) / names[0].path.name, listed=True))
    try:
        asyncio.run(hold(launch, program, listener, names, home))
    finally:
        program.kill()
        for name in names:
            name.remove()
    return 0


def home_of(launch: Launch) -> Home:
    """The broker's directory, which is the working directory that it gave us: its path may mean
    another one by now."""
    if not launch.home:
        return Home(Path("/"), None)
    home = Home(Path(launch.home), os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    os.chdir("/")
    return home


def say(line: str) -> None:
    """Tell whoever waits, and let go of its pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.close(null)


async def hold(
    launch: Launch,
    program: TerminalProgram,
    listener: socket.socket,
    names: list[SocketName],
    home: Home,
) -> None:
    """Everything after the start, until everything has ended."""
    # The model of the screen is a large import; the program starts meanwhile.
    from ackbook.broker.runtime.holder.holder import Holder

    gc.freeze()
    async with asyncio.TaskGroup() as tasks:
        holder = Holder(launch, program, tasks, home)
        await names[0].serve(holder.server, listener)
        listening = tasks.create_task(keep(names, holder.server))
        loop = asyncio.get_running_loop()

        def stdin_readable() -> None:
            if not os.read(0, 4096):
                loop.remove_reader(0)
                holder.broker_process_ended()

        loop.add_reader(0, stdin_readable)
        await holder.run()
        listening.cancel()
        loop.remove_reader(0)


if __name__ == "__main__":
    sys.exit(main())
