"""How a message becomes keystrokes that a terminal takes as one message and nothing else.

A body is hostile. Every control character is stripped, newline and tab excepted, so no body can
press a key or end a paste. What becomes of the newlines depends on the terminal at that moment:

| form | when | newlines | tabs |
|---|---|---|---|
| `paste` | the program has asked for bracketed paste | stay, as carriage returns | stay |
| `plain` | it has not, and the text is one line | none | four spaces |
| `folded` | it has not, and the text is several lines | ` / ` for each run of them | four spaces |
| `spooled` | the text is too long for the input line | in a file; one line names it | in a file |

A terminal in line mode drops what exceeds its line without a word, so there the limit is the
line's. A line that is too long even to name a file is not typed: `canonical_limit`.

This module is pure: it neither writes to the terminal nor creates the file.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Literal

import msgspec

from ackbook.broker.wire.frames import TypeOrder
from ackbook.broker.wire.profiles import Profile

Form = Literal["plain", "paste", "folded", "spooled"]

CANONICAL_BYTES_MAX = 4_000
"""Linux keeps 4095 bytes of an unfinished line and drops the rest; the margin is for Enter and for
what the terminal itself may put there."""

FOLD = " / "
PASTE_BEGINS = b"\x1b[200~"
PASTE_ENDS = b"\x1b[201~"

_NEWLINE = re.compile("\r\n|[\r\n\x0b\x0c\x85\u2028\u2029]")
_NEWLINES = re.compile(r"\s*\n\s*")
_STEERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that reorder text on the screen: with them a body could forge the header before it."""


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How the terminal takes input now: whole lines or keys, and whether a paste is marked."""

    canonical: bool
    paste: bool


class Keystrokes(msgspec.Struct, frozen=True, kw_only=True):
    """What to type: `text` in one burst, `enter` after it has settled.

    `shown` is the text that should appear. `spool` is the content of the file that the text names,
    None where it names none.
    """

    text: bytes
    enter: bytes
    form: Form
    shown: str
    spool: bytes | None = None


class Limit(msgspec.Struct, frozen=True):
    """No line of this terminal can carry the message, not even by naming a file."""

    reason: Literal["canonical_limit"] = "canonical_limit"


def keystrokes(
    order: TypeOrder, manner: Manner, profile: Profile, spool_path: str
) -> Keystrokes | Limit:
    """The message of `order` as this terminal takes it now."""
    header = fold(clean(order.header))
    body = clean(order.body).strip("\n")
    hint = fold(clean(order.hint))
    pasted = manner.paste and profile.paste and not manner.canonical
    lines = "\n" in body
    text = header + body + (("\n" if lines else " ") + hint if hint else "")
    if not pasted:
        text = fold(text).expandtabs(4)
    size_max = CANONICAL_BYTES_MAX if manner.canonical else profile.text_bytes_max
    if len(text.encode()) <= size_max:
        form: Form = "paste" if pasted else "folded" if lines else "plain"
        return _burst(text, form, pasted, profile)
    content = body.encode()
    text = fold(header + spool_line(content, spool_path) + (" " + hint if hint else ""))
    if manner.canonical and len(text.encode()) > CANONICAL_BYTES_MAX:
        return Limit()
    return _burst(text, "spooled", pasted, profile, content)


def spool_line(content: bytes, path: str) -> str:
    """The one line that stands for a long body."""
    digest = hashlib.sha256(content).hexdigest()
    return f"(the message, {len(content)} bytes, is in the file {path} sha256 {digest})"


def clean(text: str) -> str:
    """The text without characters that act; every kind of line end becomes a newline."""
    text = _NEWLINE.sub("\n", text).encode("utf-8", "replace").decode()
    return "".join(
        mark
        for mark in text
        if mark in "\n\t" or (unicodedata.category(mark) != "Cc" and mark not in _STEERING)
    )


def fold(text: str) -> str:
    """The text on one line, each run of newlines and the blanks around it a visible separator."""
    return _NEWLINES.sub(FOLD, text.strip("\n"))


def salted(salt: str, text: bytes) -> str:
    """The hash that stands for a text where the text itself must not stand."""
    return hashlib.sha256(salt.encode() + text).hexdigest()


def _burst(
    text: str, form: Form, pasted: bool, profile: Profile, spool: bytes | None = None
) -> Keystrokes:
    data = text.encode()
    if pasted:
        data = PASTE_BEGINS + data.replace(b"\n", b"\r") + PASTE_ENDS
    return Keystrokes(
        text=data,
        enter=profile.enter,
        form=form,
        shown=text,
        spool=spool,
    )
