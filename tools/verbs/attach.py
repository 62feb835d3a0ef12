"""`ackbook attach`: your terminal joined to an agent's, through the running broker.

What the program shows comes here, beginning with a repaint of its screen; what is typed here goes
to the program and counts as a human typing, which holds messages back while the input line is not
empty. Ctrl-] detaches. With `--view` nothing that is typed goes anywhere.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

import anyio
import click
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from ackbook.broker.exit_codes import ExitCode
from ackbook.projections.analysis.row_shapes import AgentRow
from ackbook.tools.cli.client import Client, agent_path
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.options import agent_argument, place_option
from ackbook.tools.cli.output import say
from ackbook.tools.cli.place import Place
from ackbook.tools.cli.terminal import (
    keys_from,
    raw_mode,
    show_title,
    size,
    until_detach,
    write_all,
)
from ackbook.tools.cli.transport import SERVED

SIGNALLED = 128
"""The exit code of a command that a signal ended is this and the signal's number."""

INTERRUPT = b"\x03"


@click.command()
@agent_argument
@click.option("--view", is_flag=True, help="Look only: no key goes to the program.")
@place_option
def attach(name: str, view: bool, place: Place) -> ExitCode:
    """Join your terminal to the one of NAME. Ctrl-] detaches; the program goes on.

    The exit code is 0 when you left or the program ended, and 74 when the connection broke.
    """
    if not view:
        require_terminal(name)
    return join(Client(place), name, view=view)


def require_terminal(name: str) -> None:
    """Raises `Failure` where nobody could type: standard input is no terminal."""
    if not sys.stdin.isatty():
        raise Failure(
            ExitCode.USAGE,
            "standard input is not a terminal",
            f"look at it with: ackbook screen {name}",
        )


def join(client: Client, name: str, *, view: bool) -> ExitCode:
    """Join the terminals until the way out is taken or the program ends; the exit code.

    Raises `Failure` where a signal ended it or the connection broke, and as `Client.ask` does.
    """
    keyboard, display = sys.stdin.fileno(), sys.stdout.fileno()
    row = client.ask("GET", agent_path(name), AgentRow)
    say(f"[{'watching' if view else 'joined to'} {row.name}; Ctrl-] detaches]")
    bridge = Bridge(client, row.name, keyboard, display, view)
    if not sys.stdin.isatty():
        anyio.run(bridge.run)
    else:
        with raw_mode(keyboard, display):
            # The repaint covers the line above; the title still says how to leave.
            show_title(display, f"{row.name} (Ctrl-] detaches)")
            anyio.run(bridge.run)
    return _farewell(client, row.name, bridge)


class Bridge:
    """One joining: what flows over its connection, and how it ended.

    `detached`: the way out was taken. `signal`: this one ended it. Neither: the other side did.
    """

    def __init__(self, client: Client, name: str, keyboard: int, display: int, view: bool) -> None:
        self._client = client
        self._name = name
        self._keyboard = keyboard
        self._display = display
        self._view = view
        self.detached = False
        self.signal: int | None = None

    async def run(self) -> None:
        """Carry output and keys until one side is over. Raises `Failure` where the broker refuses
        or is not there; a connection that breaks later is an end."""
        async with await self._connect() as link, anyio.create_task_group() as flows:
            flows.start_soon(self._heed_signals, link, flows.cancel_scope)
            if os.isatty(self._keyboard):
                flows.start_soon(self._type, link, flows.cancel_scope)
            if not self._view:
                await self._resize(link)
            await self._show(link)
            flows.cancel_scope.cancel()

    async def _connect(self) -> ClientConnection:
        transport = self._client.transport
        route = "/attach?view=true" if self._view else "/attach"
        try:
            return await connect(
                f"ws://{SERVED}{agent_path(self._name, route)}",
                sock=transport.link(),
                additional_headers=self._client.headers(),
                proxy=None,
                compression=None,
                max_size=None,
            )
        except InvalidStatus as refused:
            answer = refused.response
            raise self._client.refusal(answer.status_code, bytes(answer.body or b"")) from None
        except (OSError, InvalidHandshake) as problem:
            raise self._client.unreachable(problem) from None

    async def _show(self, link: ClientConnection) -> None:
        """Show output until the other side is over, or whoever reads it here is."""
        try:
            async for shown in link:
                if isinstance(shown, bytes):
                    write_all(self._display, shown)
        except ConnectionClosed:
            pass
        except OSError:
            self.detached = True

    async def _type(self, link: ClientConnection, flows: anyio.CancelScope) -> None:
        with suppress(ConnectionClosed):
            while keys := await keys_from(self._keyboard):
                typed, leaves = until_detach(keys)
                if self._view:
                    leaves = leaves or INTERRUPT in keys
                elif typed:
                    await link.send(typed)
                if leaves:
                    break
            self.detached = True
            flows.cancel()

    async def _resize(self, link: ClientConnection) -> None:
        rows, cols = size(self._display)
        with suppress(ConnectionClosed):
            await link.send(f'{{"type":"resize","rows":{rows},"cols":{cols}}}')

    async def _heed_signals(self, link: ClientConnection, flows: anyio.CancelScope) -> None:
        heeded = (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP)
        with anyio.open_signal_receiver(*heeded) as arriving:
            async for number in arriving:
                if number == signal.SIGWINCH:
                    if not self._view:
                        await self._resize(link)
                else:
                    self.signal = number
                    flows.cancel()


def _farewell(client: Client, name: str, bridge: Bridge) -> ExitCode:
    """Say how the joining ended; the exit code."""
    if bridge.signal is not None:
        raise Failure(SIGNALLED + bridge.signal, f"ended by signal {bridge.signal}")
    if bridge.detached:
        say(f"[left {name}; come back with: ackbook attach {name}]")
        return ExitCode.DONE
    row = client.ask("GET", agent_path(name), AgentRow)
    if row.state in ("gone", "restarting"):
        say(f"[the program of {name} ended]")
        return ExitCode.DONE
    raise Failure(
        ExitCode.IO_ERROR,
        f"the connection to {name} broke",
        f"come back with: ackbook attach {name}",
    )
