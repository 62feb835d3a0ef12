"""An import only points down, and what is pure stays pure.

The layers and the doors are data at the head of this file; everything else is read from the source
with `ast`, so that a module is judged without being run. It sees imports and calls by name; it does
not see what a value passed in from outside can do.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYERS = {
    "ackbook.journal": 0,
    "ackbook.projections": 1,
    "ackbook.broker": 2,
    "ackbook.broker.wire": 2,  # wire and core share their shapes; the cycle test keeps them apart
    "ackbook.broker.core": 2,
    "ackbook.broker.runtime": 3,
    "ackbook.tools": 4,
}
PURE = ("ackbook.projections", "ackbook.broker.core", "ackbook.broker.wire")

DOORS = frozenset(
    {
        "ackbook.journal.storage.files",
        "ackbook.journal.storage.clock",
        "ackbook.journal.storage.commit_thread",
        "ackbook.journal.recovery.open_log",
    }
    | {"ackbook.journal.storage.mounts", "ackbook.journal.storage.inode_generation"}
    | {"ackbook.journal.storage.held_directory", "ackbook.journal.maintenance.handed_over"}
    | {"ackbook.journal.maintenance.archive_worker", "ackbook.journal.maintenance.scrub_worker"}
    | {
        "ackbook.journal.storage.notifier",
        "ackbook.journal.embedded.journal",
        "ackbook.journal.writing.preallocator",
    }
)
"""The only modules of the journal that meet the machine: its disk, its time, its threads, its two
worker processes, and the places that put them together. The rest is given what it needs."""

HARMLESS = frozenset(
    "__future__ abc base64 binascii bisect codecs collections contextlib dataclasses datetime "
    "difflib enum functools graphlib hashlib heapq hmac ipaddress itertools json math operator re "
    "shlex string struct sys.intern textwrap types typing unicodedata urllib.parse zlib "
    "msgspec orjson sortedcontainers".split()
)
"""What a pure module may import from outside: no clock, chance, file, socket, process or loop."""

HARMLESS_IN_JOURNAL = HARMLESS | {"pathlib", "asyncio", "zstandard"}
"""A directory has a name, group commit has waiters (the loop itself is the caller's), and what
packs bytes meets no machine."""

IMPURE_CALLS = frozenset({"open", "input", "print", "exec", "eval", "__import__"})
CLOCK_CLASSES = frozenset({"datetime", "date"})
CLOCK_METHODS = frozenset({"now", "utcnow", "today"})


def read_tree() -> dict[str, str]:
    """Every module of the four layers by its dotted name, with its source."""
    paths = [
        p
        for top in ("journal", "projections", "broker", "tools")
        for p in (ROOT / top).rglob("*.py")
    ]
    names = (".".join(("ackbook", *p.relative_to(ROOT).with_suffix("").parts)) for p in paths)
    return {
        name.removesuffix(".__init__"): path.read_text()
        for name, path in zip(names, paths, strict=True)
    }


def belongs(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def layer(name: str) -> int | None:
    """The height of a module; None for what is not ours."""
    return max((height for top, height in LAYERS.items() if belongs(name, top)), default=None)


def imports(name: str, tree: ast.Module, ours: set[str]) -> Iterator[str]:
    """The modules that this one imports, relative ones resolved, packages narrowed to modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ancestor(name, node.level, ours) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            deeper = {f"{module}.{alias.name}" for alias in node.names} & (ours | HARMLESS)
            yield from deeper or {module}


def ancestor(name: str, level: int, ours: set[str]) -> str:
    """The package that a relative import of this many dots starts from."""
    is_package = any(other.startswith(name + ".") for other in ours)
    return ".".join(name.split(".")[: len(name.split(".")) - level + is_package])


def impure_calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=called)) if called in IMPURE_CALLS:
                yield called
            case ast.Call(func=ast.Attribute(value=value, attr=called)) if called in CLOCK_METHODS:
                if ast.unparse(value).split(".")[-1] in CLOCK_CLASSES:
                    yield called


def faults(name: str, source: str, ours: set[str]) -> Iterator[str]:
    """One sentence for every import or call of a module that breaks a rule."""
    tree = ast.parse(source)
    pure = any(belongs(name, package) for package in PURE)
    guarded = pure or (belongs(name, "ackbook.journal") and name not in DOORS)
    allowed = HARMLESS if pure else HARMLESS_IN_JOURNAL
    for target in imports(name, tree, ours):
        height, own = layer(target), layer(name)
        if height is not None and own is not None and height > own:
            yield f"{name} imports {target}, which lies above it"
        if pure and target in DOORS:
            yield f"{name} is pure and imports the door {target}"
        known = target in allowed or target.split(".")[0] in allowed
        if guarded and height is None and not known:
            yield f"{name} must not meet the machine and imports {target}"
    if guarded:
        yield from (f"{name} must not meet the machine and calls {c}" for c in impure_calls(tree))


def test_imports_point_down_and_pure_modules_meet_no_machine() -> None:
    modules = read_tree()
    ours = set(modules)
    assert [f for name, source in modules.items() for f in faults(name, source, ours)] == []


def test_no_module_imports_itself_through_others() -> None:
    modules = read_tree()
    graph = {
        name: {
            t for t in imports(name, ast.parse(source), set(modules)) if t in modules and t != name
        }
        for name, source in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        pytest.fail(" -> ".join(cycle.args[1]))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("ackbook.journal.recovery.inspect_tail", "from ackbook.projections.facts import Fact"),
        ("ackbook.journal.recovery.inspect_tail", "import os"),
        ("ackbook.journal.recovery.inspect_tail", "import time"),
        ("ackbook.journal.recovery.inspect_tail", "def read(p):\n    return open(p).read()"),
        ("ackbook.projections.world.fold", "from ackbook.broker.core.commands import Send"),
        ("ackbook.projections.world.fold", "from ackbook.journal.storage.files import OsFiles"),
        ("ackbook.projections.world.fold", "import random"),
        ("ackbook.projections.world.fold", "from asyncio import sleep"),
        ("ackbook.projections.world.fold", "from datetime import datetime\nNOW = datetime.now()"),
        ("ackbook.projections.world.fold", "import datetime\nNOW = datetime.date.today()"),
        ("ackbook.broker.core.decide", "def decide():\n    import time"),
        ("ackbook.broker.core.decide", "import ackbook.broker.runtime.engine.engine"),
        ("ackbook.broker.core.decide", "from ..runtime import engine"),
        ("ackbook.broker.wire.requests", "from socket import socket"),
        ("ackbook.broker.wire.requests", "from starlette.responses import Response"),
        ("ackbook.broker.runtime.engine.engine", "from ackbook.tools.main import main"),
    ],
)
def test_a_bad_module_is_found(name: str, source: str) -> None:
    assert list(faults(name, source, {*read_tree(), name}))
