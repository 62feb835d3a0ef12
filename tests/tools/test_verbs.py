"""The table of verbs names modules by strings, so that a verb imports only what it needs. What a
type checker cannot see in it stands here: every string leads to a command, and none is left out."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

import click
import pytest

from ackbook.tools import replay, verbs
from ackbook.tools.main import VERBS, cli

LISTED = {name: verb for under in VERBS.values() for name, verb in under.items()}


def modules() -> list[str]:
    """Those that hold verbs, as the table spells them."""
    found = [f"verbs.{each.name}" for each in pkgutil.iter_modules(verbs.__path__)]
    return found + [f"replay.{each.name}" for each in pkgutil.iter_modules(replay.__path__)]


@pytest.mark.parametrize("name", LISTED)
def test_a_verb_of_the_table_is_a_command_that_has_its_name(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert inspect.getdoc(command.callback), "its help"


def test_a_module_of_verbs_is_in_the_table() -> None:
    under = {module for module in modules() if module.startswith("verbs.")}
    assert under == {verb.module for verb in LISTED.values() if verb.module.startswith("verbs.")}


def test_a_command_that_is_defined_is_in_the_table() -> None:
    """Commands under another command are that one's own."""
    defined, inside = {}, set()
    for module in modules():
        for name, value in vars(import_module(f"ackbook.tools.{module}")).items():
            if not isinstance(value, click.Command) or value.callback is None:
                continue
            if value.callback.__module__ == f"ackbook.tools.{module}":
                defined[value] = (module, name)
            if isinstance(value, click.Group):
                inside.update(value.commands.values())
    found = {place for command, place in defined.items() if command not in inside}
    assert found == {(verb.module, verb.command) for verb in LISTED.values()}


def test_a_verb_stands_under_one_heading() -> None:
    assert sum(len(under) for under in VERBS.values()) == len(LISTED)
