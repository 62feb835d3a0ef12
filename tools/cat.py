"""`ackbook cat`: records as they stand in the journal, one a line, chosen by a few questions.

A record belongs to an agent when it names it, and to a message or a delivery when the id stands
anywhere in its data; so an id finds the whole story, also where it is one of many.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase

import click
import msgspec

from .history import History
from .options import json_option, past_option
from .output import plain, tell
from .place import Place

AGENT_KEYS = ("agent", "name", "worker_name")

_decode = msgspec.json.Decoder().decode


@click.command()
@click.option("--from", "first", type=click.IntRange(min=1), default=1, metavar="SEQ")
@click.option("--to", "last", type=click.IntRange(min=1), metavar="SEQ")
@click.option(
    "--kind", "kinds", multiple=True, metavar="K", help="Repeatable; with * as in 'delivery.*'."
)
@click.option("--agent", metavar="NAME", help="Records that name this agent.")
@click.option("--id", "identity", metavar="ID", help="Records of this message or delivery.")
@json_option
@past_option
def cat(
    first: int,
    last: int | None,
    kinds: tuple[str, ...],
    agent: str | None,
    identity: str | None,
    as_json: bool,
    place: Place,
) -> None:
    """Print records of the journal, each as the JSON object that it is. Needs no broker."""
    shown = plain if sys.stdout.isatty() and not as_json else str
    for line in History(place).lines(first - 1, last):
        if kinds and not any(fnmatchcase(line.kind, kind) for kind in kinds):
            continue
        if agent is not None or identity is not None:
            data = _decode(line.data)
            if agent is not None and not _names(data, agent.casefold()):
                continue
            if identity is not None and identity not in _texts(data):
                continue
        tell(shown(line.raw.decode()))


def _names(data: object, agent: str) -> bool:
    """Whether an agent is named by this value or by one inside it."""
    if isinstance(data, dict):
        named = (data.get(key) for key in AGENT_KEYS)
        if any(isinstance(name, str) and name.casefold() == agent for name in named):
            return True
        return any(_names(value, agent) for value in data.values())
    return isinstance(data, list) and any(_names(value, agent) for value in data)


def _texts(data: object) -> Iterator[str]:
    """Every text in a value, however deep; a body is one of them and is no id."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, value in data.items():
            if key != "body":
                yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)
