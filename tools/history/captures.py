"""Screens that holders kept: what stood there when the evidence of a delivery was taken."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from ackbook.broker.wire.screen_captures import Still, decode_still
from ackbook.tools.cli.output import bold, clock_time, dim, plain, tell
from ackbook.tools.cli.place import Place

SCREENS = "screens.jsonl"
"""The file of a bundle that holds them."""

MOMENTS = {
    "seen": "its text was found",
    "submitted": "it had left the input line",
    "not_seen": "its window was over, and its text had not been found",
}


def kept_stills(place: Place, named: Collection[tuple[str, int]]) -> list[Still]:
    """Those of these attempts (delivery and number), oldest first; none where none are kept."""
    wanted = frozenset(named)
    found = {
        (still.at, still.delivery_id, still.moment): still
        for path in _files(place)
        for still in _stills(path)
        if (still.delivery_id, still.attempt) in wanted
    }
    return [found[key] for key in sorted(found)]


def show_still(still: Still) -> None:
    """The screen as it stood, in a frame."""
    when = dim(clock_time(still.at))
    head = f"{bold(plain(still.delivery_id))}, attempt {still.attempt}: {MOMENTS[still.moment]}"
    tell(f"{head}  {when}")
    for row in still.rows:
        tell(f"  {dim('|')} {plain(row)}")


def _files(place: Place) -> Iterator[Path]:
    """Of a broker's directory, or of an opened bundle."""
    yield from sorted((place.directory / "screens").glob("*.jsonl*"))
    bundled = place.directory / SCREENS
    if bundled.is_file():
        yield bundled


def _stills(path: Path) -> Iterator[Still]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    yield from filter(None, map(decode_still, lines))
