"""Ids are positions, and nothing else is an id."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ackbook.projections.ids import (
    EVENT_ID,
    delivery_id,
    event_id,
    is_event_id,
    position_in,
    position_of,
)
from tests.support.sources import written_in


@given(st.integers(1, 10**12), st.integers(1, 10**6))
def test_an_id_says_where_its_story_begins(seq: int, number: int) -> None:
    for made in (event_id(seq), delivery_id(seq, number)):
        assert position_of(made) == position_in(made) == seq
    assert is_event_id(event_id(seq))
    assert not is_event_id(delivery_id(seq, number))
    assert re.findall(EVENT_ID, f"[{event_id(seq)}]: {delivery_id(seq, number)}") == [event_id(seq)]


@pytest.mark.parametrize(
    "text",
    [
        *("", "evt_", "evt_-1", "evt_ 1", "evt_1_1", "EVT_1", "evt_g", "evt_1\n", "order-17"),
        *("del_1", "del_-1_1", "del_1_", "del_1_x", "del_1_1 ", "evt_" + "f" * 14),
    ],
)
def test_what_is_no_id_has_no_position(text: str) -> None:
    assert position_of(text) is None
    assert not is_event_id(text)
    with pytest.raises(ValueError, match="is no id"):
        position_in(text)  # type: ignore[arg-type]


def test_one_module_knows_what_an_id_looks_like() -> None:
    knowing = {path for path, text in written_in() if re.search(r"\b(evt|del)_", text)}
    assert knowing == {"projections/ids.py"}
