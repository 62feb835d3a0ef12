"""Retention: how people say how long the audit trail is kept.

`forever`, `none`, an age (`12h`, `30d`, `8w`) or a size (`500MB`, `10GB`). Sizes are powers of ten,
as disks are sold; a blank between number and unit does not matter.
"""

from __future__ import annotations

import re

from ackbook.journal import FOREVER, Retention

_HOUR_S = 3_600
_UNITS_S = {"h": _HOUR_S, "d": 24 * _HOUR_S, "w": 7 * 24 * _HOUR_S}
_UNITS_BYTES = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_AMOUNT = re.compile(r"(\d{1,9})\s*([a-z]+)")

SPELLINGS = "forever, none, an age such as 30d, or a size such as 10GB"


def parse_retention(text: str) -> Retention | None:
    """What was said; None where it is none of the spellings."""
    said = text.strip().lower()
    if said == "forever":
        return FOREVER
    if said == "none":
        return Retention(bytes_max=0)
    amount = _AMOUNT.fullmatch(said)
    if amount is None:
        return None
    number, unit = int(amount[1]), amount[2]
    if unit in _UNITS_S:
        return Retention(age_s_max=number * _UNITS_S[unit])
    if unit in _UNITS_BYTES:
        return Retention(bytes_max=number * _UNITS_BYTES[unit])
    return None
