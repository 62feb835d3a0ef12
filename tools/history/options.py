"""Options of verbs that only read history: what they read may be that of a bundle, too."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from ackbook.tools.cli.options import DIRECTORY_HELP, F, directory_option
from ackbook.tools.cli.place import Place, place_of


def past_option(function: F) -> F:
    """The same for a verb that only reads history: it may be that of a bundle, which is unpacked
    for as long as the verb runs."""

    def resolve(context: click.Context, _: click.Parameter, named: Path | None) -> Place:
        return past_of(context, named or context.find_root().obj)

    return directory_option(resolve, f"{DIRECTORY_HELP} A bundle, too.")(function)


def past_of(context: click.Context, named: Path | None) -> Place:
    """The place of a directory, or of a bundle that is open as long as the context. Raises what
    `open_bundle` raises for a file that is no good bundle."""
    place = place_of(named)
    if not place.directory.is_file():
        return place
    from ackbook.tools.history.bundle_file import open_bundle

    directory = context.with_resource(TemporaryDirectory(prefix="ackbook-"))
    manifest = open_bundle(place.directory, Path(directory))
    return Place(Path(directory), manifest.of(place.directory))
