"""What to do next is said in the words of this package: whoever has it alone can do it."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from ackbook import journal
from ackbook.journal import Corrupt, NextStep, Remedy, open_log, verify

ROOT = Path(journal.__file__).parent


def docstrings(tree: ast.Module) -> set[ast.AST]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }


def test_no_sentence_of_the_journal_names_a_command() -> None:
    found = []
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text())
        quiet = docstrings(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = "ackbook " in node.value or " --" in node.value
                if named and node not in quiet:
                    found.append((path.name, node.value))
    assert found == []


@pytest.mark.parametrize("remedy", Remedy)
def test_what_a_step_names_can_be_called_as_it_stands_there(remedy: Remedy) -> None:
    step = NextStep("first, then ", remedy, "/var/journal", " says more")
    said = str(step).removeprefix("first, then ").removesuffix(" says more")
    call = ast.parse(said, mode="eval").body
    assert isinstance(call, ast.Call)
    function = getattr(journal, ast.unparse(call.func))
    given = {each.arg: True for each in call.keywords if each.arg}
    inspect.signature(function).bind(*call.args, **given)
    assert ast.unparse(call.args[0]) == "Path('/var/journal')"


def test_an_error_says_what_to_call_about_its_journal(tmp_path: Path) -> None:
    open_log(tmp_path).close()
    (segment,) = tmp_path.glob("0*.jsonl")
    segment.write_bytes(b"x" + segment.read_bytes()[1:])
    with pytest.raises(Corrupt) as caught:
        open_log(tmp_path)
    (damage,) = verify(tmp_path).damage
    assert caught.value.next_step == damage.next
    assert str(caught.value).endswith(f". Next: salvage(Path({str(tmp_path)!r}), out)")
