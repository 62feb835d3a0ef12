"""The rules of style that a machine can check hold for every file."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINES_MAX = 300
FUNCTION_LINES_MAX = 60

CATALOGUES = {"projections/facts.py", "broker/core/commands.py"}
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


NAMES_ITS_ERRORS = ("journal",)
"""The layers in which a public function names each error of ours that it raises."""


def error_bases() -> dict[str, set[str]]:
    """Every exception of ours with itself and those that it derives from, by name."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for path in SHIPPED
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }

    def above(name: str) -> set[str]:
        return {name}.union(*(above(base) for base in bases.get(name, ())))

    families = {name: above(name) for name in bases}
    return {
        name: family & bases.keys() for name, family in families.items() if "Exception" in family
    }


def public_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and methods that are called from elsewhere; what a class makes of itself, too."""
    for node in body:
        match node:
            case ast.ClassDef() if not node.name.startswith("_"):
                yield from public_functions(node.body)
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not node.name.startswith("_"):
                yield node


def raised(function: ast.AST, errors: dict[str, set[str]]) -> set[str]:
    """The errors of ours that are made in a `raise` of this function."""
    calls = (node.exc for node in ast.walk(function) if isinstance(node, ast.Raise))
    return {
        call.func.id
        for call in calls
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in errors
    }


ERRORS = error_bases()


def unnamed(source: str) -> list[str]:
    """The errors that public functions of a module raise and do not name, nor a base of them."""
    return [
        f"{function.name} raises {error}"
        for function in public_functions(ast.parse(source).body)
        for error in sorted(raised(function, ERRORS))
        if not any(
            re.search(rf"\b{base}\b", ast.get_docstring(function) or "") for base in ERRORS[error]
        )
    ]


@pytest.mark.parametrize(
    "path",
    [path for path in SHIPPED if path.relative_to(ROOT).parts[0] in NAMES_ITS_ERRORS],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_public_function_names_the_errors_that_it_raises(path: Path) -> None:
    assert unnamed(path.read_text()) == []


@pytest.mark.parametrize(
    ("documented", "found"),
    [
        ("", ["f raises Locked"]),
        ("Raises `Corrupt`.", ["f raises Locked"]),
        ("Raises `Locked`.", []),
        ("Raises any `JournalError`.", []),
    ],
)
def test_an_error_that_is_not_named_is_found(documented: str, found: list[str]) -> None:
    source = f'def f():\n    """{documented}."""\n    raise Locked("a", "b")'
    assert unnamed(source) == found
