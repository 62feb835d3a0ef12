"""How a message becomes keystrokes: what never passes, and the form for each terminal."""

from __future__ import annotations

import hashlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ackbook.broker.wire.keystrokes import (
    CANONICAL_BYTES_MAX,
    PASTE_BEGINS,
    PASTE_ENDS,
    Keystrokes,
    Limit,
    Manner,
    keystrokes,
)
from ackbook.broker.wire.profiles import GENERIC, Profile
from tests.support.holders import message

LINES = Manner(canonical=True, paste=False)
KEYS = Manner(canonical=False, paste=False)
PASTE = Manner(canonical=False, paste=True)
MANNERS = [LINES, KEYS, PASTE]

hostile = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from("\x1b\x03\x04\r\n\t\x9b\u2028\u202e[]~012"),
    ),
    max_size=200,
)


def typed(body: str, manner: Manner, profile: Profile = GENERIC, **more: object) -> Keystrokes:
    keys = keystrokes(message(1, body, **more), manner, profile, "/spool/file.txt")
    assert isinstance(keys, Keystrokes)
    return keys


@given(hostile, hostile, st.sampled_from(MANNERS))
def test_no_body_header_or_hint_can_press_a_key(body: str, header: str, manner: Manner) -> None:
    data = typed(body, manner, header=header, hint=header).text
    if manner.paste:
        assert data.startswith(PASTE_BEGINS)
        assert data.endswith(PASTE_ENDS)
        data = data.removeprefix(PASTE_BEGINS).removesuffix(PASTE_ENDS)
        data = data.replace(b"\r", b"").replace(b"\t", b"")
    assert not [mark for mark in data.decode() if unicodedata.category(mark) == "Cc"]


@given(hostile)
def test_only_a_paste_has_more_than_one_line(body: str) -> None:
    for manner in (LINES, KEYS):
        keys = typed(body, manner)
        assert b"\n" not in keys.text
        assert b"\r" not in keys.text
        assert "\n" not in keys.shown


@pytest.mark.parametrize(
    ("manner", "body", "form", "text"),
    [
        (LINES, "one", "plain", b"one"),
        (KEYS, "one\ttwo", "plain", b"one"),
        (KEYS, "one\r\n\n  two\u2028three\n", "folded", b"one / two / three"),
        (PASTE, "one", "paste", b"one" + PASTE_ENDS),
        (PASTE, "one\n\n\ttwo\n", "paste", b"one\r\r\ttwo" + PASTE_ENDS),
    ],
)
def test_the_form_follows_the_terminal(manner: Manner, body: str, form: str, text: bytes) -> None:
    keys = typed(body, manner)
    assert keys.form == form
    assert text in keys.text
    assert (keys.enter, keys.spool) == (b"\r", None)


def test_a_profile_may_do_without_pastes() -> None:
    assert typed("a\nb", PASTE, Profile(name="p", paste=False)).form == "folded"


@pytest.mark.parametrize("manner", MANNERS)
def test_what_is_too_long_is_spooled_and_named_with_its_hash(manner: Manner) -> None:
    body = "\u00fcber\n" * 3_000
    keys = typed(body, manner, hint="(reply so)")
    content = body.strip().encode()
    assert keys.form == "spooled"
    assert keys.spool == content
    for named in ("/spool/file.txt", hashlib.sha256(content).hexdigest(), str(len(content))):
        assert named in keys.shown
    assert keys.shown.endswith("(reply so)")
    assert "\n" not in keys.shown


def test_a_line_of_a_terminal_in_line_mode_is_never_overfilled() -> None:
    header = len(message(1, "").header)
    fits = typed("x" * (CANONICAL_BYTES_MAX - header), LINES)
    assert (fits.form, len(fits.text)) == ("plain", CANONICAL_BYTES_MAX)
    assert typed("x" * (CANONICAL_BYTES_MAX - header + 1), LINES).form == "spooled"
    order = message(1, "x" * 5_000, header="h" * CANONICAL_BYTES_MAX)
    assert keystrokes(order, LINES, GENERIC, "/spool/file.txt") == Limit()


def test_a_hint_follows_in_the_same_line_or_the_same_paste() -> None:
    assert typed("one", PASTE, hint="(reply)").text.endswith(b"one (reply)" + PASTE_ENDS)
    assert typed("one\ntwo", PASTE, hint="(reply)").text.endswith(b"two\r(reply)" + PASTE_ENDS)
    assert typed("one\ntwo", KEYS, hint="(reply)").text.endswith(b"two / (reply)")
