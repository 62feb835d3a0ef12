"""Options and arguments that mean the same in every verb, so that they are said once.

`--dir` is understood before and after the verb; the one after it wins. This module knows how things
are asked for on the command line and nothing of what is done with them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from ackbook.tools.cli.place import Place, place_of

F = TypeVar("F", bound=Callable[..., object])

_DIRECTORY = click.Path(path_type=Path, readable=False)
"""Whose it is says more about one that cannot be read."""
DIRECTORY_HELP = "Where the broker lives: $ACKBOOK_DIR, else ./.ackbook."


def place_before_verb(function: F) -> F:
    """`--dir` of the program itself: kept for the verb that follows."""

    def keep(context: click.Context, _: click.Parameter, named: Path | None) -> None:
        context.obj = named

    return click.option(
        "--dir",
        type=_DIRECTORY,
        metavar="DIR",
        expose_value=False,
        callback=keep,
        is_eager=True,
        help=DIRECTORY_HELP,
    )(function)


def place_option(function: F) -> F:
    """`--dir` of a verb, which gets the `place` that is meant."""

    def resolve(context: click.Context, _: click.Parameter, named: Path | None) -> Place:
        place = place_of(named or context.find_root().obj)
        if place.directory.is_file():
            raise click.BadParameter(f"{place.directory} is a file; only what reads opens a bundle")
        return place

    return directory_option(resolve, DIRECTORY_HELP)(function)


def directory_option(
    resolve: Callable[[click.Context, click.Parameter, Path | None], Place], meaning: str
) -> Callable[[F], F]:
    """`--dir DIR`, of which `resolve` makes the place that the verb gets."""
    return click.option(
        "--dir", "place", type=_DIRECTORY, metavar="DIR", callback=resolve, help=meaning
    )


def json_option(function: F) -> F:
    """`--json`: the same for programs, with keys that stay."""
    return click.option("--json", "as_json", is_flag=True, help="For programs: stable keys.")(
        function
    )


def agent_argument(function: F) -> F:
    """The name of an agent; the shell completes it from the running broker."""
    return click.argument("name", shell_complete=_complete_agent)(function)


def some_agent_argument(function: F) -> F:
    """The same, where leaving it out means all of them."""
    return click.argument("name", required=False, shell_complete=_complete_agent)(function)


def recipient_argument(function: F) -> F:
    """Who gets a message: an agent, or a channel written `#channel`."""
    return click.argument("to", metavar="TO", shell_complete=_complete_agent)(function)


def _complete_agent(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """The agents that a running broker knows; none where there is no broker to ask."""
    from ackbook.projections.names import match_key
    from ackbook.tools.cli.client import Client
    from ackbook.tools.cli.failures import Failure
    from ackbook.tools.shapes.broker import Names

    try:
        place = context.params.get("place") or place_of(context.find_root().obj)
        known = Client(place, notes=False).ask("GET", "/api/spawned", Names)
    except (Failure, OSError):
        return []
    wanted = match_key(begun)
    return [one.name for one in known.agents if match_key(one.name).startswith(wanted)]
