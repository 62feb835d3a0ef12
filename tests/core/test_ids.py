"""Ids are positions, and nothing else is an id."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ackbook.projections.ids import delivery_id, event_id, position_of


@given(st.integers(1, 10**12), st.integers(1, 10**6))
def test_an_id_says_where_its_story_begins(seq: int, number: int) -> None:
    assert position_of(event_id(seq)) == seq
    assert position_of(delivery_id(seq, number)) == seq


@pytest.mark.parametrize(
    "text",
    [
        *("", "evt_", "evt_-1", "evt_ 1", "evt_1_1", "EVT_1", "evt_g", "evt_1\n", "order-17"),
        *("del_1", "del_-1_1", "del_1_", "del_1_x", "del_1_1 ", "evt_" + "f" * 14),
    ],
)
def test_what_is_no_id_has_no_position(text: str) -> None:
    assert position_of(text) is None
