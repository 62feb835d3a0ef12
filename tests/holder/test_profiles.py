"""What a profile knows of its program is what that program draws, and nothing else it draws.

The screens are cut from recordings of the programs whose versions `profiles` names.
"""

from __future__ import annotations

import pytest

from ackbook.broker.wire.profiles import GENERIC, PROFILES, profile_of

CHOSEN = {"claude": "\u276f", "codex": "\u203a", "gemini": "\u25cf"}

DIALOGS = {
    "claude": f"""
 touch recorded
 Do you want to proceed?
 {CHOSEN["claude"]} 1. Yes
   2. Yes, and always allow access to /home/me/work from this project
   4. No

 Esc to cancel · Tab to amend
""",
    "codex": f"""
  Would you like to run the following command?

  $ touch recorded

{CHOSEN["codex"]} 1. Yes, proceed (y)
  2. Yes, and don't ask again for commands that start with `touch recorded` (p)
  3. No, and tell Codex what to do differently (esc)

  Press enter to confirm or esc to cancel
""",
    "gemini": f"""
│ Allow execution of [Shell]?                                                  │
│                                                                              │
│ {CHOSEN["gemini"]} 1. Allow once                                                              │
│   2. Allow for this session                                                  │
│   3. No, suggest changes (esc)                                               │
""",
    "opencode": """
  ┃  \u25b3 Permission required
  ┃    # Shell command
  ┃
  ┃  $ touch recorded
  ┃
  ┃   Allow once   Allow always   Reject  ctrl+f fullscreen
""",
}
LOWER = {
    "claude": DIALOGS["claude"].replace("\u276f 1", "  1").replace("   4.", " \u276f 4."),
    "codex": DIALOGS["codex"].replace("\u203a 1", "  1").replace("  3.", "\u203a 3."),
    "gemini": DIALOGS["gemini"].replace("\u25cf 1", "  1").replace("  3.", "\u25cf 3."),
}
"""Somebody has moved to the last choice."""

HARMLESS = {
    "claude": f"{CHOSEN['claude']} 1. buy tea\n  2. drink it\n\n  esc to interrupt",
    "codex": f"{CHOSEN['codex']} 1. buy tea\n  2. drink it\n\n  ? for shortcuts",
    "gemini": f" > buy tea\n\n{CHOSEN['gemini']} 1. buy tea\n  2. drink it",
    "opencode": "  ┃  Allow once   Allow always   Reject\n  \u25b3 Permission required",
}
FOLDED = {
    "claude": ("[Pasted text #1 +3 lines]", "[Pasted text #2]"),
    "codex": ("[Pasted Content 1001 chars]",),
    "gemini": ("[Pasted Text: 6 lines]", "[Pasted Text: 501 chars]"),
    "opencode": ("[Pasted ~3 lines]",),
}


def asks(name: str, screen: str) -> bool:
    dialogs = profile_of(name).dialogs
    return any(each.where == "screen" and each.pattern.search(screen) for each in dialogs)


def test_every_profile_but_the_generic_one_is_looked_at_here() -> None:
    assert set(DIALOGS) == set(HARMLESS) == set(FOLDED) == set(PROFILES) - {GENERIC.name}
    assert all(profile.name == name for name, profile in PROFILES.items())


@pytest.mark.parametrize("name", DIALOGS)
def test_a_dialog_is_known_and_a_list_in_an_answer_is_none(name: str) -> None:
    assert asks(name, DIALOGS[name])
    assert not asks(name, HARMLESS[name])
    assert not asks(GENERIC.name, DIALOGS[name])


@pytest.mark.parametrize("name", LOWER)
def test_a_dialog_is_known_whatever_is_chosen_in_it(name: str) -> None:
    assert LOWER[name].count(CHOSEN[name]) == 1
    assert asks(name, LOWER[name])


@pytest.mark.parametrize("name", FOLDED)
def test_what_stands_for_a_large_paste_is_known(name: str) -> None:
    for note in FOLDED[name]:
        assert any(shape.fullmatch(note) for shape in profile_of(name).placeholders), note


def test_a_profile_that_this_version_does_not_know_is_generic() -> None:
    assert profile_of("of a later version") is GENERIC
