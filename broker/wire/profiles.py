"""Profiles: what a program looks like from outside, as data, so that no rule names a program.

A profile says which key submits, what interrupts, what a prompt and a dialog look like, and how
much text an input line takes. `generic` fits any line editor and any program that reads lines, and
is what an agent has unless its spawn names another one. A profile for a particular program is one
more entry of `PROFILES`.

What the others know was read off the programs' own screens, at 80 by 24 and 120 by 40: Claude Code
2.1.332, Codex 0.171.0, Gemini CLI 0.61.0, OpenCode 1.18.33. A dialog of theirs is known by its list
of choices together with what stands around it, since a list alone may be an answer.

This module knows no terminal and no rule; `readiness`, `keystrokes` and `evidence` read it.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

PROMPT = re.compile("[$#%>\u276f\u203a\u00bb] ?$")
"""What nearly every prompt ends with: the marks of shells and line editors, a blank after them."""


class Dialog(msgspec.Struct, frozen=True):
    """A question that Enter would answer. `where`: before the cursor, or anywhere on the screen."""

    pattern: re.Pattern[str]
    where: Literal["cursor", "screen"] = "cursor"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """All that typing and watching must know of one kind of program.

    `interrupt` holds the keys of a steering message, each followed by `interrupt_pause_ms`; none
    are sent to a program in line mode, where they would become part of the text. `enter_gap_ms`
    lies between the text that stands on the screen and Enter: some programs take an Enter that
    follows within 120 ms for a part of a paste. `placeholders` are what a program shows in place of
    a large paste. The last three numbers rule when a program that has just started counts as
    ready: after a prompt, after output that has become quiet, after `ready_ms_max` in any case.
    """

    name: str
    enter: bytes = b"\r"
    interrupt: tuple[bytes, ...] = ()
    interrupt_pause_ms: int = 120
    paste: bool = True
    text_bytes_max: int = 8 * 1024
    enter_gap_ms: int = 150
    prompt: re.Pattern[str] = PROMPT
    dialogs: tuple[Dialog, ...] = ()
    placeholders: tuple[re.Pattern[str], ...] = ()
    prompt_quiet_ms: int = 50
    quiet_ms: int = 400
    silent_ms: int = 1_000
    ready_ms_max: int = 10_000


ASKS_YES_OR_NO = Dialog(re.compile(r"[\[(](?:y/n|yes/no)(?:/[^\])]*)?[\])]\s*[?:]?\s*$", re.I))
"""`Proceed? [y/N] ` and its kin, right before the cursor."""

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "fish", "ksh", "ash", "busybox"})
"""Programs that start others in front of themselves and take the terminal back afterwards."""

GENERIC = Profile(name="generic", dialogs=(ASKS_YES_OR_NO,))

ESCAPE = b"\x1b"
"""What these programs say interrupts them: `esc to interrupt`, `esc to cancel`. One that is idle
does nothing at the first, and the second may open a list of what was said before."""

CLAUDE = Profile(
    name="claude",
    interrupt=(ESCAPE,),
    dialogs=(
        ASKS_YES_OR_NO,
        Dialog(
            re.compile(r"^ *\u276f \d+\. .*(?:\n.*)*^ *(?:Enter to \w+|Esc to cancel)\b", re.M),
            where="screen",
        ),
    ),
    placeholders=(re.compile(r"\[Pasted text #\d+(?: \+\d+ lines)?\]"),),
)

CODEX = Profile(
    name="codex",
    interrupt=(ESCAPE,),
    dialogs=(
        ASKS_YES_OR_NO,
        Dialog(
            re.compile(r"^ *\u203a \d+\. .*(?:\n.*)*^ *Press enter to \w+\b", re.M), where="screen"
        ),
    ),
    placeholders=(re.compile(r"\[Pasted Content \d+ chars\]"),),
)

GEMINI = Profile(
    name="gemini",
    interrupt=(ESCAPE,),
    dialogs=(
        ASKS_YES_OR_NO,
        Dialog(
            re.compile(r"\?[ \u2502]*(?:\n[ \u2502]*)+(?:\d+\. .*\n[ \u2502]*)*\u25cf \d+\. "),
            where="screen",
        ),
    ),
    placeholders=(re.compile(r"\[Pasted Text: \d+ (?:lines|chars)(?: #\d+)?\]"),),
)

OPENCODE = Profile(
    name="opencode",
    interrupt=(ESCAPE, ESCAPE),  # it asks for the second one: `esc again to interrupt`
    dialogs=(
        ASKS_YES_OR_NO,
        Dialog(
            re.compile(r"\u25b3 Permission required(?:\n.*)*Allow once +Allow always +Reject"),
            where="screen",
        ),
    ),
    placeholders=(re.compile(r"\[Pasted ~\d+ lines\]"),),
)

PROFILES: dict[str, Profile] = {
    profile.name: profile for profile in (GENERIC, CLAUDE, CODEX, GEMINI, OPENCODE)
}
"""By the name that a spawn gives."""


def profile_of(name: str) -> Profile:
    """The profile of that name. One that this version does not know is generic: a journal may come
    from a later one."""
    return PROFILES.get(name, GENERIC)
