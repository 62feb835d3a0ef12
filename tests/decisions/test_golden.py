"""What these rules make of recorded decisions: a change of a rule shows as what it would have done.

The golden journals hold every command and every rule. Where a new version decides one of them
otherwise on purpose, `python -m tests.decisions.make --accept` writes down what, and the change is
seen in review beside the change of the rule. A journal itself is never changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ackbook.broker.core.commands import AnyCommand
from ackbook.broker.core.replay.recheck import Divergence, check, decisions, is_decision
from ackbook.journal import Reader
from ackbook.projections.codec import Entry, decode_block, kind_of
from ackbook.projections.facts import KINDS
from ackbook.projections.world.fold import World
from tests.decisions.mutations import MUTATIONS, Patch
from tests.support.shell import ackbook

GOLDEN = sorted(path for path in (Path(__file__).parent / "golden").glob("v*/*") if path.is_dir())
UNWRITTEN = {"agent.result"}
"""Kinds that no rule writes yet."""


def entries(journal: Path) -> list[Entry]:
    return [entry for block in Reader(journal).blocks() for entry in decode_block(block)]


def divergences(journal: Path) -> list[Divergence]:
    findings = check(World(), entries(journal))
    return [found for found in findings if isinstance(found, Divergence)]


@pytest.mark.parametrize("journal", GOLDEN, ids=lambda path: path.name)
def test_every_golden_decision_is_made_again(journal: Path, tmp_path: Path) -> None:
    done = ackbook("replay", "--check", "--all", "--json", "--dir", journal, cwd=tmp_path)
    report = done.json()
    accepted = journal.with_suffix(".otherwise.json")
    expected = json.loads(accepted.read_bytes()) if accepted.exists() else []
    assert report["divergences"] == expected
    assert report["decisions"] == sum(map(is_decision, decisions(entries(journal))))
    assert (report["origin_not_told"], report["cut_short"], report["not_checked"]) == (0, 0, [])
    assert done.code == (1 if expected else 0)


def test_the_golden_journals_hold_every_command_and_every_kind() -> None:
    told = [entry for journal in GOLDEN for entry in entries(journal)]
    commands = {json.loads(bytes(entry.by))["command"] for entry in told if bytes(entry.by)}
    assert commands == {command.__struct_config__.tag for command in AnyCommand.__args__}
    assert KINDS - {kind_of(entry) for entry in told} == UNWRITTEN


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_rule_that_was_broken_is_seen(
    mutation: Callable[[Patch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch.setattr)
    assert [found for journal in GOLDEN for found in divergences(journal)]
