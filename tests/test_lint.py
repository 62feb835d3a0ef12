"""The rules of style that a machine can check hold for every file."""

from __future__ import annotations

import ast
import builtins
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ackbook.broker.exit_codes import ExitCode

ROOT = Path(__file__).parent.parent
LINES_MAX = 300
FUNCTION_LINES_MAX = 60

CATALOGUES = {"projections/facts.py", "broker/core/commands.py", "broker/wire/frames.py"}
"""Lists of shapes without a rule in them: one place to look is worth more than a short file."""

SHIPPED = [
    p for top in ("journal", "projections", "broker", "tools") for p in (ROOT / top).rglob("*.py")
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
    ],
    ids=("ruff_check", "ruff_format", "mypy_strict"),
)
def test_a_checker_finds_nothing(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_its_reason_and_has_a_size_that_can_be_read(path: Path) -> None:
    source = path.read_text()
    tree = ast.parse(source)
    assert ast.get_docstring(tree), "a module opens with its reason"
    if str(path.relative_to(ROOT)) not in CATALOGUES:
        assert len(source.splitlines()) <= LINES_MAX
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{node.name} has {length} lines"


BUGS = {"AssertionError", "NotImplementedError"}
"""What is raised where our own code is wrong; a caller is promised nothing of it."""


def families() -> dict[str, set[str]]:
    """Every exception that a function of ours can make, with itself and what it derives from."""
    known = {
        name: {base.__name__ for base in found.__mro__ if issubclass(base, BaseException)}
        for name, found in vars(builtins).items()
        if isinstance(found, type) and issubclass(found, BaseException)
    }
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for path in SHIPPED
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }

    def above(name: str) -> set[str]:
        return known.get(name) or {name}.union(*(above(base) for base in bases.get(name, ())))

    ours = {name: above(name) for name in bases}
    return known | {name: family for name, family in ours.items() if "Exception" in family}


FAMILIES = families()
ROOTS = {"Exception", "BaseException"}

HELPERS_DEEP_MAX = 5
"""How many helpers may call one another on the way to a `raise`."""


def makers() -> dict[tuple[str, bool], str]:
    """What functions and methods (True) make an error for others to raise, and which."""
    return {
        (node.name, bool(node.args.args) and node.args.args[0].arg == "self"): node.returns.id
        for path in SHIPPED
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and isinstance(node.returns, ast.Name)
        and node.returns.id in FAMILIES
    }


MAKERS = makers()


def name_of(node: ast.expr | None) -> str:
    """The last part of `f`, `self.f`, `module.f` and of a call of one of them."""
    match node:
        case ast.Call():
            return name_of(node.func)
        case ast.Attribute():
            return node.attr
        case ast.Name():
            return node.id
        case _:
            return ""


class Raised(NamedTuple):
    """An error and, where a command ends with it, the name of its exit code."""

    error: str
    code: str = ""


def made_by(raising: ast.Raise) -> Raised:
    """What a `raise` raises: a class, or what a function makes."""
    call = raising.exc
    name, arguments = name_of(call), getattr(call, "args", [])
    is_method = isinstance(getattr(call, "func", None), ast.Attribute)
    by_exit_code = arguments and ast.unparse(arguments[0]).startswith("ExitCode.")
    return Raised(
        MAKERS.get((name, is_method), name), name_of(arguments[0]) if by_exit_code else ""
    )


def escaping(node: ast.AST, helpers: dict[str, set[Raised]]) -> set[Raised]:
    """The errors that leave this piece of code: raised in it, or in a helper that it calls."""
    inside = {each for child in ast.iter_child_nodes(node) for each in escaping(child, helpers)}
    match node:
        case ast.Raise():
            made = made_by(node)
            return inside | {made} if made.error in FAMILIES.keys() - BUGS else inside
        case ast.Call():
            return inside | helpers.get(name_of(node), set())
        case ast.Try():
            caught = {
                name_of(kind)
                for handler in node.handlers
                for kind in getattr(handler.type, "elts", [handler.type])
            }
            body = {each for part in node.body for each in escaping(part, helpers)}
            rest = [*node.handlers, *node.orelse, *node.finalbody]
            return {each for each in body if not FAMILIES[each.error] & caught}.union(
                *(escaping(part, helpers) for part in rest)
            )
        case ast.With(items=[ast.withitem(context_expr=ast.Call() as manager)]) if (
            name_of(manager) == "suppress"
        ):
            caught = {name_of(kind) for kind in manager.args}
            return {each for each in inside if not FAMILIES[each.error] & caught}
        case _:
            return inside


class Function(NamedTuple):
    """A function or method with what documents it: for `__init__`, also its class."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    documented: str
    public: bool


def functions(body: list[ast.stmt], owner: ast.ClassDef | None = None) -> Iterator[Function]:
    """All of a module; a method of a private class is private."""
    for node in body:
        match node:
            case ast.ClassDef():
                yield from functions(node.body, node)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                told = ast.get_docstring(node) or ""
                if owner is not None and node.name == "__init__":
                    told += ast.get_docstring(owner) or ""
                names = [node.name.replace("__init__", "init"), owner.name if owner else ""]
                yield Function(node, told, not any(name.startswith("_") for name in names))


def is_named(raised: Raised, function: Function) -> bool:
    """Whether the docstring names an error, what it derives from or what derives from it; or whose
    errors those are (`See ...`, `Raises what ...`). The docstring of a command is its `--help`: it
    names the exit code instead, but for wrong usage, which is the same in all of them."""
    told = function.documented
    if any(name_of(made) in ("command", "group") for made in function.node.decorator_list):
        number = str(ExitCode[raised.code].value) if raised.code else ""
        said = re.findall(r"\w+", told.partition("exit code")[2])
        return raised.code == "USAGE" or (number in said if number else bool(said))
    kin = FAMILIES[raised.error] - ROOTS
    kin |= {name for name, above in FAMILIES.items() if raised.error in above}
    by_name = kin.intersection(re.findall(r"\w+", told))
    return bool(by_name) or re.search(r"\bSee `|\b[Rr]aises\s+what\b", told) is not None


def unnamed(source: str) -> list[str]:
    """The errors that public functions of a module raise and do not name."""
    found = list(functions(ast.parse(source).body))
    private = [function.node for function in found if not function.public]
    helpers: dict[str, set[Raised]] = {}
    for _ in range(HELPERS_DEEP_MAX):
        helpers = {node.name: escaping(node, helpers) for node in private}
    return [
        f"{function.node.name} raises {' '.join(raised).strip()}"
        for function in found
        if function.public
        for raised in sorted(escaping(function.node, helpers))
        if not (raised.error.startswith("_") or is_named(raised, function))
    ]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_public_function_names_the_errors_that_it_raises(path: Path) -> None:
    assert unnamed(path.read_text()) == []


@pytest.mark.parametrize(
    ("documented", "found"),
    [
        ("", ["f raises Locked"]),
        ("Raises `Corrupt`.", ["f raises Locked"]),
        ("Raises `Locked`.", []),
        ("Raises any `JournalError`.", []),
        ("Raises what `g` raises.", []),
        ("See `Log.f`.", []),
    ],
)
def test_an_error_that_is_not_named_is_found(documented: str, found: list[str]) -> None:
    source = f'def f():\n    """{documented}."""\n    raise Locked("a", "b")'
    assert unnamed(source) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f():\n  raise Stopped", ["f raises Stopped"]),
        ("def f():\n  raise ValueError('a')", ["f raises ValueError"]),
        ("def f():\n  raise UnreadableWorld('a')", ["f raises UnreadableWorld"]),
        ("def f():\n  raise refusal(a)", ["f raises Problem"]),
        ("def f(client):\n  raise client.refusal(a)", ["f raises Failure"]),
        ("def f():\n  _g()\ndef _g():\n  _h()\ndef _h():\n  raise Stopped", ["f raises Stopped"]),
        ("class C:\n  def __init__(self):\n    raise Stopped", ["__init__ raises Stopped"]),
        ("class C:\n  'Stopped'\n  def __init__(self):\n    raise Stopped", []),
        ("def _f():\n  raise Stopped", []),
        ("class _C:\n  def f(self):\n    raise Stopped", []),
        ("def f():\n  raise AssertionError('a bug')", []),
        ("def f():\n  try:\n    raise Stopped\n  except Stopped:\n    pass", []),
        ("def f():\n  try:\n    raise Corrupt(a)\n  except JournalError:\n    pass", []),
        ("def f():\n  with suppress(Stopped):\n    raise Stopped", []),
        (
            "def f():\n  try:\n    a()\n  except Stopped:\n    raise OSError from None",
            ["f raises OSError"],
        ),
    ],
)
def test_an_error_is_found_however_it_is_raised(source: str, found: list[str]) -> None:
    assert unnamed(source) == found


@pytest.mark.parametrize(
    ("told", "code", "found"),
    [
        ("Does it.", "REFUSED", ["f raises Failure REFUSED"]),
        ("Raises `Failure`.", "REFUSED", ["f raises Failure REFUSED"]),
        ("The exit code is 3 where it is not.", "REFUSED", ["f raises Failure REFUSED"]),
        ("The exit code is 3 where it is not, and 8 where it is.", "REFUSED", []),
        ("Does it.", "USAGE", []),
    ],
)
def test_a_command_names_its_exit_code(told: str, code: str, found: list[str]) -> None:
    source = (
        f'@click.command()\ndef f():\n    """{told}"""\n    raise Failure(ExitCode.{code}, "a")'
    )
    assert unnamed(source) == found
