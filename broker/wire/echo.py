"""Echo: finds a text in output as a program draws it, which is never a substring of the bytes.

A terminal wraps, colours, redraws and frames what it shows. So both sides are *squashed* first:
escape sequences, blanks, control characters and the marks of borders (`|`) and of lines that go on
in the next row (`\\` at the right edge, as line editors draw it) disappear.
What is left of a message must then appear whole and in order. It is cut into *parts* at line ends
and tabs, and between two parts there may be a short gap: editors put prompts and line numbers at
the one and draw the other in ways of their own.

The stream is taken in any pieces and never kept: the memory used is bounded by the length of the
text that is looked for. This module is pure and knows neither screens nor attempts.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import deque
from collections.abc import Sequence

import msgspec

GAP_MAX = 48
"""Squashed characters allowed between two parts of a text: a continuation prompt, a line number."""

CARRY_BYTES_MAX = 256
"""A longer unfinished escape sequence is none: it is a string, which is skipped, or garbage."""

_SEQUENCE = re.compile(
    rb"\x1b(?:"
    rb"\[[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor movement
    rb"|[\]PX^_][^\x07\x18\x1a\x1b]*(?:[\x07\x18\x1a]|(?=\x1b))"  # strings: titles, queries
    rb"|[ -/]*[0-OQ-WYZ\\`-~]"  # everything short
    rb")"
)
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x18\x1a\x1b]*|[ -/]*)\Z")
_CUTS = re.compile(r"[\n\t]")
_STRING_ENDS = re.compile(rb"[\x07\x18\x1a\x1b]")
_INVISIBLE = re.compile(
    "[\\s\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff"
    "\u2500-\u259f|\\\\]+"
)


class Span(msgspec.Struct, frozen=True):
    """Where something stands: half open, in characters or bytes as the function says."""

    begins: int
    ends: int


def squash(text: str) -> str:
    """The characters that a reader would compare; everything that layout may change is gone."""
    return _INVISIBLE.sub("", text)


def cells(mark: str) -> int:
    """How many cells of a terminal a character takes."""
    if mark.isascii():
        return 1
    if unicodedata.combining(mark) or unicodedata.category(mark) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(mark) in "WF" else 1


def parts_of(text: str) -> tuple[str, ...]:
    """What must be found of a text, in order; lines without visible characters are left out."""
    return tuple(filter(None, map(squash, _CUTS.split(text))))


def tail_of(parts: Sequence[str], size: int) -> tuple[str, ...]:
    """The last `size` characters of the parts, in parts."""
    tail: list[str] = []
    for part in reversed(parts):
        tail.insert(0, part[-size:])
        size -= len(tail[0])
        if size <= 0:
            break
    return tuple(tail)


def find(parts: Sequence[str], text: str, start: int = 0) -> Span | None:
    """The first place in squashed `text` where all `parts` stand, one after the other."""
    begins = text.find(parts[0], start)
    while begins >= 0:
        ends = begins + len(parts[0])
        for part in parts[1:]:
            at = text.find(part, ends, ends + GAP_MAX + len(part))
            if at < 0:
                break
            ends = at + len(part)
        else:
            return Span(begins, ends)
        begins = text.find(parts[0], begins + 1)
    return None


def ends_with(parts: Sequence[str], text: str) -> bool:
    """Whether squashed `text` ends with the parts, one after the other."""
    if not text.endswith(parts[-1]):
        return False
    begins = len(text) - len(parts[-1])
    for part in reversed(parts[:-1]):
        begins = text.rfind(part, max(0, begins - GAP_MAX - len(part)), begins)
        if begins < 0:
            return False
    return True


def count(parts: Sequence[str], text: str) -> int:
    """How many times the parts stand in squashed `text`, not counting overlaps."""
    found, start = 0, 0
    while (place := find(parts, text, start)) is not None:
        found, start = found + 1, place.ends
    return found


class Stripper:
    """Takes a stream of output in any pieces and gives its text without escape sequences."""

    def __init__(self) -> None:
        self._carry = b""
        self._in_string = False
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    @property
    def size(self) -> int:
        """Bytes of an unfinished sequence that are kept."""
        return len(self._carry)

    def feed(self, data: bytes) -> str:
        """The text of this piece; an unfinished sequence waits for the next one, within bounds."""
        if self._in_string:
            end = _STRING_ENDS.search(data)
            if end is None:
                return ""
            data = data[end.start() if data[end.start()] == 0x1B else end.end() :]
            self._in_string = False
        data = _SEQUENCE.sub(b"", self._carry + data)
        self._carry = b""
        if (tail := _UNFINISHED.search(data)) is not None:
            self._put_aside(data[tail.start() :])
            data = data[: tail.start()]
        return self._decode(data)

    def _put_aside(self, tail: bytes) -> None:
        if tail[1:2] in (b"]", b"P", b"X", b"^", b"_"):
            self._in_string = True
        elif len(tail) <= CARRY_BYTES_MAX:
            self._carry = tail


class Search:
    """Looks for a text in a stream of output, from a byte offset on, `times` times over."""

    def __init__(self, parts: Sequence[str], offset: int, times: int = 1) -> None:
        self._parts = tuple(parts)
        self._missing = times
        self._strip = Stripper()
        self._window = ""
        self._window_max = sum(map(len, parts)) + GAP_MAX * len(parts)
        self._pieces: deque[tuple[int, Span]] = deque()
        self._offset = offset

    @property
    def size(self) -> int:
        """What is kept of the stream now, in characters and bytes; `size_max` is the most."""
        return len(self._window) + self._strip.size

    @property
    def size_max(self) -> int:
        return self._window_max + CARRY_BYTES_MAX

    def feed(self, data: bytes) -> Span | None:
        """The place of the text in bytes of the stream, to the precision of the pieces fed."""
        begins, self._offset = self._offset, self._offset + len(data)
        text = squash(self._strip.feed(data))
        if not text:
            return None
        self._window += text
        self._pieces.append((len(text), Span(begins, self._offset)))
        while (place := find(self._parts, self._window)) is not None:
            self._missing -= 1
            if self._missing <= 0:
                return Span(self._piece(place.begins).begins, self._piece(place.ends - 1).ends)
            self._forget(place.ends)
        self._forget(len(self._window) - self._window_max)
        return None

    def _piece(self, index: int) -> Span:
        for length, place in self._pieces:
            if index < length:
                return place
            index -= length
        raise AssertionError("every character of the window came with a piece")

    def _forget(self, size: int) -> None:
        if size <= 0:
            return
        self._window = self._window[size:]
        while self._pieces and size >= self._pieces[0][0]:
            size -= self._pieces.popleft()[0]
        if size:
            length, place = self._pieces.popleft()
            self._pieces.appendleft((length - size, place))
