"""A name means one thing: whoever searches for a class finds one."""

from __future__ import annotations

import ast
from collections import defaultdict

from ackbook.journal.format.control import CONTROL_KINDS
from ackbook.projections.facts import KINDS
from tests.support.sources import LAYERS, ROOT, texts_of, written_in

TWICE: dict[str, str] = {}
"""Public names that may be defined in several modules, each with the reason."""


def public_types(source: str) -> list[str]:
    """The classes and type aliases that a module defines for others, by their spelling."""
    found = []
    for node in ast.parse(source).body:
        match node:
            case ast.ClassDef(name=name):
                found.append(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.append(name)
            case _:
                pass
    return [name for name in found if name[0].isupper() and not name.isupper()]


def test_a_public_class_or_alias_has_a_name_of_its_own() -> None:
    places = defaultdict(list)
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            for name in public_types(path.read_text()):
                places[name].append(str(path.relative_to(ROOT)))
    several = {name: where for name, where in places.items() if len(where) > 1}
    assert {name: where for name, where in several.items() if name not in TWICE} == {}
    assert set(TWICE) <= set(several), "an exception that is none any more goes"


def test_a_second_class_or_alias_of_a_name_would_be_seen() -> None:
    source = "class Row:\n    pass\nView: TypeAlias = Row\nKey = tuple[int]\nMAX = 3\n_Own = int"
    assert public_types(source) == ["Row", "View", "Key"]


def test_the_kind_of_a_record_is_written_in_one_module() -> None:
    places = defaultdict(set)
    for path, text in written_in():
        places[text].add(path)
    assert all(places[kind] == {"projections/facts.py"} for kind in KINDS)
    assert all(places[kind] == {"journal/format/control.py"} for kind in CONTROL_KINDS)


def test_a_kind_that_is_written_again_would_be_seen() -> None:
    source = '"""A module on `x.said`."""\nif kind == "x.done":\n    tell(f"evt_{seq}")'
    assert list(texts_of(source)) == ["x.done", "evt_"]
