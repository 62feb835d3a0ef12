"""What counts as proof that a text was shown, and what does not."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ackbook.broker.wire import echo
from ackbook.broker.wire.evidence import TerminalView, Witness, before_column, stands_at_cursor
from ackbook.broker.wire.profiles import GENERIC, Profile
from ackbook.projections.facts import EventId

TEXT = "Relay message from bob [evt_1]: the quick brown fox\njumps over\tthe lazy dog"

words = st.text("abcxyz \u00e9\u4f60\U0001f600", min_size=1, max_size=30)
decorations = st.sampled_from(
    [
        "",
        "\x1b[31m",
        "\x1b[0m",
        "\r\n",
        "\\\r\n",
        " \r",
        "\u2502",
        "\x1b]0;t\x07",
        "\x1b[5C",
        "\u200b",
    ]
)


def view(
    *rows: str, cursor: tuple[int, int] = (1, 1), offset: int = 0, cols: int = 80
) -> TerminalView:
    return TerminalView(rows=rows, cols=cols, cursor=cursor, offset=offset)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begins:ends] for begins, ends in pairwise(edges)]


@settings(max_examples=300, deadline=None)
@given(st.lists(words, min_size=1, max_size=6), st.data())
def test_a_text_is_found_however_it_is_drawn_and_cut(lines: list[str], data: st.DataObject) -> None:
    text = "[evt_1] " + "\n".join(lines)
    drawn = "noise" + "".join(mark + data.draw(decorations) for mark in text) + "noise"
    stream = drawn.encode()
    cuts = data.draw(st.lists(st.integers(0, 1 << 20), max_size=8))
    search = echo.Search(echo.parts_of(text), 0)
    places = [search.feed(piece) for piece in pieces(stream, cuts)]
    (found,) = [place for place in places if place is not None][:1]
    assert 0 <= found.begins < found.ends <= len(stream)


@settings(max_examples=300, deadline=None)
@given(st.text("ab[]", min_size=3, max_size=40), st.data())
def test_a_text_that_lacks_a_character_is_not_found(text: str, data: st.DataObject) -> None:
    parts = echo.parts_of("[evt_1]" + text)
    missing = data.draw(st.integers(0, len(text) - 1))
    drawn = "[evt_1]" + text[:missing] + text[missing + 1 :]
    assert echo.Search(parts, 0).feed(drawn.encode()) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_any_bytes_in_any_pieces_give_the_same_text(data: bytes, cuts: list[int]) -> None:
    once, often = echo.Stripper(), echo.Stripper()
    whole = once.feed(data)
    assert echo.squash("".join(map(often.feed, pieces(data, cuts)))) == echo.squash(whole)


def test_a_search_in_endless_output_keeps_no_more_than_it_needs() -> None:
    search = echo.Search(echo.parts_of(TEXT), 0)
    for _ in range(200):
        search.feed(b"\x1b]0;" + b"y" * 10_000 + b"x" * 10_000)
        assert search.size <= search.size_max
        search.feed(b"\x1b[" + b"1;" * 10_000)
        assert search.size <= search.size_max
        search.feed(b"\x07")
    place = search.feed(TEXT.encode())
    assert place is not None
    assert place.ends - place.begins == len(TEXT)


def test_lines_may_be_apart_by_a_prompt_but_not_by_a_page() -> None:
    parts = echo.parts_of("first\nsecond")
    assert echo.find(parts, "first...second") is not None
    assert echo.find(parts, "first" + "." * 100 + "second") is None
    assert echo.find(parts, "second first") is None


def test_the_place_in_the_stream_is_that_of_the_pieces_that_held_the_text() -> None:
    search = echo.Search(("needle",), 100)
    assert search.feed(b"before") is None
    assert search.feed(b"nee") is None
    assert search.feed(b"dle") == echo.Span(106, 112)


def test_a_text_that_was_on_the_screen_before_must_appear_once_more() -> None:
    before = view("[evt_1] hello", offset=50)
    witness = Witness(EventId("evt_1"), "[evt_1] hello", before, GENERIC)
    witness.output(b"\x1b[H\x1b[2J[evt_1] hello\r\n", 80)
    witness.look(view("[evt_1] hello", offset=80))
    assert witness.seen is None
    witness.look(view("[evt_1] hello", "> [evt_1] hello", offset=90))
    assert witness.seen is not None
    assert (witness.seen.how, witness.seen.row_first, witness.seen.row_last) == ("grid_rows", 1, 1)


def test_a_text_drawn_in_pieces_all_over_is_found_on_the_screen_by_its_rows() -> None:
    witness = Witness(EventId("evt_1"), TEXT, view(""), GENERIC)
    witness.output(b"\x1b[3;1Hfox\x1b[2;1Hquick", 30)
    assert witness.seen is None
    rows = (
        "+-----+",
        "\u2502 Relay message from bob [evt_1]: \u2502",
        "\u2502 the quick brown\u2502",
    )
    witness.look(
        view(*rows, "\u2502 fox \u2502", "\u2502 jumps over  the lazy dog\u2502", offset=30)
    )
    assert witness.seen is not None
    assert (witness.seen.row_first, witness.seen.row_last) == (1, 4)


def test_evidence_never_quotes_the_text() -> None:
    witness = Witness(EventId("evt_1"), TEXT, view(""), GENERIC)
    witness.output(TEXT.encode(), len(TEXT))
    assert witness.seen is not None
    assert witness.seen.matched == "evt_1"
    assert "fox" not in repr(witness.seen)


def test_a_known_placeholder_proves_a_large_paste() -> None:
    import re

    profile = Profile(name="p", placeholders=(re.compile(r"\[Pasted text \+\d+ lines\]"),))
    before = view("> [Pasted text +3 lines]")
    witness = Witness(EventId("evt_1"), TEXT, before, profile)
    witness.look(before)
    assert witness.seen is None
    witness.look(view("> [Pasted text +3 lines]", "> [Pasted text +9 lines]"))
    assert witness.seen is not None
    assert witness.seen.how == "paste_placeholder"


def test_submitted_means_that_the_text_left_the_place_before_the_cursor() -> None:
    typed = view("> [evt_1] hello", cursor=(1, 16), offset=10)
    witness = Witness(EventId("evt_1"), "[evt_1] hello", view("> "), GENERIC)
    witness.entered(typed)
    witness.output(b"\x1b[31m", 15)
    witness.look(typed)
    assert (witness.submitted, witness.input_empty) == (None, False)
    witness.look(view("> [evt_1] hello", "> ", cursor=(2, 3), offset=40))
    assert witness.submitted is not None
    assert (witness.submitted.how, witness.submitted.offset_from) == ("input_emptied", 10)
    assert witness.input_empty


def test_in_line_mode_submitted_means_that_the_program_has_read_the_line() -> None:
    typed = TerminalView(rows=("[evt_1] hello",), cols=80, cursor=(1, 14), offset=13, unread=0)
    witness = Witness(EventId("evt_1"), "[evt_1] hello", view(""), GENERIC)
    witness.entered(typed)
    waiting = TerminalView(rows=("[evt_1] hello", ""), cols=80, cursor=(2, 1), offset=15, unread=14)
    witness.output(b"\r\n", 15)
    witness.look(waiting)
    assert witness.submitted is None
    witness.look(TerminalView(rows=waiting.rows, cols=80, cursor=(2, 1), offset=15, unread=0))
    assert witness.submitted is not None


def test_where_no_text_stood_before_the_cursor_output_after_enter_is_the_only_sign() -> None:
    parked = view("> [evt_1] hello", cursor=(1, 1), offset=10)
    witness = Witness(EventId("evt_1"), "[evt_1] hello", view("> "), GENERIC)
    witness.entered(parked)
    witness.look(parked)
    assert (witness.submitted, witness.input_empty) == (None, False)
    witness.output(b"thinking", 18)
    witness.look(view("[evt_1] hello", "> ", offset=18))
    assert witness.submitted is not None
    assert witness.submitted.how == "output_followed"


@pytest.mark.parametrize(
    ("rows", "cursor", "stands"),
    [
        (("> one two",), (1, 10), True),
        (("> one two",), (1, 6), False),
        (("> one two", "> "), (2, 3), False),
        (("one two", ""), (2, 1), False),
        (("> one", "two"), (2, 4), True),
        (("\u2502 > one two    \u2502",), (1, 12), True),
        (("......one", "two......", ""), (3, 1), False),
        (("....one two", ""), (2, 1), True),
    ],
)
def test_a_text_stands_at_the_cursor_when_it_ends_there(
    rows: tuple[str, ...], cursor: tuple[int, int], stands: bool
) -> None:
    assert stands_at_cursor(("onetwo",), view(*rows, cursor=cursor, cols=11)) is stands


def test_columns_count_cells_and_not_characters() -> None:
    assert before_column("\u4f60\u597d> x", 7) == "\u4f60\u597d> "
    assert before_column("e\u0301> ", 2) == "e\u0301"
