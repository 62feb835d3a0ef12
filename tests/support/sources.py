"""The shipped sources as tests look through them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LAYERS = ("journal", "projections", "broker", "tools")
EXAMPLES = ROOT / "tools" / "examples"
"""Programs of others, who know what the papers say: they are not shipped."""


def written_in() -> Iterator[tuple[str, str]]:
    """Every text that a shipped module uses, with the path of the module; no docstrings."""
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            if EXAMPLES not in path.parents:
                for text in texts_of(path.read_text()):
                    yield str(path.relative_to(ROOT)), text


def texts_of(source: str) -> Iterator[str]:
    """The texts in a module that are not there to be read by people only."""
    tree = ast.parse(source)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value
