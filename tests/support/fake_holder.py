"""A holder without a terminal, which does what its script says; it keeps the protocol's promises.

`python -m tests.support.fake_holder` is started like the real one. Its script is the variable
`FAKE_SCRIPT` of the environment that the launch order gives: words, one for each attempt that it
begins, the last one for all that follow.

| word | what becomes of an attempt |
|---|---|
| `ack` (default) | written, seen, submitted |
| `unseen` | written, and never any evidence |
| `partial` | some bytes were taken and then no more: `unknown` |
| `fail` | the terminal took nothing: `not_written` |
| `hang` | typing, for ever |
| `dialog` | a dialog is open, and stays so until a human types `y`: `not_begun` |
| `die` | the holder dies before it writes |
| `die_after` | the holder dies after it has written and before it says so |

A human types until Enter, ^C or ^U, and ends the program with ^D (code 1). What was written goes,
one JSON line a message, to the file `FAKE_TRANSCRIPT`, if given. The door is the real server, so
epochs behave as they do there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from ackbook.broker.core.attempt_report import Phase, Report, Written
from ackbook.broker.runtime.holder.server import HolderServer
from ackbook.broker.runtime.system import unix_sockets
from ackbook.broker.runtime.system.home import Home
from ackbook.broker.runtime.system.processes import Stat, stat
from ackbook.broker.wire import frames
from ackbook.broker.wire.attempts import Attempts, digest_of
from ackbook.broker.wire.frames import ProgramEnded, TerminalCondition, TypeOrder
from ackbook.projections.facts import Evidence, HeldReason

PROMPT = "line> "


class FakeHolder:
    """The desk of the fake. `over` is set when it is to end."""

    def __init__(self, launch: frames.Launch, look: Callable[[int], Stat | None] = stat) -> None:
        self.server = HolderServer(self, Home(Path("/"), None), look)
        self.over = asyncio.Event()
        self._launch = launch
        self._script = launch.env.get("FAKE_SCRIPT", "ack").split()
        self._attempts = Attempts()
        self._condition = TerminalCondition(state="ready", how="prompt")
        self._text = PROMPT
        self._size = (launch.rows, launch.cols)
        self._named = self._came = self._watching = False
        self._ended: ProgramEnded | None = None

    def welcome(self) -> frames.Welcome:
        self._came, self._watching = True, False
        return frames.Welcome(
            name=self._launch.name,
            generation=self._launch.generation,
            holder_pid=os.getpid(),
            pid=os.getpid(),
            named=self._named,
            offset=self._offset,
            condition=self._condition,
            reports=self._attempts.unsettled(),
            settled=self._attempts.settled(),
            ended=self._ended,
            speaks=frames.SPEAKS,
        )

    def introduction(self) -> frames.EpochRefusal:
        pid = os.getpid()
        return frames.EpochRefusal(
            reason="older_epoch", name=self._launch.name, pid=pid, holder_pid=pid
        )

    def left(self) -> None:
        if not self._named:
            self.over.set()

    def obey(self, frame: frames.BrokerFrame) -> None:
        match frame:
            case frames.Named():
                self._named = True
            case frames.TypeOrder():
                self._take(frame)
            case frames.AttemptSettled():
                self._attempts.settle((frame.delivery_id, frame.attempt))
            case frames.Input():
                self._input(frame)
            case frames.Resize():
                self._size = (frame.rows, frame.cols)
            case frames.ScreenAsked():
                self.server.tell(self._screen(frame))
            case frames.WatchOrder():
                self._watching = frame.on
            case frames.EndOrder():
                self._end(ProgramEnded(reason="signalled", signal=signal.SIGHUP))
                self.over.set()
            case frames.Hello():
                raise AssertionError("the server greets")

    def leave_if_unnamed(self) -> None:
        if not self._named:
            self.over.set()

    def leave_if_nobody_came(self) -> None:
        if not self._came:
            self.over.set()

    @property
    def _offset(self) -> int:
        return len(self._text.encode())

    def _show(self, text: str) -> None:
        self._text += text
        if self._watching:
            self.server.tell(frames.Output(offset=self._offset, data=text.encode()))

    def _input(self, frame: frames.Input) -> None:
        if self._condition.reason != "dialog":
            self._block("" if frame.data[-1:] in b"\r\n\x03\x15" else "human_typing")
        elif frame.data == b"y":
            self._block("")
        self._show(frame.data.decode(errors="replace"))
        self.server.tell(frames.InputDone(request=frame.request, bytes_written=len(frame.data)))
        if b"\x04" in frame.data:
            self._end(ProgramEnded(reason="exited", code=1))

    def _block(self, reason: HeldReason | Literal[""]) -> None:
        ready = TerminalCondition(state="ready", how="unblocked")
        self._condition = TerminalCondition(state="blocked", reason=reason) if reason else ready
        self.server.tell(self._condition)

    def _screen(self, asked: frames.ScreenAsked) -> frames.ScreenShown:
        return frames.ScreenShown(
            request=asked.request,
            format=asked.format,
            rows=self._size[0],
            cols=self._size[1],
            cursor=(1, 1),
            offset=self._offset,
            text=self._text,
        )

    def _end(self, ended: ProgramEnded) -> None:
        if self._ended is None:
            self._ended = msgspec.structs.replace(ended, began=self._attempts.began())
            self.server.tell(self._ended)

    def _take(self, order: TypeOrder) -> None:
        key = (order.delivery_id, order.attempt)
        known = self._attempts.ordered(key, digest_of(order.event_id, order.body))
        if known is not None:
            self.server.tell(known)
        elif order.generation != self._launch.generation:
            self.server.tell(report_of(order, "not_begun"))
        elif (reason := self._in_the_way()) is not None:
            self._put(report_of(order, "not_begun", held=reason))
        else:
            self._perform(order, self._next_word())

    def _in_the_way(self) -> HeldReason | None:
        """Why nothing can be begun now."""
        if self._ended is not None:
            return "agent_gone"
        return self._condition.reason if self._condition.state == "blocked" else None

    def _next_word(self) -> str:
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def _perform(self, order: TypeOrder, word: str) -> None:
        if word == "dialog":
            self._block("dialog")
            self._put(report_of(order, "not_begun", held="dialog"))
            return
        if word == "die":
            self._die()
        offset = self._offset
        self._put(report_of(order, "typing"))
        match word:
            case "hang":
                pass
            case "fail":
                self._put(report_of(order, "not_written", error="the terminal took 0 bytes"))
            case "partial":
                self._put(report_of(order, "unknown", error="the terminal took 1 of 9 bytes"))
            case "ack" | "unseen" | "die_after":
                self._write(order)
                if word == "die_after":
                    self._die()
                self._prove(order, offset, seen=word == "ack")
            case _:
                raise ValueError(f"not a word of a script: {word}")

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _write(self, order: TypeOrder) -> None:
        path = self._launch.env.get("FAKE_TRANSCRIPT")
        if path is not None:
            with open(path, "a") as file:
                file.write(json.dumps({"text": order.header + order.body}) + "\n")
        self._show(f"{order.header}{order.body}\n{PROMPT}")

    def _prove(self, order: TypeOrder, offset: int, seen: bool) -> None:
        size = len((order.header + order.body).encode()) + 1
        report = report_of(order, "written", written=Written(bytes_written=size, offset=offset))
        self._put(report)
        if seen:
            echo = Evidence(how="echo_line", offset_from=offset, offset_to=self._offset)
            report = report_of(order, "written", written=report.written, seen=echo)
            self._put(report)
            emptied = Evidence(how="input_emptied", offset_from=offset, offset_to=self._offset)
            self._put(
                report_of(
                    order,
                    "written",
                    written=report.written,
                    seen=echo,
                    submitted=emptied,
                    input_empty=True,
                )
            )

    def _put(self, report: Report) -> None:
        if self._attempts.put(report):
            self.server.tell(report)


def report_of(order: TypeOrder, phase: Phase, **more: object) -> Report:
    report = Report(
        delivery_id=order.delivery_id,
        attempt=order.attempt,
        generation=order.generation,
        phase=phase,
    )
    return msgspec.structs.replace(report, **more)


async def hold(launch: frames.Launch) -> None:
    """Be a holder until it is over."""
    fake = FakeHolder(launch)
    await fake.server.start(unix_sockets.listen(launch.socket))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, fake.over.set)
    loop.call_later(launch.stay_s, fake.leave_if_nobody_came)

    def stdin_readable() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            fake.leave_if_unnamed()

    loop.add_reader(0, stdin_readable)
    await fake.over.wait()
    loop.remove_reader(0)
    await fake.server.stop()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(launch.socket)


if __name__ == "__main__":
    asyncio.run(hold(frames.decode_launch(sys.stdin.buffer.readline())))
