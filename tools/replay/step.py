"""`ackbook replay --step`: the past in a terminal, one record at a time, forward and back.

What is shown is `step_view`'s business, where one stands is `stepper`'s; here keys become moves.
The terminal is prompt_toolkit's, which gives it back as it was, however this ends.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    VSplit,
    Window,
)

from ackbook.broker.exit_codes import ExitCode
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.output import plain
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.moment_syntax import FORMS, Moment, moment_of
from ackbook.tools.history.record_filter import RecordFilter
from ackbook.tools.replay.step_view import DIM, draw, keys_line
from ackbook.tools.replay.stepper import Stepper

PAGE = 100
"""Records that one page is: as many as a person may want to pass over unseen."""

ESCAPE_S = 0.05
"""How long a lone Escape may be the beginning of another key."""

KEYS = (
    ("←→", "one"),
    ("pgup/pgdn", str(PAGE)),
    ("n/p", "next/prev"),
    ("a", "agent"),
    ("i", "id"),
    ("k", "kind"),
    ("g", "go to"),
    ("q", "quit"),
)
ANSWER_KEYS = (("enter", "go"), ("esc", "back"))

OWN_ROWS = 2
"""Below the record: what was said or is asked, and the keys."""


def step(history: JournalHistory, start: Moment | None, wanted: RecordFilter) -> None:
    """Go through the records until somebody has seen enough. Raises `Failure` where there is
    nothing to go through, or no terminal to do it in."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Failure(
            ExitCode.USAGE,
            "replay --step needs a terminal",
            "without one: ackbook replay --to SEQ, or ackbook cat --from SEQ",
        )
    stepper = Stepper(history)
    if not stepper.head:
        raise Failure(ExitCode.NOT_FOUND, f"{history.directory} holds no record yet")
    if start is not None:
        stepper.stand(start.seq)
    elif wanted != RecordFilter() and not stepper.seek(wanted, forward=True):
        raise Failure(ExitCode.NOT_FOUND, f"no record names {_told(wanted)}")
    with redirect_stderr(StringIO()) as talk:  # it would be written across the screen
        _Session(stepper, wanted, talk).run()
    sys.stderr.write(talk.getvalue())


def _told(wanted: RecordFilter) -> str:
    return plain(wanted.agent or wanted.identity or " ".join(wanted.kinds))


class _Session:
    """One terminal, from the first screen to the last key."""

    def __init__(self, stepper: Stepper, wanted: RecordFilter, talk: StringIO) -> None:
        self._stepper = stepper
        self._wanted = wanted
        self._talk = talk
        self._said = ""
        self._question = ""
        self._is_searching = False
        self._answered: Callable[[str], None] = self._go_to
        self._field = BufferControl(Buffer(multiline=False, accept_handler=self._accept))
        self._asking = Condition(lambda: bool(self._question))
        self._searching = Condition(lambda: self._is_searching)
        self._view = stepper.view()
        self._application: Application[None] = Application(
            layout=self._layout(), key_bindings=self._keys(), full_screen=True
        )
        self._application.ttimeoutlen = ESCAPE_S

    def run(self) -> None:
        """Until somebody leaves."""
        self._application.run(pre_run=self._heed_signals, set_exception_handler=False)

    def _heed_signals(self) -> None:
        """Who ends this from outside gets the terminal back all the same."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._leave, KeyboardInterrupt())

    # --- what is seen

    def _layout(self) -> Layout:
        question = VSplit(
            [
                Window(FormattedTextControl(lambda: self._question), dont_extend_width=True),
                Window(self._field),
            ],
            height=1,
        )
        said = Window(FormattedTextControl(self._spoken), height=1)
        self._body = Window(FormattedTextControl(self._drawn, focusable=True, show_cursor=False))
        return Layout(
            HSplit(
                [
                    self._body,
                    ConditionalContainer(question, self._asking),
                    ConditionalContainer(said, ~self._asking),
                    Window(FormattedTextControl(self._keys_line), height=1),
                ]
            )
        )

    def _drawn(self) -> StyleAndTextTuples:
        size = self._application.output.get_size()
        return draw(self._view, self._stepper, size.rows - OWN_ROWS, size.columns)

    def _spoken(self) -> StyleAndTextTuples:
        """What there is to say; else what n and p go by."""
        if self._said or self._wanted == RecordFilter():
            return [("ansiyellow", self._said)]
        return [(DIM, "n and p: records of "), ("", _told(self._wanted))]

    def _keys_line(self) -> StyleAndTextTuples:
        return keys_line(ANSWER_KEYS if self._question else KEYS)

    # --- what is pressed

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        moves: dict[tuple[str, ...], Callable[[], None]] = {
            ("right", "l", "space"): lambda: self._move(1),
            ("left", "h", "backspace"): lambda: self._move(-1),
            ("pagedown",): lambda: self._move(PAGE),
            ("pageup",): lambda: self._move(-PAGE),
            ("home",): lambda: self._stepper.stand(1),
            ("end",): lambda: self._stepper.stand(self._stepper.head),
            ("n",): lambda: self._seek(forward=True),
            ("p",): lambda: self._seek(forward=False),
            ("a",): lambda: self._ask("agent: ", lambda text: RecordFilter(agent=text)),
            ("i",): lambda: self._ask(
                "message or delivery: ", lambda text: RecordFilter(identity=text)
            ),
            ("k", "/"): lambda: self._ask(
                "kind, such as delivery.*: ", lambda text: RecordFilter(kinds=(text,))
            ),
            ("g", ":"): self._ask_where,
        }
        for pressed, move in moves.items():
            for key in pressed:
                keys.add(key, filter=~self._asking)(self._handler(move))
        for key in ("q", "c-c", "c-d", "<sigint>"):
            keys.add(key, filter=~self._asking)(lambda event: self._leave())
        for key in ("escape", "c-c", "c-d", "<sigint>"):
            keys.add(key, filter=self._asking, eager=True)(lambda event: self._end_question())
        keys.add("<any>", filter=self._searching, eager=True)(lambda event: self._stop())
        keys.add("c-z")(lambda event: event.app.suspend_to_background())
        return keys

    def _handler(self, move: Callable[[], None]) -> Callable[[KeyPressEvent], None]:
        return lambda event: self._carry_out(move)

    def _carry_out(self, move: Callable[[], None]) -> None:
        with self._moving():
            move()

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """Move, and look where that led. What the journal has to say is shown; a bug ends it."""
        self._said = ""
        heard = len(self._talk.getvalue())
        try:
            yield
            self._view = self._stepper.view()
        except Failure as failure:
            self._said = str(failure)
        except Exception as problem:
            self._leave(problem)
        self._said = self._said or " ".join(self._talk.getvalue()[heard:].split())

    def _move(self, records: int) -> None:
        before = self._stepper.seq
        self._stepper.stand(before + records)
        if self._stepper.seq == before:
            self._said = "this is the last record" if records > 0 else "this is the first record"

    def _seek(self, *, forward: bool) -> None:
        if self._wanted == RecordFilter():
            self._said = "of what? choose with a (agent), i (message or delivery) or k (kind)"
            return
        before = self._stepper.seq
        steps = self._stepper.search(self._wanted, forward=forward)
        if next(steps, None) is None:
            self._found(before, forward=forward)
            return
        self._is_searching = True
        self._application.create_background_task(self._search(steps, before, forward=forward))

    async def _search(self, steps: Iterator[int], before: int, *, forward: bool) -> None:
        """Go on with a search that takes its time: it says where it is, and any key stops it."""
        with self._moving():
            for at in steps:
                self._said = f"searching at record {at}; any key stops it"
                self._application.invalidate()
                await asyncio.sleep(0)
                if not self._is_searching:
                    self._said = "stopped"
                    break
            else:
                self._said = ""
                self._found(before, forward=forward)
        self._stop()
        self._application.invalidate()

    def _stop(self) -> None:
        self._is_searching = False

    def _found(self, before: int, *, forward: bool) -> None:
        """Say so where a search found nothing."""
        if self._stepper.seq == before:
            which = "no further" if forward else "no earlier"
            self._said = f"{which} record of {_told(self._wanted)}"

    # --- what is asked

    def _ask(self, question: str, wanted: Callable[[str], RecordFilter]) -> None:
        """Ask what to look for; the answer goes to the next record of it."""

        def seek(text: str) -> None:
            self._wanted = wanted(text)
            self._seek(forward=True)

        self._put(question, seek)

    def _ask_where(self) -> None:
        self._put(f"position or time ({FORMS}): ", self._go_to)

    def _put(self, question: str, answered: Callable[[str], None]) -> None:
        self._question, self._answered = question, answered
        self._field.buffer.reset()
        self._application.layout.focus(self._field)

    def _accept(self, buffer: Buffer) -> bool:
        text = buffer.text.strip()
        self._end_question()
        if text:
            self._carry_out(lambda: self._answered(text))
        return False

    def _end_question(self) -> None:
        self._question = ""
        self._application.layout.focus(self._body)

    def _go_to(self, text: str) -> None:
        self._stepper.stand(moment_of(self._stepper.history, text).seq)

    def _leave(self, because: BaseException | None = None) -> None:
        if because is None:
            self._application.exit()
        else:
            self._application.exit(exception=because)
