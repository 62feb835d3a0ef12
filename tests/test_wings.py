"""Each wing of a layer imports the wings that its own `__init__` names, and no other.

The sentence stands where a reader opens the folder: "It may import `storage` and `format`." or "It
imports no other wing." Wings of the same layer are meant; which layer may import which is kept by
`test_architecture`, and what stands at the top of a layer (errors, limits, facts) is everybody's.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter

import pytest

from tests.test_architecture import ROOT, imports, read_tree

SENTENCE = re.compile(r"It (imports no other wing|may import (?P<named>[^.]+))\.\s*\Z")
MODULES = read_tree()
WINGS = sorted(
    "/".join(path.parent.relative_to(ROOT).parts)
    for top in ("journal", "projections", "broker", "tools")
    for path in (ROOT / top).glob("*/**/__init__.py")
    if path.parent.name not in ("package", "demo")
)


def named(wing: str) -> set[str]:
    """What the sentence of a wing allows."""
    opening = ast.get_docstring(ast.parse((ROOT / wing / "__init__.py").read_text())) or ""
    found = SENTENCE.search(opening)
    assert found, f"{wing} does not say what it may import"
    return set(re.findall(r"`([\w/]+)`", found["named"] or ""))


def wing_of(module: str) -> str | None:
    """The wing that a module stands in; None at the top of a layer, or outside."""
    path = "/".join(module.split(".")[1:])
    return max((w for w in WINGS if path == w or path.startswith(f"{w}/")), key=len, default=None)


def imported(wing: str) -> Iterator[tuple[str, str]]:
    """The other wings of its layer that a wing imports, each with the module that does."""
    layer = wing.partition("/")[0]
    for name, source in MODULES.items():
        if wing_of(name) == wing:
            for target in imports(name, ast.parse(source), set(MODULES)):
                other = wing_of(target)
                if other and other != wing and other.startswith(f"{layer}/"):
                    yield name, other.partition("/")[2]


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_imports_only_the_wings_that_it_names(wing: str) -> None:
    allowed = named(wing)
    assert [(module, other) for module, other in imported(wing) if other not in allowed] == []


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_that_is_named_exists(wing: str) -> None:
    layer = wing.partition("/")[0]
    assert {f"{layer}/{other}" for other in named(wing)} <= set(WINGS)


def test_no_wing_imports_itself_through_others() -> None:
    """One floor a wing: an arrow that runs back up would close a circle."""
    graph = {wing: {target for _, target in imported(wing)} for wing in WINGS}
    floors = {
        wing: {f"{wing.partition('/')[0]}/{other}" for other in graph[wing]} for wing in WINGS
    }
    TopologicalSorter(floors).prepare()
