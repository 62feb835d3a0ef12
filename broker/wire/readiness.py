"""Readiness: whether a terminal takes a message now, and what stands in the way when it does not.

Alive, ready and blocked are three facts. The first row that holds is the condition:

| what is seen | condition | |
|---|---|---|
| line mode without echo: a password is asked for | blocked, `echo_off` | veto |
| the profile's dialog is on the screen, or its answer begun | blocked, `dialog` | veto |
| a human has begun to type | blocked, `human_typing` | veto |
| never ready so far, and no sign of it yet | starting | |
| the program that was in front at first has ended | blocked, `foreground_changed` | veto |
| something runs in front of the program that was there at first | blocked, `busy` | guess |
| a program that read keys has put the terminal back into line mode | blocked, `busy` | guess |
| a program that took bracketed pastes does not ask for them now | blocked, `busy` | guess |
| otherwise | ready | |

The first two signs of being ready are a prompt before the cursor and output that became quiet; a
program that says nothing is ready when it has slept for a while, and any program at a deadline. A
veto is never overridden; a guess is, by a deadline of the broker.

A shell gives its terminal to each command and takes it back, so a guess is told only when it has
lasted for `BUSY_MS_MIN`; for typing it counts at once. This module is pure: it is told what was
seen and when, and remembers only whether the program was ready and how it read then.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ackbook.broker.wire.evidence import TerminalView, before_column, width
from ackbook.broker.wire.frames import TerminalCondition
from ackbook.broker.wire.profiles import Profile

Front = Literal["home", "child", "lost"]
"""Who is in front: the program that was there when first ready (`home`), another one while that
one lives (`child`), or another one after its end (`lost`)."""

BUSY_MS_MIN = 300
"""A guess that passes sooner is a shell that gave its terminal away and took it back."""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at the terminal and its processes shows.

    `quiet_ms`: since the last output or, before the first (`spoken`), since the program was last
    seen at work. `age_ms`: since the start. `answering`: a human has begun an answer to a
    dialog, behind its question. `ours_at_cursor`: the text before the cursor was typed by us.
    """

    view: TerminalView
    canonical: bool
    echo: bool
    paste: bool
    front: Front
    quiet_ms: int
    age_ms: int
    spoken: bool
    human: bool
    answering: bool = False
    ours_at_cursor: bool = False


class Readiness:
    """The condition of one terminal, as it goes on."""

    def __init__(self, profile: Profile) -> None:
        self.told = TerminalCondition(state="starting")
        """The last condition worth telling."""
        self.was_ready = False
        self._profile = profile
        self._reads_keys = False
        self._takes_pastes = False
        self._guess_since: int | None = None

    def now(self, sight: Sight) -> TerminalCondition:
        """The condition at this moment."""
        if (veto := self._veto(sight)) is not None:
            return veto
        if not self.was_ready:
            how = self._first_sign(sight)
            return (
                TerminalCondition(state="ready", how=how)
                if how
                else TerminalCondition(state="starting")
            )
        if sight.front == "lost":
            return TerminalCondition(state="blocked", reason="foreground_changed")
        elsewhere = (self._reads_keys and sight.canonical) or (
            self._takes_pastes and not sight.paste
        )
        if sight.front == "child" or elsewhere:
            return TerminalCondition(state="blocked", reason="busy", heuristic=True)
        return TerminalCondition(state="ready", how="unblocked")

    def look(self, sight: Sight) -> TerminalCondition | None:
        """The condition, when it is another one than was told last."""
        condition = self.now(sight)
        if condition.state == "ready":
            self.was_ready = True
            self._reads_keys = self._reads_keys or not sight.canonical
            self._takes_pastes = self._takes_pastes or sight.paste
        if not condition.heuristic:
            self._guess_since = None
        elif self._guess_since is None:
            self._guess_since = sight.age_ms
        guessed_ms = 0 if self._guess_since is None else sight.age_ms - self._guess_since
        same = (condition.state, condition.reason) == (self.told.state, self.told.reason)
        if same or (condition.heuristic and guessed_ms < BUSY_MS_MIN):
            return None
        self.told = condition
        return condition

    def _veto(self, sight: Sight) -> TerminalCondition | None:
        if sight.canonical and not sight.echo:
            return TerminalCondition(state="blocked", reason="echo_off")
        if sight.answering or self._asks(sight):
            return TerminalCondition(state="blocked", reason="dialog")
        if sight.human:
            return TerminalCondition(state="blocked", reason="human_typing")
        return None

    def _asks(self, sight: Sight) -> bool:
        if not self._profile.dialogs or sight.ours_at_cursor:
            return False
        everything = "\n".join(sight.view.rows)
        return asks_at_cursor(self._profile, sight.view) or any(
            dialog.where != "cursor" and dialog.pattern.search(everything)
            for dialog in self._profile.dialogs
        )

    def _first_sign(self, sight: Sight) -> str:
        profile = self._profile
        if sight.spoken:
            here = input_line(sight.view)
            if sight.quiet_ms >= profile.prompt_quiet_ms and profile.prompt.search(here):
                return "prompt"
            if sight.quiet_ms >= profile.quiet_ms:
                return "quiet"
        elif sight.quiet_ms >= profile.silent_ms:
            return "quiet"
        return "deadline" if sight.age_ms >= profile.ready_ms_max else ""


def asks_at_cursor(profile: Profile, view: TerminalView) -> bool:
    """Whether a dialog stands before the cursor, where an answer to it would be typed."""
    here = input_line(view)
    return any(
        dialog.where == "cursor" and dialog.pattern.search(here) for dialog in profile.dialogs
    )


def input_line(view: TerminalView) -> str:
    """The row of the cursor, up to the cursor; a full row that wrapped just now is still it."""
    row, column = view.cursor
    rows = ("", *view.rows, *[""] * row)
    above, here = rows[row - 1], rows[row]
    return above if column == 1 and width(above) >= view.cols else before_column(here, column)
