"""Profiles: what a program looks like from outside, as data, so that no rule names a program.

A profile says which key submits, what interrupts, what a prompt and a dialog look like, and how
much text an input line takes. `generic` fits any line editor and any program that reads lines. A
profile for a particular program is one more entry of `PROFILES`.

This module knows no terminal and no rule; `readiness`, `keystrokes` and `evidence` read it.
"""

from __future__ import annotations

import re

import msgspec

PROMPT = re.compile("[$#%>\u276f\u203a\u00bb] ?$")
"""What nearly every prompt ends with: the marks of shells and line editors, a blank after them."""


class Dialog(msgspec.Struct, frozen=True):
    """A question that Enter would answer. `where`: before the cursor, or anywhere on the screen."""

    pattern: re.Pattern[str]
    where: str = "cursor"


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

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (GENERIC,)}


def profile_of(name: str) -> Profile:
    """The profile of that name; an unknown name gets the generic one."""
    return PROFILES.get(name, GENERIC)
