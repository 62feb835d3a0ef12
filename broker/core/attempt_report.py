"""What is known of one attempt at typing: the value on which the rules decide what became of it.

A holder tells it as one of its frames, and a record keeps it as the command that it was decided on;
`frame` and `report` are its tag there. It is cumulative: each says all that the one before said.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ackbook.projections.facts import DeliveryId, Evidence, HeldReason

Phase = Literal["not_begun", "typing", "written", "not_written", "cleared", "unknown"]
"""How far an attempt has come.

`not_begun`: nothing was typed, and nothing will be for this attempt. `typing`: bytes are on their
way. `written`: all of them and Enter. `not_written`: provably none reached the program. `cleared`:
some did and were provably taken back. `unknown`: some did, and nobody can say more.
"""


class Written(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What was written: see the fact `delivery.written` for the fields."""

    bytes_written: int
    offset: int
    form: Literal["plain", "paste", "folded", "spooled"] = "plain"
    enter: Literal["settled", "deadline"] = "settled"
    salt: str = ""
    salted_body: str = ""
    salted_typed: str = ""


class Report(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag_field="frame",
    tag="report",
):
    """Everything that the holder knows of one attempt.

    `held` comes with `not_begun` where a veto or a condition stood in the way (None: stale or
    unknown generation). `seen` and `submitted` are the evidence of those levels, once there.
    `input_empty`: the input line no longer shows the text. `error` says what failed.
    """

    delivery_id: DeliveryId
    attempt: int
    generation: int
    phase: Phase
    held: HeldReason | None = None
    written: Written | None = None
    seen: Evidence | None = None
    submitted: Evidence | None = None
    input_empty: bool = False
    error: str = ""
