"""A bug of the rules is found from the journal of somebody who met it, and from nothing else.

Each journal is recorded by rules in which one line is wrong. Whoever reads it has the right ones,
and asks the three questions of "Debugging a delivery" in tools/README.md: what became of it, since
when, and which decision would be made otherwise.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.decisions.planted import BUGS, record
from tests.support.shell import Done, ackbook


@dataclass(frozen=True, slots=True)
class Trail:
    """What there is to be found. `missed`: the delivery that did not arrive; `since`: the record at
    which `sign` held first; `wrong`: the decided record that is, in its field `field`."""

    missed: str
    sentence: str
    sign: tuple[str, ...]
    since: int
    wrong: int
    field: str
    recorded: object
    decided: object


TRAILS = {
    "queue": Trail(
        "del_17_1",
        "bob's queue (cap 4) was full when it came, and it had to go (priority 2), though by the"
        " records the oldest of the least urgent was del_12_1 (priority 2)",
        ("--agent", "bob", "--outcome", "evicted"),
        since=24,
        wrong=24,
        field="delivery_id",
        recorded="del_17_1",
        decided="del_12_1",
    ),
    "hold": Trail(
        "del_11_1",
        "bob's program has been busy since seq 16, for 3 hours so far",
        ("--agent", "bob", "--held", "busy"),
        since=18,
        wrong=16,
        field="until",
        recorded=None,
        decided=1763800360640000,
    ),
    "time": Trail(
        "del_16_1",
        "its time to live (60 ms) ran out before it could be typed for bob",
        ("--outcome", "expired"),
        since=23,
        wrong=16,
        field="expires_at",
        recorded=1763800300700000,
        decided=1763800360640000,
    ),
}


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("planted")
    for name in BUGS:
        record(name, root / name)
    return root


def test_each_planted_bug_leaves_a_trail() -> None:
    assert set(TRAILS) == set(BUGS)


@pytest.mark.parametrize("name", BUGS)
def test_why_tells_in_words_what_the_user_saw(name: str, journals: Path) -> None:
    trail = TRAILS[name]
    story = _asked(journals, name, "why", trail.missed).json()
    assert trail.sentence in story["sentence"]
    assert story["typed"] == "no"


@pytest.mark.parametrize("name", BUGS)
def test_bisect_finds_the_first_record_that_shows_it(name: str, journals: Path) -> None:
    trail = TRAILS[name]
    found = _asked(journals, name, "replay", "bisect", *trail.sign)
    assert found.code == 0
    first = found.json()["first"]
    assert (first["seq"], trail.missed in first["next"]) == (trail.since, True)


@pytest.mark.parametrize("name", BUGS)
def test_check_names_the_first_wrong_decision_and_the_field(name: str, journals: Path) -> None:
    checked = _asked(journals, name, "replay", "--check")
    assert checked.code == 1
    _names_what_is_wrong(checked, TRAILS[name], TRAILS[name].wrong)


@pytest.mark.parametrize("name", BUGS)
def test_the_right_rules_would_have_brought_it(name: str, journals: Path) -> None:
    report = _asked(journals, name, "replay", "--diff").json()
    fates = {row["delivery_id"]: row["what_if"]["outcome"] for row in report["differences"]}
    assert fates[TRAILS[name].missed] == "verified"


@pytest.mark.parametrize("name", BUGS)
def test_a_bundle_without_the_bodies_is_enough_to_find_it(name: str, journals: Path) -> None:
    trail, bundle = TRAILS[name], f"{name}.bundle"
    options = ("--redact", "-o", bundle)
    assert _asked(journals, name, "bundle", trail.missed, *options).code == 0
    assert _asked(journals, bundle, "verify", "--slice", bundle).code == 0
    assert trail.sentence in _asked(journals, bundle, "why", trail.missed).json()["sentence"]
    first = _asked(journals, bundle, "replay", "bisect", *trail.sign).json()["first"]
    assert first["seq"] == trail.since
    assert shlex.split(first["next"])[1:] == ["why", trail.missed, "--dir", str(journals / bundle)]
    # The first message with a time to live arrived, so that it is not part of this story.
    wrong = 22 if name == "time" else trail.wrong
    checked = _asked(journals, bundle, "replay", "--check").json()["divergences"]
    assert [(row["seq"], trail.field in row["differs"]) for row in checked] == [(wrong, True)]


@pytest.mark.parametrize("name", BUGS)
def test_by_the_right_rules_the_same_day_has_nothing_to_find(name: str, tmp_path: Path) -> None:
    record(name, tmp_path / name, planted=False)
    checked = _asked(tmp_path, name, "replay", "--check")
    assert (checked.code, checked.json()["divergences"]) == (0, [])


def _names_what_is_wrong(checked: Done, trail: Trail, seq: int) -> None:
    (first,) = checked.json()["divergences"]
    assert first["seq"] == seq
    assert trail.field in first["differs"]
    sides = [first[side]["data"].get(trail.field) for side in ("recorded", "decided")]
    assert sides == [trail.recorded, trail.decided]


def _asked(journals: Path, name: str, *question: str) -> Done:
    place = () if "--slice" in question else ("--dir", name)
    done = ackbook(*question, *place, "--json", cwd=journals)
    assert done.out, done.err
    return done
